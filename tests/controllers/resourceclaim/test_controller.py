"""Claims of devices come with the Pods that need them, and go with them."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.controllers.resourceclaim.controller import ResourceClaimController
from kplane.controllers.resourceclaim.plan import FINALIZER, POD_CLAIM
from kplane.controllers.resourceclaim.views import ResourceClaim
from kplane.testing.cluster import FakeCluster
from kplane.testing.devices import make_claim_template, make_resource_claim
from kplane.testing.objects import make_pod

WEB = Key("default", "web")
GPU = Key("default", "gpu")
FROM_TEMPLATE: Object = {"name": "device", "resourceClaimTemplateName": "gpus"}
BY_NAME: Object = {"name": "device", "resourceClaimName": "gpu"}


def run(cluster: FakeCluster) -> None:
    context = cluster.context("resourceclaim-controller")
    cluster.start(context.queue.run(ResourceClaimController(context).reconcile))


def user(name: str = "web", *entries: Object, **options: Any) -> Object:
    return make_pod(name, resourceClaims=list(entries or (FROM_TEMPLATE,)), **options)


def claims(cluster: FakeCluster) -> list[ResourceClaim]:
    return list(cluster.list(ResourceClaim))


def statuses(cluster: FakeCluster, key: Key = WEB) -> dict[str, str | None]:
    pod = cluster.get(Pod, key)
    assert pod is not None
    return {entry.name: entry.resource_claim_name for entry in pod.status.resource_claim_statuses}


async def test_a_pod_gets_a_claim_from_its_template(cluster: FakeCluster) -> None:
    cluster.load(make_claim_template(labels={"team": "ml"}), user())
    run(cluster)
    await cluster.settle()

    [claim] = claims(cluster)
    assert claim.metadata.name.startswith("web-device-")
    assert claim.metadata.labels == {"team": "ml"}
    assert claim.metadata.annotations == {"from": "template", POD_CLAIM: "device"}
    owner = claim.metadata.controller
    assert owner is not None
    assert (owner.kind, owner.name, owner.uid, owner.block_owner_deletion) == (
        "Pod", "web", "pod-default-web", True,
    )  # fmt: skip
    assert statuses(cluster) == {"device": claim.metadata.name}


async def test_a_claim_that_was_deleted_under_its_pod_is_made_again(cluster: FakeCluster) -> None:
    two = {"name": "other", "resourceClaimTemplateName": "gpus"}
    cluster.load(make_claim_template(), user("web", FROM_TEMPLATE, two))
    run(cluster)
    await cluster.settle()
    before = statuses(cluster)

    cluster.delete(ResourceClaim, Key("default", before["device"] or ""))
    await cluster.settle()

    after = statuses(cluster)
    assert len(claims(cluster)) == 2
    assert after["other"] == before["other"]
    assert after["device"] != before["device"]


async def test_a_missing_template_is_told_and_waited_for(cluster: FakeCluster) -> None:
    cluster.load(user())
    run(cluster)
    await cluster.settle()
    [event] = cluster.events()

    cluster.load(make_claim_template())
    await cluster.settle()

    assert (event.type, event.reason) == ("Warning", "FailedResourceClaimCreation")
    assert event.message == (
        'PodResourceClaim device: resource claim template "gpus": '
        'resourceclaimtemplate.resource.k8s.io "gpus" not found'
    )
    assert len(claims(cluster)) == 1


async def test_a_refused_claim_is_told_and_tried_again(cluster: FakeCluster) -> None:
    cluster.load(make_claim_template(), user())
    cluster.faults.fail_next(InternalError("broken"), plural="resourceclaims", methods=("POST",))
    run(cluster)
    await cluster.advance(5)
    assert cluster.events()[0].message == "PodResourceClaim device: create ResourceClaim : broken"
    assert list(statuses(cluster)) == ["device"]


async def test_a_terminating_namespace_ends_the_matter(cluster: FakeCluster) -> None:
    cluster.load(make_claim_template(), user())
    refusal = Forbidden("being terminated", {"causes": [{"reason": "NamespaceTerminating"}]})
    cluster.faults.fail_next(refusal, plural="resourceclaims")
    run(cluster)
    await cluster.advance(60)
    assert cluster.events() == []


async def test_no_second_claim_is_made_when_the_answer_or_the_status_is_lost(cluster: FakeCluster) -> None:
    cluster.load(make_claim_template(), user())
    cluster.faults.lose_next_answers(plural="resourceclaims", methods=("POST",))
    cluster.faults.fail_next(InternalError("broken"), plural="pods", methods=("PATCH",))
    run(cluster)
    await cluster.advance(60)
    [claim] = claims(cluster)
    assert statuses(cluster) == {"device": claim.metadata.name}


async def test_a_claim_made_without_an_answer_is_found_though_the_cache_lacks_it(
    cluster: FakeCluster,
) -> None:
    cluster.load(make_claim_template(), user())
    run(cluster)
    cluster.hold_watches()
    cluster.faults.lose_next_answers(plural="resourceclaims", methods=("POST",))
    await cluster.clock.advance(60)
    [claim] = claims(cluster)
    assert statuses(cluster) == {"device": claim.metadata.name}


async def test_a_claim_that_the_cache_lacks_is_not_made_twice(cluster: FakeCluster) -> None:
    cluster.load(make_claim_template(), user())
    run(cluster)
    cluster.hold_watches()
    cluster.faults.fail_next(InternalError("broken"), plural="pods", methods=("PATCH",))
    await cluster.clock.advance(60)
    while_behind = len(claims(cluster))
    cluster.release_watches()
    await cluster.settle()
    assert while_behind == 1
    assert list(statuses(cluster).values()) == [claim.metadata.name for claim in claims(cluster)]


async def test_a_claim_that_somebody_else_owns_is_replaced(cluster: FakeCluster) -> None:
    pod = user()
    pod["status"]["resourceClaimStatuses"] = [{"name": "device", "resourceClaimName": "gpu"}]
    cluster.load(make_claim_template(), make_resource_claim(owner=make_pod("other")), pod)
    run(cluster)
    await cluster.settle()
    assert (statuses(cluster)["device"] or "").startswith("web-device-")
    assert cluster.get(ResourceClaim, GPU) is not None


@pytest.mark.parametrize(
    "pod",
    [
        pytest.param(user() | {"status": {"resourceClaimStatuses": [{"name": "device"}]}}, id="none-needed"),
        pytest.param(user("web", BY_NAME), id="of-a-user"),
        pytest.param(make_pod(), id="no-claims"),
    ],
)
async def test_pods_that_need_no_claim_of_their_own_get_none(cluster: FakeCluster, pod: Object) -> None:
    cluster.load(make_claim_template(), pod)
    run(cluster)
    await cluster.settle()
    assert claims(cluster) == []
    assert cluster.events() == []


async def test_a_pod_with_a_node_and_without_a_scheduler_gets_its_reservation(cluster: FakeCluster) -> None:
    other = user("other", BY_NAME, node="node-1")
    cluster.load(other, make_resource_claim(allocated=True, reserved_for=[other]))
    run(cluster)
    cluster.load(user("web", BY_NAME, node="node-1"))
    await cluster.settle()
    [claim] = claims(cluster)
    assert [consumer.name for consumer in claim.status.reserved_for] == ["other", "web"]


@pytest.mark.parametrize("end", ["deleted", "finished", "replaced"])
async def test_the_last_pod_takes_reservation_allocation_and_finalizer_with_it(
    cluster: FakeCluster, end: str
) -> None:
    pod = user("web", BY_NAME, node="node-1", phase="Running")
    cluster.load(pod, make_resource_claim(allocated=True, reserved_for=[pod], finalizers=[FINALIZER, "x/y"]))
    run(cluster)
    await cluster.settle()
    before = claims(cluster)[0]

    match end:
        case "deleted":
            cluster.delete(Pod, WEB)
        case "finished":
            cluster.load(pod | {"status": {"phase": "Succeeded"}})
        case "replaced":
            cluster.load(pod | {"metadata": pod["metadata"] | {"uid": "another"}, "spec": {"containers": []}})
    if end == "replaced":
        # Nothing tells the controller but the next change of the claim.
        await cluster.client().patch(ResourceClaim, "gpu", "default", {"metadata": {"labels": {"a": "b"}}})
    await cluster.settle()

    [claim] = claims(cluster)
    assert len(before.status.reserved_for) == 1
    assert claim.status.reserved_for == ()
    assert claim.status.allocation is None
    assert claim.metadata.finalizers == ("x/y",)


async def test_a_pod_that_was_seen_to_go_need_not_be_asked_for(cluster: FakeCluster) -> None:
    pod = user("web", BY_NAME, node="node-1", phase="Running")
    cluster.load(pod, make_resource_claim(allocated=True, reserved_for=[pod]))
    run(cluster)
    await cluster.settle()
    cluster.faults.fail_next(InternalError("broken"), plural="pods", methods=("GET",), times=100)
    cluster.delete(Pod, WEB)
    await cluster.settle()
    assert claims(cluster)[0].status.reserved_for == ()


async def test_a_pod_of_the_same_name_has_no_right_to_the_reservation(cluster: FakeCluster) -> None:
    former, present = user("web", BY_NAME), user("web", BY_NAME, node="node-1")
    present["metadata"]["uid"] = "another"
    cluster.load(present, make_resource_claim(allocated=True, reserved_for=[former]))
    run(cluster)
    await cluster.settle()
    assert [consumer.uid for consumer in claims(cluster)[0].status.reserved_for] == ["another"]


async def test_an_allocation_stays_while_another_pod_uses_the_claim(cluster: FakeCluster) -> None:
    pods = [user(name, BY_NAME, node="node-1", phase="Running") for name in ("one", "two")]
    cluster.load(*pods, make_resource_claim(allocated=True, reserved_for=pods, finalizers=[FINALIZER]))
    run(cluster)
    await cluster.settle()
    cluster.delete(Pod, Key("default", "one"))
    await cluster.settle()
    [claim] = claims(cluster)
    assert [consumer.name for consumer in claim.status.reserved_for] == ["two"]
    assert claim.status.allocation is not None
    assert claim.metadata.finalizers == (FINALIZER,)


async def test_a_reservation_for_a_pod_that_the_cache_lacks_stays(cluster: FakeCluster) -> None:
    context = cluster.context()
    controller = ResourceClaimController(context)
    pod = user("web", BY_NAME)
    cluster.load(make_resource_claim(allocated=True, reserved_for=[pod]))
    await cluster.settle()
    cluster.hold_watches()
    cluster.load(pod)
    await controller.reconcile(Key("default", "claim:gpu"))
    assert len(claims(cluster)[0].status.reserved_for) == 1


async def test_a_claim_of_a_finished_pod_is_deleted_while_the_pod_stays(cluster: FakeCluster) -> None:
    pod = user(node="node-1", phase="Running")
    cluster.load(make_claim_template(), pod)
    run(cluster)
    await cluster.settle()
    made = len(claims(cluster))

    whole = cluster.list(Pod.API.as_type(dict))[0]
    cluster.load(whole | {"status": whole["status"] | {"phase": "Failed"}})
    await cluster.settle()

    assert made == 1
    assert claims(cluster) == []
    assert cluster.get(Pod, WEB) is not None


async def test_a_deleted_claim_that_nobody_uses_loses_its_allocation_and_goes(cluster: FakeCluster) -> None:
    cluster.load(make_resource_claim(allocated=True, finalizers=[FINALIZER]))
    run(cluster)
    await cluster.settle()
    kept = claims(cluster)[0].status.allocation
    await cluster.client().delete(ResourceClaim, "gpu", "default")
    await cluster.settle()
    assert kept is not None
    assert claims(cluster) == []


async def test_consumers_that_are_no_pods_are_left_alone(cluster: FakeCluster) -> None:
    claim = make_resource_claim(allocated=True)
    claim["status"]["reservedFor"] = [
        {"apiGroup": "x.example.com", "resource": "things", "name": "a", "uid": "1"}
    ]
    cluster.load(claim, make_claim_template(), user())
    run(cluster)
    await cluster.advance(60)
    assert len(cluster.list(ResourceClaim)[0].status.reserved_for) == 1
    assert list(statuses(cluster)) == ["device"]


def sample(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(f"dynamic_resource_allocation_{name}", labels) or 0.0


async def test_claims_are_counted_by_what_they_are(cluster: FakeCluster) -> None:
    made: Any = {"status": "success", "admin_access": "true"}
    before = sample("resourceclaim_creates_total", **made)
    extended = {"resource.kubernetes.io/extended-resource-claim": "true"}
    cluster.load(
        make_claim_template(admin=True), user(), make_resource_claim(),
        make_resource_claim("special", annotations=extended, allocated=True),
    )  # fmt: skip
    run(cluster)
    await cluster.settle()
    cluster.delete(ResourceClaim, GPU)
    await cluster.settle()

    assert sample("resourceclaim_creates_total", **made) == before + 1
    counted = {
        (allocated, admin, source): sample(
            "resource_claims", allocated=allocated, admin_access=admin, source=source
        )
        for allocated, admin, source in [
            ("false", "false", ""),
            ("true", "false", "extended_resource"),
            ("false", "true", "resource_claim_template"),
        ]
    }
    assert list(counted.values()) == [0, 1, 1]
