"""Pods go whose devices have a NoExecute taint that nobody tolerates; rules tell how many."""

from __future__ import annotations

from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Condition, Pod
from kplane.api.types.meta import condition
from kplane.controllers.config import Config
from kplane.controllers.devicetainteviction import DeviceTaintEvictionController
from kplane.controllers.devicetainteviction.views import DeviceTaintRule, ResourceSlice
from kplane.testing.cluster import FakeCluster
from kplane.testing.devices import make_resource_claim, make_resource_slice, make_taint_rule
from kplane.testing.objects import make_pod

WEB = Key("default", "web")
NOW = "2026-01-01T00:00:00Z"
BROKEN: Object = {"key": "example.com/broken", "value": "yes", "effect": "NoExecute", "timeAdded": NOW}
AGAIN = (
    "if the effect was NoExecute. This information will not be updated again. "
    "Recreate the DeviceTaintRule to trigger an update."
)


def run(cluster: FakeCluster, **options: Any) -> None:
    context = cluster.context("device-taint-eviction-controller", options=Config(**options))
    cluster.start(context.queue.run(DeviceTaintEvictionController(context).reconcile, 2))


def user(name: str = "web", claim: str = "gpu", node: str = "node-1", **options: Any) -> Object:
    return make_pod(name, node=node, resourceClaims=[{"name": "gpu", "resourceClaimName": claim}], **options)


def load_users(cluster: FakeCluster, *names: str, tolerations: Any = (), **options: Any) -> None:
    pods = [user(name, **options) for name in names or ("web",)]
    cluster.load(*pods, make_resource_claim(reserved_for=pods, allocated=True, tolerations=tolerations))


def toleration(seconds: int | None = None, **fields: str) -> Object:
    found: Object = {"key": "example.com/broken", "operator": "Exists", "effect": "NoExecute"} | fields
    return found | ({} if seconds is None else {"tolerationSeconds": seconds})


def alive(cluster: FakeCluster) -> set[str]:
    return {pod.metadata.name for pod in cluster.list(Pod) if pod.metadata.deletion_timestamp is None}


def told(cluster: FakeCluster, name: str = "broken") -> Condition | None:
    rule = cluster.get(DeviceTaintRule, Key("", name))
    assert rule is not None
    return condition(rule.status.conditions, "EvictionInProgress")


def said(cluster: FakeCluster) -> tuple[str, str, str] | None:
    found = told(cluster)
    return (found.status, found.reason, found.message) if found else None


def evictions() -> float:
    return REGISTRY.get_sample_value("device_taint_eviction_controller_pod_deletions_total") or 0.0


async def test_a_pod_whose_device_gets_a_taint_is_deleted_and_says_why(cluster: FakeCluster) -> None:
    load_users(cluster)
    cluster.load(make_resource_slice())
    run(cluster)
    await cluster.settle()
    before, counted = alive(cluster), evictions()

    cluster.load(make_resource_slice(taints={"gpu-0": [BROKEN]}))
    await cluster.settle()

    pod = cluster.get(Pod, WEB)
    assert before == {"web"}
    assert pod is not None
    assert pod.metadata.deletion_timestamp is not None
    disrupted = condition(pod.status.conditions, "DisruptionTarget")
    assert disrupted is not None
    assert (disrupted.status, disrupted.reason, disrupted.message) == (
        "True",
        "DeletionByDeviceTaintManager",
        "Device Taint manager: deleting due to NoExecute taint",
    )
    (event,) = cluster.events()
    assert (event.type, event.reason, event.message) == (
        "Normal", "DeviceTaintManagerEviction", "Marking for deletion",
    )  # fmt: skip
    assert event.involved_object.name == "web"
    assert evictions() == counted + 1


async def test_a_rule_taints_devices_as_well(cluster: FakeCluster) -> None:
    load_users(cluster)
    run(cluster)
    await cluster.settle()

    cluster.load(make_taint_rule())
    await cluster.settle()

    assert alive(cluster) == set()


@pytest.mark.parametrize(
    "spared",
    [
        pytest.param(make_resource_slice(taints={"gpu-1": [BROKEN]}, devices=["gpu-1"]), id="other device"),
        pytest.param(
            make_resource_slice(taints={"gpu-0": [BROKEN | {"effect": "NoSchedule"}]}), id="other effect"
        ),
        pytest.param(make_taint_rule(effect="NoSchedule"), id="rule for the scheduler"),
        pytest.param(make_taint_rule(effect="None"), id="rule without effect"),
        pytest.param(make_taint_rule(selector={"driver": "other.example.com"}), id="other driver"),
        pytest.param(make_taint_rule(selector={"pool": "node-2"}), id="other pool"),
        pytest.param(make_taint_rule(selector={"device": "gpu-1"}), id="rule for other device"),
    ],
)
async def test_what_is_not_about_a_pods_device_leaves_it_alone(cluster: FakeCluster, spared: Object) -> None:
    load_users(cluster)
    cluster.load(spared)
    run(cluster)
    await cluster.settle()

    assert alive(cluster) == {"web"}


async def test_a_rule_without_a_selector_selects_nothing(cluster: FakeCluster) -> None:
    rule = make_taint_rule()
    del rule["spec"]["deviceSelector"]
    load_users(cluster)
    cluster.load(rule)
    run(cluster)
    await cluster.settle()

    assert alive(cluster) == {"web"}


@pytest.mark.parametrize(
    ("tolerations", "seconds"),
    [
        pytest.param([toleration()], None, id="for ever"),
        pytest.param([toleration(30)], 30, id="for a while"),
        pytest.param([toleration(30), toleration(20)], 20, id="the shortest counts"),
        pytest.param([toleration(30), toleration()], None, id="one is for ever"),
        pytest.param([toleration(-5)], 0, id="negative"),
        pytest.param([toleration(operator="Equal", value="yes")], None, id="equal"),
        pytest.param([toleration(operator="Equal", value="no")], 0, id="another value"),
        pytest.param([toleration(key="example.com/other")], 0, id="another key"),
        pytest.param([toleration(effect="NoSchedule")], 0, id="another effect"),
        pytest.param([toleration(effect="")], 0, id="an effect must be named"),
        pytest.param([toleration(key="")], None, id="every key"),
    ],
)
async def test_a_claim_tolerates_a_taint_for_as_long_as_it_says(
    cluster: FakeCluster, tolerations: list[Object], seconds: int | None
) -> None:
    load_users(cluster, tolerations=tolerations)
    cluster.load(make_resource_slice(taints={"gpu-0": [BROKEN]}))
    run(cluster)
    await cluster.settle()

    if seconds is None:
        await cluster.advance(100_000)
        assert alive(cluster) == {"web"}
        return
    if seconds:
        await cluster.advance(seconds - 1)
        assert alive(cluster) == {"web"}
        await cluster.advance(1)
    assert alive(cluster) == set()


async def test_the_time_counts_from_when_the_taint_was_added(cluster: FakeCluster) -> None:
    await cluster.advance(25)
    load_users(cluster, tolerations=[toleration(30)])
    cluster.load(make_resource_slice(taints={"gpu-0": [BROKEN]}))
    run(cluster)
    await cluster.advance(4)
    before = alive(cluster)
    await cluster.advance(2)

    assert (before, alive(cluster)) == ({"web"}, set())


async def test_a_taint_that_goes_in_time_spares_the_pod_and_people_hear_of_it(cluster: FakeCluster) -> None:
    load_users(cluster, tolerations=[toleration(30)])
    cluster.load(make_taint_rule())
    run(cluster)
    await cluster.advance(20)
    cluster.delete(DeviceTaintRule, Key("", "broken"))
    await cluster.advance(60)

    assert alive(cluster) == {"web"}
    (event,) = cluster.events()
    assert (event.reason, event.message) == ("DeviceTaintManagerEviction", "Cancelling deletion")


async def test_a_taint_of_an_outdated_generation_of_the_pool_does_not_count(cluster: FakeCluster) -> None:
    load_users(cluster, tolerations=[toleration(30)])
    cluster.load(make_resource_slice("old", taints={"gpu-0": [BROKEN]}))
    run(cluster)
    await cluster.advance(20)
    cluster.load(make_resource_slice("new", generation=2))
    await cluster.advance(60)

    assert alive(cluster) == {"web"}


async def test_a_slice_that_goes_uncovers_the_taint_of_the_generation_before(cluster: FakeCluster) -> None:
    load_users(cluster)
    cluster.load(
        make_resource_slice("old", taints={"gpu-0": [BROKEN]}), make_resource_slice("new", generation=2)
    )
    run(cluster)
    await cluster.settle()
    before = alive(cluster)
    cluster.delete(ResourceSlice, Key("", "new"))
    await cluster.settle()

    assert (before, alive(cluster)) == ({"web"}, set())


async def test_a_pod_that_has_no_node_yet_is_left_alone_until_it_has(cluster: FakeCluster) -> None:
    load_users(cluster, node="")
    cluster.load(make_taint_rule())
    run(cluster)
    await cluster.settle()
    before = alive(cluster)
    cluster.load(user())
    await cluster.settle()

    assert (before, alive(cluster)) == ({"web"}, set())


async def test_a_claim_that_is_reserved_for_another_pod_condemns_nobody_else(cluster: FakeCluster) -> None:
    cluster.load(user("web"), user("other"), make_taint_rule())
    cluster.load(make_resource_claim(reserved_for=[user("other")], allocated=True))
    run(cluster)
    await cluster.settle()

    assert alive(cluster) == {"web"}


async def test_a_reservation_that_comes_later_condemns_the_pod(cluster: FakeCluster) -> None:
    cluster.load(user(), make_taint_rule(), make_resource_claim())
    run(cluster)
    await cluster.settle()
    before = alive(cluster)
    cluster.load(make_resource_claim(reserved_for=[user()], allocated=True))
    await cluster.settle()

    assert (before, alive(cluster)) == ({"web"}, set())


@pytest.mark.parametrize("mine", [True, False], ids=["its own", "somebody else's"])
async def test_a_claim_from_a_template_must_be_the_pods_own(cluster: FakeCluster, mine: bool) -> None:
    entry = {"name": "gpu", "resourceClaimTemplateName": "gpus"}
    pod = make_pod("web", node="node-1", resourceClaims=[entry])
    pod["status"] = {"resourceClaimStatuses": [{"name": "gpu", "resourceClaimName": "web-gpu-x"}]}
    owner = pod if mine else make_pod("other")
    claim = make_resource_claim("web-gpu-x", reserved_for=[pod], allocated=True, owner=owner)
    cluster.load(pod, claim, make_taint_rule())
    run(cluster)
    await cluster.settle()

    assert alive(cluster) == (set() if mine else {"web"})


async def test_a_pod_that_took_the_name_of_the_condemned_one_is_spared(cluster: FakeCluster) -> None:
    load_users(cluster)
    run(cluster)
    await cluster.settle()
    cluster.hold_watches()
    cluster.delete(Pod, WEB)
    cluster.load(
        make_pod("web", node="node-1") | {"metadata": {"name": "web", "namespace": "default", "uid": "new"}}
    )
    controller = DeviceTaintEvictionController(cluster.context())
    cluster.load(make_taint_rule())
    cluster.release_watches()
    await controller.reconcile(WEB)
    await cluster.settle()

    assert alive(cluster) == {"web"}
    assert cluster.events() == []


async def test_failures_only_put_it_off(cluster: FakeCluster) -> None:
    load_users(cluster)
    cluster.load(make_taint_rule())
    cluster.faults.fail_next(InternalError("broken"), times=5)
    run(cluster)
    await cluster.advance(60)

    assert alive(cluster) == set()


async def test_a_rule_tells_at_once_what_is_pending_and_later_what_is_done(cluster: FakeCluster) -> None:
    load_users(cluster, "web", "also", tolerations=[toleration(30)])
    run(cluster)
    await cluster.settle()
    cluster.load(make_taint_rule())
    await cluster.settle()
    first, since = said(cluster), cluster.clock.now()
    await cluster.advance(100)

    assert first == ("True", "PodsPendingEviction", "2 pods need to be evicted in 1 namespace.")
    assert said(cluster) == ("False", "Completed", "2 pods evicted since starting the controller.")
    found = told(cluster)
    assert found is not None
    assert found.observed_generation == 1
    assert found.last_transition_time is not None
    assert found.last_transition_time > since


async def test_a_rule_that_concerns_nobody_says_so(cluster: FakeCluster) -> None:
    cluster.load(make_taint_rule())
    run(cluster)
    await cluster.settle()

    assert said(cluster) == ("False", "NotStarted", "")


async def test_a_rule_for_the_scheduler_says_that_nobody_goes(cluster: FakeCluster) -> None:
    cluster.load(make_taint_rule(effect="NoSchedule"))
    run(cluster)
    await cluster.settle()

    assert said(cluster) == ("False", "OtherEffect", "Eviction only happens for the NoExecute effect.")


async def test_a_rule_without_effect_tells_what_it_would_do(cluster: FakeCluster) -> None:
    load_users(cluster, "web", "also")
    cluster.load(make_taint_rule(effect="None"), make_resource_slice(devices=["gpu-0", "gpu-1"]))
    run(cluster)
    await cluster.settle()

    assert said(cluster) == (
        "False",
        "NoEffect",
        "2 published devices selected. 1 allocated device selected. "
        f"2 pods would be evicted in 1 namespace {AGAIN}",
    )
    assert alive(cluster) == {"web", "also"}


async def test_a_rule_that_becomes_severe_is_told_about_anew(cluster: FakeCluster) -> None:
    load_users(cluster)
    cluster.load(make_taint_rule(effect="None"))
    run(cluster)
    await cluster.settle()
    severe = make_taint_rule()
    severe["metadata"]["generation"] = 2
    cluster.load(severe)
    await cluster.advance(30)

    assert alive(cluster) == set()
    assert said(cluster) == ("False", "Completed", "1 pod evicted since starting the controller.")


async def test_the_status_is_not_written_again_within_ten_seconds(cluster: FakeCluster) -> None:
    cluster.load(make_taint_rule())
    run(cluster)
    await cluster.settle()
    before = said(cluster)
    load_users(cluster, tolerations=[toleration(60)])
    await cluster.advance(9)
    early = said(cluster)
    await cluster.advance(2)

    assert before == early == ("False", "NotStarted", "")
    assert said(cluster) == ("True", "PodsPendingEviction", "1 pod needs to be evicted in 1 namespace.")


async def test_rules_are_nothing_where_their_gate_is_off(cluster: FakeCluster) -> None:
    load_users(cluster)
    cluster.load(make_taint_rule())
    run(cluster, feature_gates={"DRADeviceTaintRules": False})
    await cluster.settle()

    assert alive(cluster) == {"web"}
    assert said(cluster) is None
