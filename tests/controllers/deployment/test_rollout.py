"""Whole rollouts: Deployment and ReplicaSet controllers together; Pods become ready on command."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Conflict, Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Deployment, Pod, ReplicaSet
from kplane.api.types.meta import condition
from kplane.controllers.deployment import DeploymentController
from kplane.controllers.deployment.history import HISTORY, REVISION
from kplane.controllers.deployment.template import HASH_LABEL, template_hash
from kplane.controllers.replicaset import ReplicaSetController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_deployment, make_pod, make_replicaset, make_template

KEY = Key("default", "web")


def run(cluster: FakeCluster) -> None:
    """Both controllers, as the manager runs them."""
    for make in (DeploymentController, ReplicaSetController):
        context = cluster.context(make.name)
        cluster.start(context.queue.run(make(context).reconcile))


async def make_ready(cluster: FakeCluster) -> bool:
    """What kubelets do, once: every Pod that starts becomes ready. Tells whether there was any."""
    pods = [pod for pod in cluster.list(Pod.API.as_type(dict)) if pod["status"]["phase"] == "Pending"]
    moment = rfc3339(cluster.clock.now())
    ready = {"type": "Ready", "status": "True", "lastTransitionTime": moment}
    cluster.load(*(pod | {"status": {"phase": "Running", "conditions": [ready]}} for pod in pods))
    await cluster.settle()
    return bool(pods)


async def finish(cluster: FakeCluster) -> None:
    await cluster.settle()
    while await make_ready(cluster):
        await cluster.advance(1)


def change(cluster: FakeCluster, **spec: Any) -> None:
    """Write the Deployment's spec, as kubectl would."""
    body: Object | None = cluster.get(Deployment.API.as_type(dict), KEY)
    assert body is not None
    metadata = body["metadata"] | {"generation": body["metadata"]["generation"] + 1}
    cluster.load(body | {"metadata": metadata, "spec": body["spec"] | spec})


def stored(cluster: FakeCluster) -> Deployment:
    found = cluster.get(Deployment, KEY)
    assert found is not None
    return found


def sizes(cluster: FakeCluster) -> dict[str, int]:
    """Image -> replicas, of all sets."""
    return {
        rs.spec.template["spec"]["containers"][0]["image"]: rs.spec.replicas
        for rs in cluster.list(ReplicaSet)
    }


def progress(cluster: FakeCluster) -> tuple[str, str, str]:
    found = condition(stored(cluster).status.conditions, "Progressing")
    assert found is not None
    return found.status, found.reason, found.message


async def test_a_new_deployment_gets_a_set_pods_and_a_complete_status(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=3))
    run(cluster)

    await finish(cluster)

    (rs,) = cluster.list(ReplicaSet)
    digest = template_hash(make_template(), None)
    assert rs.metadata.name == f"web-{digest}"
    assert rs.metadata.labels == {"app": "web", HASH_LABEL: digest}
    assert rs.spec.selector.match_labels == {"app": "web", HASH_LABEL: digest}
    status = stored(cluster).status
    assert (status.replicas, status.updated_replicas, status.available_replicas) == (3, 3, 3)
    assert (status.unavailable_replicas, status.observed_generation) == (0, 1)
    assert progress(cluster) == (
        "True", "NewReplicaSetAvailable", f'ReplicaSet "web-{digest}" has successfully progressed.',
    )  # fmt: skip
    available = condition(status.conditions, "Available")
    assert available is not None
    assert (available.reason, available.message) == (
        "MinimumReplicasAvailable", "Deployment has minimum availability.",
    )  # fmt: skip
    assert stored(cluster).metadata.annotations[REVISION] == "1"
    told = [event.message for event in cluster.events() if event.reason == "ScalingReplicaSet"]
    assert told == [f"Scaled up replica set web-{digest} from 0 to 3"]


async def test_a_set_has_the_seconds_until_its_pods_are_available_if_there_are_any(
    cluster: FakeCluster,
) -> None:
    cluster.load(make_deployment(replicas=1))
    run(cluster)
    seen: list[Any] = []

    for seconds in (0, 5, 0):
        change(cluster, minReadySeconds=seconds)
        await finish(cluster)
        (rs,) = cluster.list(ReplicaSet.API.as_type(dict))
        seen.append(rs["spec"].get("minReadySeconds"))

    assert seen == [None, 5, None]


async def test_writing_the_revision_makes_no_new_generation(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1))
    run(cluster)

    await finish(cluster)

    assert stored(cluster).metadata.generation == 1


async def test_a_new_template_is_rolled_out_within_the_limits(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=4))
    run(cluster)
    await finish(cluster)
    counts: list[tuple[int, int]] = []
    cluster.context().informer(Pod).on_change(lambda old, new: counts.append(_count(cluster)))

    change(cluster, template=make_template(image="web:2"))
    await finish(cluster)

    assert sizes(cluster) == {"web:1": 0, "web:2": 4}
    assert max(total for total, _ in counts) <= 5
    assert min(ready for _, ready in counts) >= 3
    assert stored(cluster).metadata.annotations[REVISION] == "2"


def _count(cluster: FakeCluster) -> tuple[int, int]:
    pods = [pod for pod in cluster.list(Pod) if pod.active]
    return len(pods), sum(pod.ready for pod in pods)


async def test_rolling_back_reuses_the_old_set_under_a_new_revision(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=2))
    run(cluster)
    await finish(cluster)
    change(cluster, template=make_template(image="web:2"))
    await finish(cluster)

    change(cluster, template=make_template(image="web:1"))
    await finish(cluster)

    assert sizes(cluster) == {"web:1": 2, "web:2": 0}
    (back,) = [rs for rs in cluster.list(ReplicaSet) if rs.spec.replicas]
    assert back.metadata.annotations[REVISION] == "3"
    assert back.metadata.annotations[HISTORY] == "1"


async def test_recreate_stops_everything_old_first(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=2, strategy={"type": "Recreate"}))
    run(cluster)
    await finish(cluster)
    together: list[set[str]] = []
    cluster.context().informer(Pod).on_change(lambda old, new: together.append(_images(cluster)))

    change(cluster, template=make_template(image="web:2"))
    await finish(cluster)

    assert sizes(cluster) == {"web:1": 0, "web:2": 2}
    assert all(len(images) <= 1 for images in together)


async def test_recreate_waits_for_pods_that_take_their_time_to_stop(cluster: FakeCluster) -> None:
    on_node = make_template()
    on_node["spec"]["nodeName"] = "node-1"
    cluster.load(make_deployment(replicas=2, strategy={"type": "Recreate"}, template=on_node))
    run(cluster)
    await finish(cluster)
    old = [pod.key for pod in cluster.list(Pod)]

    change(cluster, template=make_template(image="web:2"))
    await cluster.settle()
    cluster.delete(Pod, old[0])
    await cluster.settle()
    while_one_stops = _images(cluster)
    cluster.delete(Pod, old[1])
    await finish(cluster)

    assert while_one_stops == {"web:1"}
    assert _images(cluster) == {"web:2"}
    assert len(cluster.list(Pod)) == 2


async def test_recreate_goes_on_when_the_last_old_pod_goes_though_no_set_tells(cluster: FakeCluster) -> None:
    web = make_deployment(replicas=1, strategy={"type": "Recreate"}, template=make_template(image="web:2"))
    old = make_replicaset("old", replicas=0, owner=web)
    cluster.load(web, old, make_pod("slow", owner=old))
    context = cluster.context()
    cluster.start(context.queue.run(DeploymentController(context).reconcile))
    await cluster.settle()
    before = len(cluster.list(ReplicaSet))

    cluster.delete(Pod, Key("default", "slow"))
    await cluster.settle()

    assert (before, len(cluster.list(ReplicaSet))) == (1, 2)


async def test_scaling_a_stuck_rollout_keeps_its_proportions(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=10))
    run(cluster)
    await finish(cluster)
    change(cluster, template=make_template(image="web:broken"))
    await cluster.settle()
    stuck = sizes(cluster)

    change(cluster, replicas=20)
    await cluster.settle()

    assert stuck == {"web:1": 8, "web:broken": 5}
    assert sizes(cluster) == {"web:1": 15, "web:broken": 10}


def _images(cluster: FakeCluster) -> set[str]:
    return {container.image for pod in cluster.list(Pod) for container in pod.spec.containers}


async def test_a_paused_deployment_scales_but_rolls_nothing_out(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=2))
    run(cluster)
    await finish(cluster)

    change(cluster, paused=True, template=make_template(image="web:2"), replicas=3)
    await finish(cluster)
    paused = (sizes(cluster), progress(cluster))
    change(cluster, paused=False)
    await finish(cluster)

    assert paused == ({"web:1": 3}, ("Unknown", "DeploymentPaused", "Deployment is paused"))
    assert sizes(cluster) == {"web:1": 0, "web:2": 3}


async def test_a_rollout_that_does_not_advance_times_out_once(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1, progressDeadlineSeconds=60))
    run(cluster)
    await cluster.settle()

    await cluster.advance(50)
    early = progress(cluster)[1]
    await cluster.advance(20)

    (rs,) = cluster.list(ReplicaSet)
    assert early == "ReplicaSetUpdated"
    assert progress(cluster) == (
        "False", "ProgressDeadlineExceeded", f'ReplicaSet "{rs.metadata.name}" has timed out progressing.',
    )  # fmt: skip


async def test_old_sets_beyond_the_limit_go(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1, revisionHistoryLimit=1))
    run(cluster)
    for version in range(2, 6):
        await finish(cluster)
        change(cluster, template=make_template(image=f"web:{version}"))
    await finish(cluster)

    assert sizes(cluster) == {"web:4": 0, "web:5": 1}


async def test_matching_orphan_sets_are_adopted_and_used(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=2), make_replicaset("left", replicas=2))
    run(cluster)

    await finish(cluster)

    (rs,) = cluster.list(ReplicaSet)
    assert rs.metadata.controller is not None
    assert rs.metadata.controller.name == "web"
    assert stored(cluster).status.available_replicas == 2


async def test_a_hash_collision_gets_another_hash(cluster: FakeCluster) -> None:
    digest = template_hash(make_template(), None)
    squatter = make_replicaset(f"web-{digest}", replicas=0, labels={"app": "squatter"})
    cluster.load(make_deployment(replicas=1), squatter)
    run(cluster)

    await cluster.advance(5)
    await finish(cluster)

    assert stored(cluster).status.collision_count == 1
    (mine,) = [rs for rs in cluster.list(ReplicaSet) if rs.metadata.controller]
    assert mine.metadata.name == f"web-{template_hash(make_template(), 1)}"


async def test_a_set_that_cannot_be_created_is_told_of(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1))
    context = cluster.context()
    cluster.faults.fail_next(Forbidden("no more sets"), plural="replicasets")

    with pytest.raises(Forbidden):
        await DeploymentController(context).reconcile(KEY)

    digest = template_hash(make_template(), None)
    message = f'Failed to create new replica set "web-{digest}": no more sets'
    assert progress(cluster) == ("False", "ReplicaSetCreateError", message)
    assert [event.message for event in cluster.events()] == [message]


async def test_a_failure_of_the_new_set_shows_in_the_deployment(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1))
    run(cluster)
    cluster.faults.fail_next(Forbidden("exceeded quota"), times=3, plural="pods")

    await cluster.settle()

    failure = condition(stored(cluster).status.conditions, "ReplicaFailure")
    assert failure is not None
    assert (failure.reason, failure.message) == ("FailedCreate", "exceeded quota")


async def test_a_deployment_that_selects_everything_is_refused(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(selector={}))
    run(cluster)

    await cluster.settle()

    assert list(cluster.list(ReplicaSet)) == []
    assert {event.reason for event in cluster.events()} == {"SelectingAll"}
    assert stored(cluster).status.observed_generation == 1


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_the_rollout_ends_in_the_last_template(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_deployment(replicas=3))
        run(cluster)
        for version in range(2, 6):
            _break_something(cluster, dice)
            change(cluster, template=make_template(image=f"web:{version}"), replicas=version)
            await cluster.advance(dice.uniform(0, 3))
            await make_ready(cluster)
        for _ in range(30):
            await cluster.advance(20)
            await make_ready(cluster)

        assert {image: size for image, size in sizes(cluster).items() if size} == {"web:5": 5}
        assert _images(cluster) == {"web:5"}
        assert len(cluster.list(Pod)) == 5
        assert progress(cluster)[1] == "NewReplicaSetAvailable"
        assert stored(cluster).status.unavailable_replicas == 0


def _break_something(cluster: FakeCluster, dice: Entropy) -> None:
    kind = dice.choice(["refuse", "conflict", "lose", "drop", "restart"])
    if kind == "refuse":
        cluster.faults.fail_next(InternalError("broken"), times=3)
    elif kind == "conflict":
        cluster.faults.fail_next(Conflict("the object has been modified"), times=3)
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=3)
    elif kind == "drop":
        cluster.drop_watches()
    else:
        run(cluster)  # A second pair of controllers, as after a restart whose predecessor lingers.
