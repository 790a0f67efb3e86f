"""DaemonSet: one Pod per eligible node, replaced as the strategy says, whatever fails in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Node, Pod
from kplane.api.types.apps import ControllerRevision, DaemonSet
from kplane.controllers.daemonset import DaemonSetController
from kplane.controllers.daemonset.placement import Placement, node_of
from kplane.controllers.gathering import MANY
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import APP, as_view, make_node, make_object, make_pod, make_template

from ..steps import Steps

KEY = Key("default", "agent")


def rolling(**options: Any) -> Object:
    return {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0, **options}}


def make_daemonset(*, template: Object | None = None, **spec: Any) -> Object:
    whole = {
        "selector": {"matchLabels": dict(APP)},
        "template": template or make_template(),
        "updateStrategy": rolling(),
        "revisionHistoryLimit": 10,
        **spec,
    }
    return make_object("apps/v1", "DaemonSet", "agent", "default", spec=whole, status={})


def template(image: str = "web:1", **spec: Any) -> Object:
    made = make_template(image=image)
    return {**made, "spec": {**made["spec"], **spec}}


def nodes(count: int) -> list[Object]:
    return [make_node(f"node-{number}") for number in range(count)]


def run(cluster: FakeCluster) -> None:
    """A DaemonSet controller as the manager runs it."""
    context = cluster.context("daemonset-controller")
    controller = DaemonSetController(context)
    cluster.start(context.queue.run(controller.reconcile))


def placed(cluster: FakeCluster) -> list[str]:
    """The nodes of the Pods that are not going."""
    return sorted(node_of(pod) for pod in cluster.list(Pod) if pod.metadata.deletion_timestamp is None)


def images(cluster: FakeCluster) -> list[str]:
    return sorted(pod.spec.containers[0].image for pod in cluster.list(Pod))


def stored(cluster: FakeCluster) -> DaemonSet:
    found = cluster.get(DaemonSet, KEY)
    assert found is not None
    return found


def change(cluster: FakeCluster, **spec: Any) -> None:
    """As a user changes the spec."""
    found: Object | None = cluster.get(DaemonSet.API.as_type(dict), KEY)
    assert found is not None
    metadata = found["metadata"] | {"generation": found["metadata"]["generation"] + 1}
    cluster.load(found | {"metadata": metadata, "spec": found["spec"] | spec})


def set_status(cluster: FakeCluster, pod: Pod, phase: str, *, ready: bool = False) -> None:
    """As the scheduler and a kubelet would; Pods go at once, without a grace period."""
    found: Object | None = cluster.get(Pod.API.as_type(dict), pod.key)
    assert found is not None
    condition = {"type": "Ready", "status": str(ready), "lastTransitionTime": rfc3339(cluster.clock.now())}
    spec = found["spec"] | {"nodeName": node_of(pod), "terminationGracePeriodSeconds": 0}
    cluster.load(found | {"spec": spec, "status": {"phase": phase, "conditions": [condition]}})


async def make_ready(cluster: FakeCluster, rounds: int = 30) -> None:
    """What the scheduler and kubelets do, until there is nothing left to do."""
    for _ in range(rounds):
        await cluster.settle()
        unready = [pod for pod in cluster.list(Pod) if not pod.ready and pod.active]
        for pod in unready:
            set_status(cluster, pod, "Running", ready=True)
        if not unready:
            return


async def test_every_node_gets_a_pod_tied_to_it(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(3))
    run(cluster)

    await cluster.settle()

    assert placed(cluster) == ["node-0", "node-1", "node-2"]
    pod = cluster.list(Pod.API.as_type(dict))[0]
    (term,) = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"][
        "nodeSelectorTerms"
    ]
    assert term["matchFields"][0]["key"] == "metadata.name"
    assert "nodeName" not in pod["spec"]
    (revision,) = cluster.list(ControllerRevision)
    digest = pod["metadata"]["labels"]["controller-revision-hash"]
    assert revision.metadata.name == f"agent-{digest}"
    assert {event.reason for event in cluster.events()} == {"SuccessfulCreate"}


async def test_pods_tolerate_what_befalls_nodes(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(template=template(hostNetwork=True)), *nodes(1))
    run(cluster)

    await cluster.settle()

    (pod,) = cluster.list(Pod)
    assert {
        (entry.key.removeprefix("node.kubernetes.io/"), entry.effect) for entry in pod.spec.tolerations
    } == {
        ("not-ready", "NoExecute"),
        ("unreachable", "NoExecute"),
        ("disk-pressure", "NoSchedule"),
        ("memory-pressure", "NoSchedule"),
        ("pid-pressure", "NoSchedule"),
        ("unschedulable", "NoSchedule"),
        ("network-unavailable", "NoSchedule"),
    }
    assert {entry.operator for entry in pod.spec.tolerations} == {"Exists"}


async def test_a_daemon_tolerates_failures_of_its_node_for_ever(cluster: FakeCluster) -> None:
    brief = {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute"}
    own = {"key": "gpu", "operator": "Exists"}
    tolerations = [brief | {"tolerationSeconds": 300}, own]
    cluster.load(make_daemonset(template=template(tolerations=tolerations)), *nodes(1))
    run(cluster)

    await cluster.settle()

    (pod,) = cluster.list(Pod)
    keys = [entry.key for entry in pod.spec.tolerations]
    assert keys[:2] == [brief["key"], "gpu"]
    assert keys.count(brief["key"]) == 1
    assert {entry.toleration_seconds for entry in pod.spec.tolerations} == {None}


async def test_changes_of_many_pods_cost_few_steps(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(MANY))
    context = cluster.context("daemonset-controller")
    steps = Steps(cluster, context, DaemonSetController(context))
    await cluster.advance(1)
    steps.taken = 0
    for pod in cluster.list(Pod):
        ready = {"status": {"conditions": [{"type": "Ready", "status": "True"}]}}
        await cluster.client().patch(Pod, pod.metadata.name, "default", ready, subresource="status")
        await cluster.advance(0.0005)
    await cluster.advance(1)

    found = cluster.get(DaemonSet, KEY)
    assert found is not None
    assert found.status.number_ready == MANY
    assert steps.taken < MANY / 2


def required(**term: Any) -> Object:
    terms = {"nodeSelectorTerms": [term]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}


def by_zone(operator: str, *values: str) -> Object:
    return required(matchExpressions=[{"key": "zone", "operator": operator, "values": list(values)}])


@pytest.mark.parametrize(
    ("spec", "node", "start", "stay"),
    [
        pytest.param({}, {}, True, True, id="any"),
        pytest.param({"nodeName": "other"}, {}, False, False, id="named-otherwise"),
        pytest.param({"nodeSelector": {"zone": "a"}}, {"labels": {"zone": "a"}}, True, True, id="selected"),
        pytest.param({"nodeSelector": {"zone": "a"}}, {}, False, False, id="not-selected"),
        pytest.param({"affinity": by_zone("In", "a")}, {"labels": {"zone": "a"}}, True, True, id="affine"),
        pytest.param({"affinity": by_zone("NotIn", "a")}, {"labels": {"zone": "a"}}, False, False, id="out"),
        pytest.param({"affinity": by_zone("Gt", "4")}, {"labels": {"zone": "5"}}, True, True, id="greater"),
        pytest.param({"affinity": by_zone("DoesNotExist")}, {}, True, True, id="does-not-exist"),
        pytest.param({"affinity": required()}, {}, False, False, id="an-empty-term-matches-nothing"),
        pytest.param({}, {"taints": [{"key": "a", "effect": "NoSchedule"}]}, False, True, id="no-schedule"),
        pytest.param({}, {"taints": [{"key": "a", "effect": "NoExecute"}]}, False, False, id="no-execute"),
        pytest.param({}, {"taints": [{"key": "a", "effect": "PreferNoSchedule"}]}, True, True, id="prefer"),
        pytest.param(
            {"tolerations": [{"key": "a", "operator": "Exists"}]},
            {"taints": [{"key": "a", "value": "x", "effect": "NoSchedule"}]},
            True, True, id="tolerated",
        ),
        pytest.param(
            {"tolerations": [{"key": "a", "value": "y"}]},
            {"taints": [{"key": "a", "value": "x", "effect": "NoSchedule"}]},
            False, True, id="tolerated-with-another-value",
        ),
        pytest.param(
            {}, {"taints": [{"key": "node.kubernetes.io/unschedulable", "effect": "NoSchedule"}]},
            True, True, id="cordoned",
        ),
    ],
)  # fmt: skip
def test_a_node_is_eligible_by_name_labels_and_taints(
    spec: Object, node: Object, start: bool, stay: bool
) -> None:
    ds = as_view(DaemonSet, make_daemonset(template=template(**spec)))

    assert Placement.of(ds).eligibility(as_view(Node, make_node(**node))) == (start, stay)


async def test_pods_follow_nodes_that_come_and_change(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(template=template(nodeSelector={"disk": "ssd"})), *nodes(2))
    run(cluster)
    await cluster.settle()
    none = placed(cluster)

    cluster.load(make_node("node-0", labels={"disk": "ssd"}), make_node("node-9", labels={"disk": "ssd"}))
    await make_ready(cluster)
    both = placed(cluster)
    cluster.load(make_node("node-0"))
    await cluster.settle()

    assert (none, both, placed(cluster)) == ([], ["node-0", "node-9"], ["node-9"])


async def test_a_pod_that_waits_for_a_node_that_is_gone_is_deleted(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(2))
    run(cluster)
    await cluster.settle()

    cluster.delete(Node, Key("", "node-1"))
    await cluster.settle()

    assert placed(cluster) == ["node-0"]


async def test_of_several_pods_on_a_node_the_oldest_stays(cluster: FakeCluster) -> None:
    ds = make_daemonset()
    young, old = make_pod("young", owner=ds, node="node-0"), make_pod("old", owner=ds, node="node-0")
    young["metadata"]["creationTimestamp"] = "2026-01-01T00:00:01Z"
    for pod in (young, old):
        pod["spec"]["terminationGracePeriodSeconds"] = 0
    cluster.load(ds, *nodes(1), young, old)

    await DaemonSetController(cluster.context()).reconcile(KEY)

    assert "young" not in {pod.metadata.name for pod in cluster.list(Pod)}


async def test_failed_pods_are_replaced_ever_more_slowly(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(1))
    run(cluster)
    seen: set[str] = set()

    for _ in range(60):
        await cluster.settle()
        for pod in cluster.list(Pod):
            seen.add(pod.metadata.name)
            if not pod.terminal:
                set_status(cluster, pod, "Failed")
        await cluster.advance(1)

    # Replaced at once, then after 1, 2, 4, 8, 16 seconds.
    assert 6 <= len(seen) <= 8
    assert placed(cluster) == ["node-0"]
    reasons = {event.reason for event in cluster.events()}
    assert "FailedDaemonPod" in reasons


async def test_a_rolling_update_replaces_as_many_as_may_be_unavailable(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(updateStrategy=rolling(maxUnavailable="40%")), *nodes(4))
    run(cluster)
    await make_ready(cluster)

    change(cluster, template=template("web:2"))
    await cluster.settle()
    under_way = images(cluster)
    await make_ready(cluster)

    assert under_way == ["web:1", "web:1", "web:2", "web:2"]
    assert images(cluster) == ["web:2"] * 4
    status = stored(cluster).status
    assert (status.updated_number_scheduled, status.number_available, status.number_unavailable) == (4, 4, 0)
    assert status.observed_generation == 2
    assert sorted(entry.revision for entry in cluster.list(ControllerRevision)) == [1, 2]


async def test_a_surging_update_keeps_the_old_pod_until_the_new_one_is_available(
    cluster: FakeCluster,
) -> None:
    cluster.load(make_daemonset(updateStrategy=rolling(maxUnavailable=0, maxSurge=1)), *nodes(3))
    run(cluster)
    await make_ready(cluster)

    change(cluster, template=template("web:2"))
    await cluster.settle()
    under_way = images(cluster)
    await make_ready(cluster)

    assert under_way == ["web:1", "web:1", "web:1", "web:2"]
    assert images(cluster) == ["web:2"] * 3


async def test_pods_that_do_not_work_are_replaced_whatever_the_limit(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(4))
    run(cluster)
    await cluster.settle()

    change(cluster, template=template("web:2"))
    await cluster.settle()

    assert images(cluster) == ["web:2"] * 4


async def test_on_delete_updates_only_pods_that_somebody_deletes(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(updateStrategy={"type": "OnDelete"}), *nodes(2))
    run(cluster)
    await make_ready(cluster)

    change(cluster, template=template("web:2"))
    await make_ready(cluster)
    before = images(cluster)
    cluster.delete(Pod, cluster.list(Pod)[0].key)
    await make_ready(cluster)

    assert (before, images(cluster)) == (["web:1", "web:1"], ["web:1", "web:2"])


async def test_status_counts_nodes(cluster: FakeCluster) -> None:
    ds = make_daemonset(minReadySeconds=30, template=template(nodeSelector={"disk": "ssd"}))
    fleet = [make_node(f"node-{number}", labels={"disk": "ssd"}) for number in range(3)]
    tainted = make_node("node-3", labels={"disk": "ssd"}, taints=[{"key": "a", "effect": "NoSchedule"}])
    proven, fresh = (make_pod(name, owner=ds, node=f"node-{at}", ready=True) for at, name in enumerate("ab"))
    proven["status"]["conditions"][0]["lastTransitionTime"] = "2025-12-31T00:00:00Z"
    fresh["status"]["conditions"][0]["lastTransitionTime"] = rfc3339(cluster.clock.now())
    stray = make_pod("c", owner=ds, node="node-3", ready=True)
    cluster.load(ds, *fleet, tainted, proven, fresh, stray)
    change(cluster, updateStrategy={"type": "OnDelete"})

    await DaemonSetController(cluster.context()).reconcile(KEY)

    status = stored(cluster).status
    assert (status.desired_number_scheduled, status.current_number_scheduled) == (3, 2)
    assert (status.number_misscheduled, status.number_ready) == (1, 2)
    assert (status.number_available, status.number_unavailable) == (1, 2)


async def test_own_pods_are_not_created_twice_while_the_cache_lags(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(3))
    controller = DaemonSetController(cluster.context())
    cluster.hold_watches()

    await controller.reconcile(KEY)
    outcome = await controller.reconcile(KEY)

    assert outcome is not None
    assert len(cluster.list(Pod)) == 3


async def test_a_refused_pod_shows_as_an_event(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(), *nodes(1))
    controller = DaemonSetController(cluster.context())
    cluster.faults.fail_next(Forbidden("exceeded quota"), plural="pods")

    with pytest.raises(Forbidden):
        await controller.reconcile(KEY)

    assert [event.message for event in cluster.events()] == ["Error creating: exceeded quota"]


async def test_a_set_that_selects_everything_does_nothing_and_says_so(cluster: FakeCluster) -> None:
    cluster.load(make_daemonset(selector={}), *nodes(1))

    await DaemonSetController(cluster.context()).reconcile(KEY)

    (event,) = cluster.events()
    assert (event.reason, len(cluster.list(Pod))) == ("SelectingAll", 0)


@pytest.mark.parametrize("seed", range(6))
async def test_failures_end_in_exactly_one_pod_per_node(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        strategy = dice.choice([rolling(maxUnavailable=2), rolling(maxUnavailable=0, maxSurge=1)])
        cluster.load(make_daemonset(updateStrategy=strategy), *nodes(4))
        run(cluster)
        for number in range(10):
            _break_something(cluster, dice)
            if dice.uniform(0, 1) > 0.5:
                change(cluster, template=template(f"web:{number}"))
            cluster.load(make_node(f"node-{int(dice.uniform(0, 6))}", labels={"round": str(number)}))
            await cluster.advance(dice.uniform(0, 8))
            await make_ready(cluster, rounds=2)
        cluster.load(*nodes(6))
        change(cluster, template=template("last"))
        for _ in range(10):
            await make_ready(cluster)
            await cluster.advance(timedelta(minutes=20).total_seconds())

        assert placed(cluster) == [f"node-{number}" for number in range(6)]
        assert images(cluster) == ["last"] * 6
        assert stored(cluster).status.number_available == 6


@pytest.mark.parametrize("plural", ["controllerrevisions", "pods", "daemonsets"])
async def test_a_restart_between_writes_loses_and_doubles_nothing(cluster: FakeCluster, plural: str) -> None:
    cluster.load(make_daemonset(), *nodes(4))
    cluster.faults.fail_next(InternalError("gone in the middle"), plural=plural)
    with pytest.raises(InternalError):
        await DaemonSetController(cluster.context()).reconcile(KEY)

    run(cluster)
    await make_ready(cluster)
    await cluster.advance(3600)

    assert placed(cluster) == [f"node-{number}" for number in range(4)]
    assert len(cluster.list(ControllerRevision)) == 1


def _break_something(cluster: FakeCluster, dice: Entropy) -> None:
    kind = dice.choice(["refuse", "lose", "drop", "quiet"])
    if kind == "refuse":
        cluster.faults.fail_next(InternalError("broken"), times=2)
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=2)
    elif kind == "drop":
        cluster.drop_watches()
