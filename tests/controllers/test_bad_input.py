"""Objects that make no sense are told of, and everything else goes on being served."""

from __future__ import annotations

import pytest

from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap, EndpointSlice, Job, Pod, ReplicaSet
from kplane.api.types.policy import PodDisruptionBudget
from kplane.controllers.config import Config
from kplane.controllers.horizontalpodautoscaler.views import HorizontalPodAutoscaler
from kplane.controllers.manager import Manager
from kplane.controllers.replicaset import BURST, ReplicaSetController
from kplane.testing.batch import make_cronjob, make_job
from kplane.testing.cluster import FakeCluster
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.objects import (
    make_configmap,
    make_deployment,
    make_object,
    make_pod,
    make_replicaset,
    make_service,
    make_template,
    owner_reference,
)

GOOD = {"app": "good"}
HOUR = 3600
NAMES = (
    "replicaset", "deployment", "statefulset", "daemonset", "job", "cronjob", "disruption",
    "garbage-collector", "endpointslice", "horizontal-pod-autoscaler",
)  # fmt: skip


async def under_control(cluster: DiscoverableCluster, *objects: Object, seconds: float = 60) -> None:
    """The objects, and a good set and CronJob beside them, under all controllers of workloads for so long."""
    good = make_replicaset("good", replicas=2, labels=GOOD, template=make_template(GOOD))
    cluster.load(good, make_cronjob("good"), *objects)
    config = Config(controllers=tuple(f"{name}-controller" for name in NAMES))
    cluster.start(Manager(cluster.client(), cluster.clock, cluster.entropy, config).run())
    await cluster.clock.advance(seconds)


def made(cluster: FakeCluster, stem: str) -> list[Pod]:
    return [pod for pod in cluster.list(Pod) if pod.metadata.name.startswith(f"{stem}-")]


def told(cluster: FakeCluster, name: str) -> set[str]:
    return {event.reason for event in cluster.events() if event.involved_object.name == name}


BROKEN: Object = {"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["x"]}]}


def make_scaler(**parts: object) -> Object:
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": "nobody"}
    spec = {"scaleTargetRef": target, "maxReplicas": 3, **parts}
    return make_object("autoscaling/v2", "HorizontalPodAutoscaler", "bad", "default", spec=spec, status={})


@pytest.mark.parametrize(
    ("bad", "reasons"),
    [
        pytest.param(make_replicaset("bad", replicas=-3), set(), id="negative-replicas"),
        pytest.param(make_replicaset("bad", selector=BROKEN), set(), id="broken-selector-of-a-set"),
        pytest.param(make_deployment("bad", selector=BROKEN), set(), id="broken-selector-of-a-deployment"),
        pytest.param(
            make_job("bad", completionMode="Sideways"), {"UnknownCompletionMode"}, id="completion-mode"
        ),
        pytest.param(make_cronjob("bad", schedule="at noon"), {"UnparseableSchedule"}, id="schedule"),
        pytest.param(make_cronjob("bad", timeZone="Atlantis/Sunken"), {"UnknownTimeZone"}, id="time-zone"),
        pytest.param(make_scaler(), {"FailedGetScale"}, id="target-of-an-autoscaler"),
    ],
)
async def test_beside_a_bad_object_every_other_is_served(
    discoverable: DiscoverableCluster, bad: Object, reasons: set[str]
) -> None:
    await under_control(discoverable, bad, seconds=HOUR + 60)

    assert made(discoverable, "bad") == []
    assert len(made(discoverable, "good")) >= 2
    assert [job.metadata.name for job in discoverable.list(Job) if "good" in job.metadata.name]
    assert told(discoverable, "bad") == reasons


async def test_a_missing_target_is_in_the_conditions_of_its_autoscaler(
    discoverable: DiscoverableCluster,
) -> None:
    await under_control(discoverable, make_scaler())
    [found] = discoverable.list(HorizontalPodAutoscaler)
    [condition] = found.status.conditions
    assert (condition.type, condition.status, condition.reason) == ("AbleToScale", "False", "FailedGetScale")


async def test_a_huge_number_of_replicas_is_made_in_bounded_steps(cluster: FakeCluster) -> None:
    cluster.load(make_replicaset("huge", replicas=2**31 - 1))
    await ReplicaSetController(cluster.context()).reconcile(Key("default", "huge"))
    assert len(cluster.list(Pod)) == BURST


async def test_sets_whose_selectors_overlap_keep_to_their_own_pods(discoverable: DiscoverableCluster) -> None:
    orphan = make_pod("orphan")
    await under_control(
        discoverable, make_replicaset("one", replicas=2), make_replicaset("two", replicas=3), orphan
    )
    owners = [pod.metadata.controller for pod in discoverable.list(Pod)]
    names = [owner.name for owner in owners if owner is not None]
    assert (names.count("one"), names.count("two"), names.count("good")) == (2, 3, 2)
    assert all(rs.status.replicas == rs.spec.replicas for rs in discoverable.list(ReplicaSet))


async def test_selectors_that_match_nothing_give_empty_answers(discoverable: DiscoverableCluster) -> None:
    nothing = {"app": "nothing"}
    spec = {"selector": {"matchLabels": nothing}, "minAvailable": 1}
    budget = make_object("policy/v1", "PodDisruptionBudget", "none", "default", spec=spec, status={})
    await under_control(discoverable, make_service(selector=nothing), budget)

    [found] = discoverable.list(PodDisruptionBudget)
    [slice_] = discoverable.list(EndpointSlice)
    assert (found.status.expected_pods, found.status.disruptions_allowed) == (0, 0)
    assert not slice_.endpoints
    assert "NoPods" in told(discoverable, "none")


async def test_an_owner_that_does_not_exist_takes_its_set_with_it_and_no_other(
    discoverable: DiscoverableCluster,
) -> None:
    nobody = make_deployment("nobody")
    await under_control(discoverable, make_replicaset("orphaned", owner=nobody, replicas=2))
    assert discoverable.get(ReplicaSet, Key("default", "orphaned")) is None
    assert made(discoverable, "orphaned") == []
    assert len(made(discoverable, "good")) == 2


def _ring() -> list[Object]:
    """Three that own each other in a circle, and one that owns itself."""
    ring = [make_configmap(name) for name in ("a", "b", "c")]
    for position, entry in enumerate(ring):
        entry["metadata"]["ownerReferences"] = [owner_reference(ring[position - 1])]
    selfish = make_configmap("selfish")
    selfish["metadata"]["ownerReferences"] = [owner_reference(selfish)]
    return [*ring, selfish]


async def test_owners_in_a_circle_keep_each_other(discoverable: DiscoverableCluster) -> None:
    await under_control(discoverable, *_ring())
    assert {entry.metadata.name for entry in discoverable.list(ConfigMap)} == {"a", "b", "c", "selfish"}


@pytest.mark.parametrize("policy", ["Background", "Foreground"])
async def test_a_circle_of_owners_goes_with_its_first(discoverable: DiscoverableCluster, policy: str) -> None:
    await under_control(discoverable, *_ring())
    # One that owns itself waits for itself in the foreground: there it has to be deleted in the background.
    for name, how in (("a", policy), ("selfish", "Background")):
        options = b'{"propagationPolicy": "%s"}' % how.encode()
        discoverable.server.handle("DELETE", ConfigMap.API.path("default", name), {}, options, "")
    await discoverable.clock.advance(60)
    assert not discoverable.list(ConfigMap)
    assert len(made(discoverable, "good")) == 2
