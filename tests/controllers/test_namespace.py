"""Deletion of namespaces: everything goes, and what holds it up is shown."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import rfc3339
from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap, Namespace, Pod, Secret
from kplane.api.types.meta import condition
from kplane.client.workqueue import Requeue
from kplane.controllers.config import Config
from kplane.controllers.namespace import PAGE, NamespaceController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_configmap, make_namespace, make_pod, make_secret

KEY = Key("", "doomed")


def run(cluster: FakeCluster) -> None:
    context = cluster.context("namespace-controller")
    cluster.start(context.queue.run(NamespaceController(context).reconcile))


def doomed(cluster: FakeCluster) -> Object:
    body = make_namespace("doomed", phase="Terminating")
    body["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    return body


def shown(cluster: FakeCluster, kind: str) -> tuple[str, str, str]:
    namespace = cluster.get(Namespace, KEY)
    assert namespace is not None
    found = condition(namespace.status.conditions, kind)
    assert found is not None
    return found.status, found.reason, found.message


async def test_all_content_goes_and_then_the_namespace(discoverable: Any) -> None:
    kept = make_configmap("kept", "default")
    discoverable.load(doomed(discoverable), make_configmap("a", "doomed"), make_secret("b", "doomed"), kept)
    run(discoverable)

    await discoverable.advance(10)

    assert discoverable.get(Namespace, KEY) is None
    assert [entry.metadata.name for entry in discoverable.list(ConfigMap)] == ["kept"]
    assert list(discoverable.list(Secret)) == []


async def test_namespaces_that_are_not_being_deleted_are_left_alone(discoverable: Any) -> None:
    discoverable.load(make_namespace("alive"), make_configmap("a", "alive"))
    run(discoverable)

    await discoverable.advance(60)

    assert len(discoverable.list(ConfigMap)) == 1


async def test_pods_go_first_and_are_given_their_time(discoverable: Any) -> None:
    discoverable.load(
        doomed(discoverable), make_pod("busy", "doomed", node="n"), make_configmap("used", "doomed")
    )
    run(discoverable)

    await discoverable.advance(10)
    while_stopping = len(discoverable.list(ConfigMap))
    shown_then = shown(discoverable, "NamespaceContentRemaining")
    discoverable.delete(Pod, Key("doomed", "busy"))
    await discoverable.advance(60)

    assert while_stopping == 1
    assert shown_then == (
        "True", "SomeResourcesRemain", "Some resources are remaining: pods. has 1 resource instances",
    )  # fmt: skip
    assert discoverable.get(Namespace, KEY) is None


async def test_the_rest_goes_as_soon_as_the_last_pod_has(discoverable: Any) -> None:
    pods = [make_pod(name, "doomed", node="n") for name in ("first", "last")]
    discoverable.load(doomed(discoverable), *pods, make_configmap("used", "doomed"))
    run(discoverable)
    await discoverable.advance(11)

    discoverable.delete(Pod, Key("doomed", "first"))
    await discoverable.settle()
    with_one_left = len(discoverable.list(ConfigMap))
    discoverable.delete(Pod, Key("doomed", "last"))
    await discoverable.settle()

    assert with_one_left == 1
    assert discoverable.get(Namespace, KEY) is None


async def test_finalizers_of_content_are_shown_and_waited_for(discoverable: Any) -> None:
    held = make_configmap("held", "doomed")
    held["metadata"]["finalizers"] = ["example.com/hold"]
    discoverable.load(doomed(discoverable), held)
    run(discoverable)

    await discoverable.advance(10)
    shown_then = shown(discoverable, "NamespaceFinalizersRemaining")
    failure = shown(discoverable, "NamespaceDeletionContentFailure")
    discoverable.delete(ConfigMap, Key("doomed", "held"))
    await discoverable.advance(60)

    assert shown_then == (
        "True",
        "SomeFinalizersRemain",
        "Some content in the namespace has finalizers remaining: example.com/hold in 1 resource instances",
    )
    assert failure[:2] == ("False", "ContentDeleted")
    assert discoverable.get(Namespace, KEY) is None


async def test_a_namespace_is_looked_at_once_in_every_sync_period(discoverable: Any) -> None:
    pod = make_pod("slow", "doomed", node="node-1")
    patient = {"terminationGracePeriodSeconds": 3600}
    discoverable.load(doomed(discoverable), pod | {"spec": pod["spec"] | patient})
    options = Config(namespace_sync_period=100)
    controller = NamespaceController(discoverable.context("namespace-controller", options=options))
    await discoverable.advance(10)

    assert await controller.reconcile(KEY) == Requeue(100)


async def test_pods_that_outstay_their_time_are_complained_about(discoverable: Any) -> None:
    pod = make_pod("stuck", "doomed", node="node-1")
    discoverable.load(
        doomed(discoverable), pod | {"spec": pod["spec"] | {"terminationGracePeriodSeconds": 20}}
    )
    run(discoverable)
    await discoverable.advance(10)
    patient = shown(discoverable, "NamespaceDeletionContentFailure")
    await discoverable.advance(30)

    assert patient[:2] == ("False", "ContentDeleted")
    assert shown(discoverable, "NamespaceDeletionContentFailure") == (
        "True",
        "ContentDeletionFailed",
        "Failed to delete all resource types, 1 remaining: unexpected items still remain in namespace: "
        "doomed for gvr: /v1, Resource=pods",
    )


@pytest.mark.slow
async def test_more_content_than_is_listed_at_once_is_counted(discoverable: Any) -> None:
    discoverable.load(doomed(discoverable))
    for number in range(PAGE + 1):
        held = make_configmap(f"held-{number}", "doomed")
        held["metadata"]["finalizers"] = ["example.com/hold"]
        discoverable.load(held)
    run(discoverable)

    await discoverable.advance(6)

    message = f"Some resources are remaining: configmaps. has {PAGE + 1} resource instances"
    assert shown(discoverable, "NamespaceContentRemaining") == ("True", "SomeResourcesRemain", message)
    waited_for = f"example.com/hold in {PAGE + 1} resource instances"
    assert waited_for in shown(discoverable, "NamespaceFinalizersRemaining")[2]


async def test_a_group_that_cannot_be_discovered_holds_up_the_end(discoverable: Any) -> None:
    discoverable.broken.add("apps/v1")
    discoverable.load(doomed(discoverable), make_configmap("a", "doomed"))
    run(discoverable)

    await discoverable.advance(10)
    status, reason, message = shown(discoverable, "NamespaceDeletionDiscoveryFailure")
    content = len(discoverable.list(ConfigMap))
    discoverable.broken.clear()
    await discoverable.advance(12)

    assert (status, reason, content) == ("True", "DiscoveryFailed", 0)
    assert "apps/v1" in message
    assert discoverable.get(Namespace, KEY) is None


@pytest.mark.parametrize("failures", [1, 2, 3, 5])
async def test_failing_deletions_are_tried_again(discoverable: Any, failures: int) -> None:
    discoverable.load(doomed(discoverable), make_configmap("a", "doomed"), make_secret("b", "doomed"))
    discoverable.faults.fail_next(InternalError("broken"), times=failures)
    run(discoverable)

    await discoverable.advance(600)

    assert discoverable.get(Namespace, KEY) is None
    assert list(discoverable.list(ConfigMap)) == []


async def test_a_lost_answer_to_the_last_write_does_no_harm(discoverable: Any) -> None:
    discoverable.load(doomed(discoverable))
    discoverable.faults.lose_next_answers(plural="namespaces")
    run(discoverable)

    await discoverable.advance(60)

    assert discoverable.get(Namespace, KEY) is None
