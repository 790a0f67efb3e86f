"""Quotas hold only what they read, and only once there is a quota."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.api.quota import evaluator_for
from kplane.api.resource import Key, Object
from kplane.api.scheme import builtin
from kplane.api.types import Pod
from kplane.client.codec import codec, encode
from kplane.client.informer import InformerFactory
from kplane.controllers.quotatypes import QuotaPod
from kplane.controllers.resourcequota import ResourceQuotaController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object, make_pod

NOW = datetime(2026, 1, 1, tzinfo=UTC)
KEY = Key("default", "quota")
AMOUNTS: Object = {"requests": {"cpu": "1", "memory": 5}, "limits": {"cpu": "2"}}
GIVEN: Object = {"cpu": "9"}
LARGER: Object = {"requests": {"cpu": "3"}, "limits": {"cpu": "4"}}


def _pod(status: Object, **spec: Any) -> Object:
    containers = [{"name": "web", "image": "web:1", "resources": AMOUNTS}]
    return make_pod("web") | {"spec": {"containers": containers} | spec, "status": status}


def _quota() -> Object:
    return make_object("v1", "ResourceQuota", "quota", "default", spec={"hard": {"pods": "5"}})


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(_pod({"phase": "Running"}), id="plain"),
        pytest.param(_pod({"phase": "Failed"}), id="ended"),
        pytest.param(_pod({}, resources=LARGER, overhead={"cpu": "1m"}), id="of the whole pod"),
        pytest.param(
            _pod({}, initContainers=[{"name": "s", "restartPolicy": "Always", "resources": LARGER}]),
            id="sidecar",
        ),
        pytest.param(
            _pod({"containerStatuses": [{"name": "web", "resources": LARGER, "allocatedResources": GIVEN}]}),
            id="being resized",
        ),
        pytest.param(
            _pod(
                {
                    "containerStatuses": [{"name": "web", "resources": LARGER}],
                    "conditions": [{"type": "PodResizePending", "status": "True", "reason": "Infeasible"}],
                }
            ),
            id="resize that never happens",
        ),
    ],
)  # fmt: skip
def test_what_is_kept_of_a_pod_costs_what_the_pod_costs(pod: Object) -> None:
    kept: Any = codec(QuotaPod).one(encode(pod))

    usage = evaluator_for("", "pods").usage
    assert usage(kept, NOW) == usage(pod, NOW)
    assert "image" not in kept["spec"]["containers"][0]


@pytest.mark.parametrize(
    ("scope", "spec"),
    [
        pytest.param({"scopeName": "Terminating"}, {"activeDeadlineSeconds": 5}, id="terminating"),
        pytest.param({"scopeName": "NotBestEffort"}, {}, id="not best effort"),
        pytest.param(
            {"scopeName": "PriorityClass", "operator": "In", "values": ["high"]},
            {"priorityClassName": "high"},
            id="priority",
        ),
        pytest.param(
            {"scopeName": "CrossNamespacePodAffinity"},
            {
                "affinity": {
                    "podAffinity": {
                        "requiredDuringSchedulingIgnoredDuringExecution": [{"namespaces": ["other"]}]
                    }
                }
            },
            id="affinity",
        ),
    ],
)
def test_what_is_kept_of_a_pod_is_in_the_same_scopes(scope: Object, spec: Object) -> None:
    kept: Any = codec(QuotaPod).one(encode(_pod({}, **spec)))

    assert evaluator_for("", "pods").in_scope(scope, kept)


async def test_without_a_quota_nothing_is_watched_but_quotas(cluster: FakeCluster) -> None:
    factory = InformerFactory(cluster.client(), clock=cluster.clock, entropy=cluster.entropy)
    context = replace(cluster.context(), informers=factory)
    controller = ResourceQuotaController(context)

    before = len(factory)
    cluster.load(_quota(), make_pod("web"))
    cluster.start(factory.run())
    await cluster.settle()
    await controller.reconcile(KEY)

    assert (before, len(factory)) == (1, 2)


async def test_the_first_count_waits_for_the_caches_which_then_tell_what_goes(cluster: FakeCluster) -> None:
    cluster.load(make_pod("web"), _quota())
    factory = InformerFactory(cluster.client(), clock=cluster.clock, entropy=cluster.entropy)
    context = replace(cluster.context(), informers=factory)
    controller = ResourceQuotaController(context)
    cluster.start(factory.run())
    cluster.start(context.queue.run(controller.reconcile))
    await cluster.settle()
    first = _used(cluster)
    cluster.delete(Pod, Key("default", "web"))
    await cluster.settle()

    assert (first, _used(cluster)) == ({"pods": "1"}, {"pods": "0"})


def _used(cluster: FakeCluster) -> Any:
    quota = cluster.get(builtin().rows["", "v1", "resourcequotas"].resource, KEY)
    assert quota is not None
    return quota["status"]["used"]
