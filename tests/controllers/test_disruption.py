"""Disruption budgets: what they allow follows Pods, owners and evictions that were granted."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Deployment, Pod
from kplane.api.types.meta import condition
from kplane.api.types.policy import PodDisruptionBudget, PodDisruptionBudgetStatus
from kplane.client.rest import Client
from kplane.controllers.disruption import DisruptionController, scaled
from kplane.testing.autoscaling import FakeMetrics
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import APP, make_deployment, make_object, make_pod, make_pods, make_replicaset

KEY = Key("default", "web")
SELECTOR = {"matchLabels": dict(APP)}


def run(cluster: FakeCluster) -> None:
    context = cluster.context("disruption-controller")
    cluster.start(context.queue.run(DisruptionController(context).reconcile))


def budget(granted: Mapping[str, str] | None = None, selector: Object = SELECTOR, **spec: Any) -> Object:
    status = {"disruptionsAllowed": 0, "currentHealthy": 0, "desiredHealthy": 0, "expectedPods": 0}
    whole = status | ({"disruptedPods": dict(granted)} if granted else {})
    return make_object(
        "policy/v1",
        "PodDisruptionBudget",
        "web",
        "default",
        spec={"selector": selector, **spec},
        status=whole,
    )


def status(cluster: FakeCluster) -> PodDisruptionBudgetStatus:
    found = cluster.get(PodDisruptionBudget, KEY)
    assert found is not None
    return found.status


def numbers(cluster: FakeCluster) -> tuple[int, int, int, int]:
    """Expected, desired and healthy Pods, and the disruptions that are allowed."""
    found = status(cluster)
    return found.expected_pods, found.desired_healthy, found.current_healthy, found.disruptions_allowed


def verdict(cluster: FakeCluster) -> tuple[str, str, str]:
    found = condition(status(cluster).conditions, "DisruptionAllowed")
    assert found is not None
    return found.status, found.reason, found.message


def load_set(cluster: FakeCluster, ready: int, unready: int = 0, replicas: int = 0) -> None:
    rs = make_replicaset(replicas=replicas or ready + unready)
    cluster.load(rs, *make_pods(ready, owner=rs, ready=True))
    cluster.load(*(make_pod(f"unready-{number}", owner=rs) for number in range(unready)))


@pytest.mark.parametrize(
    ("spec", "want"),
    [
        pytest.param({"minAvailable": 2}, (4, 2, 3, 1), id="least"),
        pytest.param({"minAvailable": 5}, (4, 5, 3, 0), id="more-than-there-are"),
        pytest.param({"minAvailable": "50%"}, (5, 3, 3, 0), id="share-of-the-scale-rounded-up"),
        pytest.param({"minAvailable": "0%"}, (5, 0, 3, 3), id="none"),
        pytest.param({"maxUnavailable": 3}, (5, 2, 3, 1), id="most"),
        pytest.param({"maxUnavailable": "30%"}, (5, 3, 3, 0), id="share-that-may-go-rounded-up"),
        pytest.param({"maxUnavailable": 9}, (5, 0, 3, 3), id="all"),
        pytest.param({}, (0, 0, 3, 0), id="neither"),
    ],
)
async def test_a_budget_counts(
    cluster: FakeCluster, spec: dict[str, Any], want: tuple[int, int, int, int]
) -> None:
    load_set(cluster, ready=3, unready=1, replicas=5)
    cluster.load(budget(**spec))
    run(cluster)

    await cluster.settle()

    assert numbers(cluster) == want
    allowed = ("True", "SufficientPods", "") if want[3] else ("False", "InsufficientPods", "")
    assert verdict(cluster) == allowed
    assert status(cluster).observed_generation == 1


def test_percentages_round_up() -> None:
    assert [scaled(value, 7) for value in ("50%", "100%", "0%", 3)] == [4, 7, 0, 3]


async def test_pods_of_two_sets_of_a_deployment_share_its_scale(cluster: FakeCluster) -> None:
    deployment = make_deployment(replicas=4)
    old, new = (make_replicaset(name, replicas=2, owner=deployment) for name in ("old", "new"))
    cluster.load(deployment, old, new, budget(maxUnavailable=1))
    cluster.load(*make_pods(2, owner=old, ready=True), *make_pods(2, owner=new, ready=True))
    run(cluster)

    await cluster.settle()

    assert numbers(cluster) == (4, 3, 4, 1)


async def test_the_status_follows_pods_and_scales(cluster: FakeCluster) -> None:
    deployment = make_deployment(replicas=2)
    rs = make_replicaset(replicas=2, owner=deployment)
    cluster.load(deployment, rs, *make_pods(2, owner=rs, ready=True), budget(maxUnavailable=1))
    run(cluster)
    await cluster.settle()
    first = numbers(cluster)

    cluster.load(make_pod("web-0", owner=rs))
    await cluster.settle()
    second = numbers(cluster)
    cluster.load(make_deployment(replicas=1))
    await cluster.settle()

    assert (first, second) == ((2, 1, 2, 1), (2, 1, 1, 0))
    assert numbers(cluster) == (1, 0, 1, 1)
    assert len(cluster.list(Deployment)) == 1


@pytest.mark.parametrize(
    ("api_version", "kind"), [("apps/v1", "StatefulSet"), ("v1", "ReplicationController")]
)
async def test_other_workloads_have_a_scale_as_well(
    cluster: FakeCluster, api_version: str, kind: str
) -> None:
    owner = make_object(api_version, kind, "web", "default", spec={"replicas": 6})
    cluster.load(owner, *make_pods(5, owner=owner, ready=True), budget(minAvailable="50%"))
    run(cluster)

    await cluster.settle()

    assert numbers(cluster) == (6, 3, 5, 2)


async def test_a_granted_eviction_counts_until_the_pod_is_gone(cluster: FakeCluster) -> None:
    load_set(cluster, ready=3)
    cluster.load(budget({"web-0": rfc3339(cluster.clock.now())}, minAvailable=1))
    run(cluster)
    await cluster.settle()
    granted = numbers(cluster), status(cluster).disrupted_pods

    cluster.delete(Pod, Key("default", "web-0"))
    await cluster.settle()

    assert granted == ((3, 1, 2, 1), {"web-0": cluster.clock.now()})
    assert (numbers(cluster), status(cluster).disrupted_pods) == ((2, 1, 2, 1), None)


async def test_a_granted_eviction_that_does_not_come_is_forgotten(cluster: FakeCluster) -> None:
    load_set(cluster, ready=3)
    cluster.load(budget({"web-0": rfc3339(cluster.clock.now())}, minAvailable=1))
    run(cluster)

    await cluster.advance(119)
    early = numbers(cluster)
    await cluster.advance(3)

    assert (early, numbers(cluster)) == ((3, 1, 2, 1), (3, 1, 3, 2))
    assert ("NotDeleted", "Pod was expected by PDB default/web to be deleted but it wasn't") in {
        (event.reason, event.message) for event in cluster.events()
    }


async def test_pods_that_are_being_deleted_are_not_healthy(cluster: FakeCluster) -> None:
    load_set(cluster, ready=2)
    leaving = make_pod("leaving", ready=True)
    leaving["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(leaving, budget(minAvailable=1))
    run(cluster)

    await cluster.settle()

    assert numbers(cluster) == (3, 1, 2, 1)


async def test_an_owner_without_a_scale_allows_nothing_and_is_told(discoverable: Any) -> None:
    job = make_object("batch/v1", "Job", "job", "default", spec={})
    discoverable.load(job, *make_pods(2, owner=job, ready=True), budget(maxUnavailable=1))
    run(discoverable)

    await discoverable.settle()

    assert numbers(discoverable)[3] == 0
    assert verdict(discoverable) == (
        "False", "SyncFailed", "jobs.batch does not implement the scale subresource",
    )  # fmt: skip
    told = (
        "Failed to calculate the number of expected pods: jobs.batch does not implement the scale subresource"
    )
    assert ("CalculateExpectedPodCountFailed", told) in {
        (event.reason, event.message) for event in discoverable.events()
    }


async def test_a_failed_budget_recovers(discoverable: Any) -> None:
    rs = make_replicaset(replicas=2)
    discoverable.load(*make_pods(2, owner=rs, ready=True), budget(maxUnavailable=1))
    run(discoverable)
    await discoverable.settle()
    failed = verdict(discoverable)

    discoverable.load(rs)
    await discoverable.settle()

    assert failed == ("False", "SyncFailed", 'found no controllers for pod "web-0"')
    assert verdict(discoverable) == ("True", "SufficientPods", "")


async def test_pods_without_an_owner_are_told_where_a_scale_is_needed(cluster: FakeCluster) -> None:
    cluster.load(make_pod(ready=True), budget(maxUnavailable=1))
    run(cluster)

    await cluster.settle()

    (told,) = {event.message for event in cluster.events() if event.reason == "UnmanagedPods"}
    assert "(selector: &LabelSelector{MatchLabels:map[string]string{app: web,}," in told
    assert numbers(cluster) == (0, 0, 1, 0)


async def test_a_budget_that_matches_no_pods_says_so(cluster: FakeCluster) -> None:
    cluster.load(budget(minAvailable=1), make_pod(labels={"app": "db"}))
    run(cluster)

    await cluster.settle()

    assert ("NoPods", "No matching pods found") in {
        (event.reason, event.message) for event in cluster.events()
    }
    assert numbers(cluster) == (0, 1, 0, 0)


async def test_an_empty_selector_matches_every_pod_of_the_namespace(cluster: FakeCluster) -> None:
    cluster.load(make_pod("a", ready=True, labels={}), make_pod("b", ready=True, namespace="other"))
    cluster.load(budget(selector={}, minAvailable=0))
    run(cluster)

    await cluster.settle()

    assert numbers(cluster) == (1, 0, 1, 1)


async def test_an_announced_disruption_that_does_not_come_is_withdrawn(cluster: FakeCluster) -> None:
    pod = make_pod(ready=True)
    since = rfc3339(cluster.clock.now())
    target = {"type": "DisruptionTarget", "status": "True", "reason": "EvictionByEvictionAPI"}
    pod["status"]["conditions"].append(target | {"lastTransitionTime": since})
    cluster.load(pod)
    run(cluster)

    await cluster.advance(timedelta(minutes=2).total_seconds() + 1)

    (found,) = cluster.list(Pod)
    withdrawn = condition(found.status.conditions, "DisruptionTarget")
    assert withdrawn is not None
    assert (withdrawn.status, withdrawn.reason) == ("False", "")
    assert found.ready


async def test_a_status_is_not_written_where_nothing_changed(cluster: FakeCluster) -> None:
    load_set(cluster, ready=2)
    cluster.load(budget(minAvailable=1))
    run(cluster)
    await cluster.settle()
    before = cluster.list(PodDisruptionBudget)[0].metadata.resource_version

    cluster.load(make_pod("unrelated", labels={"app": "db"}))
    await cluster.advance(3600)

    assert cluster.list(PodDisruptionBudget)[0].metadata.resource_version == before


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_the_status_is_right_in_the_end(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        load_set(cluster, ready=4)
        cluster.load(budget(minAvailable=1))
        run(cluster)
        for turn in range(10):
            cluster.faults.fail_next(InternalError("broken"), times=2)
            cluster.faults.lose_next_answers(times=1)
            cluster.drop_watches()
            cluster.load(make_pod(f"web-{turn % 4}", ready=dice.choice([True, False])))
            await cluster.clock.advance(dice.uniform(0, 20))
        cluster.faults.clear()
        cluster.load(*(make_pod(f"web-{number}", ready=number > 1) for number in range(4)))
        await cluster.advance(1200)

        assert numbers(cluster) == (4, 1, 2, 1)
        assert verdict(cluster) == ("True", "SufficientPods", "")


BROKEN = {"matchExpressions": [{"key": "app", "operator": "Resembles", "values": ["x"]}]}


async def test_a_selector_that_makes_no_sense_allows_nothing_and_is_told(cluster: FakeCluster) -> None:
    load_set(cluster, ready=2)
    broken = budget(selector=BROKEN, minAvailable=1)
    broken["metadata"]["generation"] = 4
    broken["status"] |= {"disruptionsAllowed": 2, "observedGeneration": 3}
    cluster.load(broken)
    run(cluster)
    await cluster.settle()

    found = condition(status(cluster).conditions, "DisruptionAllowed")
    assert found is not None
    assert (found.status, found.reason, found.observed_generation) == ("False", "SyncFailed", 3)
    assert status(cluster).disruptions_allowed == 0
    [event] = cluster.events()
    assert (event.type, event.reason) == ("Warning", "NoPods")
    assert event.message == f"Failed to get pods: {found.message}"


@pytest.mark.parametrize(
    ("value", "why"),
    [
        pytest.param("half", "invalid type: string is not a percentage", id="no-percentage"),
        pytest.param("x%", 'invalid value "x%": strconv.Atoi: parsing "x": invalid syntax', id="no-number"),
    ],
)
async def test_a_share_that_is_none_allows_nothing_and_the_next_budget_is_served(
    cluster: FakeCluster, value: str, why: str
) -> None:
    load_set(cluster, ready=2)
    good = budget(minAvailable=1)
    good["metadata"] |= {"name": "good", "uid": "good"}
    cluster.load(budget(minAvailable=value), good)
    run(cluster)
    await cluster.settle()

    assert verdict(cluster) == ("False", "SyncFailed", f"invalid value for IntOrString: {why}")
    other = cluster.get(PodDisruptionBudget, Key("default", "good"))
    assert other is not None
    assert other.status.disruptions_allowed == 1


async def test_a_scale_that_can_not_be_read_allows_nothing(discoverable: Any) -> None:
    owner = make_object("batch/v1", "Job", "job", "default", spec={})
    allowing = budget(maxUnavailable=1)
    allowing["status"]["disruptionsAllowed"] = 1
    discoverable.broken.add("batch/v1")
    discoverable.load(owner, *make_pods(2, owner=owner, ready=True), allowing)
    run(discoverable)
    await discoverable.settle()

    assert numbers(discoverable)[3] == 0
    assert verdict(discoverable)[:2] == ("False", "SyncFailed")
    assert [event.reason for event in discoverable.events()] == ["CalculateExpectedPodCountFailed"]


@pytest.mark.parametrize(
    ("uid", "want"),
    [
        pytest.param("right", ("True", "SufficientPods", ""), id="the-owner"),
        pytest.param("other", ("False", "SyncFailed", 'found no controllers for pod "job-0"'), id="another"),
    ],
)
async def test_any_owner_with_a_scale_counts(discoverable: Any, uid: str, want: tuple[str, str, str]) -> None:
    metrics = FakeMetrics(discoverable)
    metrics.set_scale(3)
    metrics.scale["metadata"]["uid"] = uid
    owner = make_object("batch/v1", "Job", "job", "default", spec={})
    owner["metadata"]["uid"] = "right"
    discoverable.load(*make_pods(3, owner=owner, ready=True), budget(maxUnavailable=1))
    context = replace(discoverable.context(), client=Client(metrics, clock=discoverable.clock))
    discoverable.start(context.queue.run(DisruptionController(context).reconcile))
    await discoverable.settle()

    assert verdict(discoverable) == want


async def test_an_owner_of_a_kind_that_is_not_served_is_told(discoverable: Any) -> None:
    owner = make_object("example.com/v1", "Widget", "w", "default", spec={})
    discoverable.load(*make_pods(1, owner=owner, ready=True), budget(maxUnavailable=1))
    run(discoverable)
    await discoverable.settle()
    assert verdict(discoverable)[2] == 'no matches for kind "Widget" in version "example.com/v1"'


async def test_a_set_whose_deployment_is_gone_counts_for_itself(cluster: FakeCluster) -> None:
    rs = make_replicaset(replicas=4, owner=make_deployment())
    cluster.load(rs, *make_pods(4, owner=rs, ready=True), budget(maxUnavailable=1))
    run(cluster)
    await cluster.settle()
    assert numbers(cluster) == (4, 3, 4, 1)


async def test_a_pod_of_several_budgets_is_told(cluster: FakeCluster) -> None:
    other = budget(minAvailable=1)
    other["metadata"] |= {"name": "all", "uid": "all"}
    cluster.load(budget(minAvailable=1), other)
    run(cluster)
    await cluster.settle()
    cluster.load(make_pod("web-0", ready=True))
    await cluster.settle()
    assert (
        "MultiplePodDisruptionBudgets",
        'Pod "default"/"web-0" matches multiple PodDisruptionBudgets.  Chose "all" arbitrarily.',
    ) in {(event.reason, event.message) for event in cluster.events()}


async def test_what_a_kubelet_announced_is_not_withdrawn(cluster: FakeCluster) -> None:
    pod = make_pod("web-0", ready=True)
    pod["status"]["conditions"].append(
        {
            "type": "DisruptionTarget", "status": "True", "reason": "TerminationByKubelet",
            "lastTransitionTime": rfc3339(cluster.clock.now()),
        }
    )  # fmt: skip
    cluster.load(pod)
    run(cluster)
    await cluster.advance(600)
    [found] = cluster.list(Pod)
    target = condition(found.status.conditions, "DisruptionTarget")
    assert target is not None
    assert target.status == "True"
