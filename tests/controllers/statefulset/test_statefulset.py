"""StatefulSet: order, identity, storage and updates, whatever fails in between."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.clock import Entropy, rfc3339
from kplane.api.errors import Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.api.types.apps import ControllerRevision, StatefulSet
from kplane.controllers.gathering import MANY
from kplane.controllers.statefulset import StatefulSetController
from kplane.controllers.statefulset.claims import CLAIMS
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import APP, make_object, make_pod, make_pods, make_template

from ..steps import Steps

KEY = Key("default", "web")
WHOLE_CLAIM = CLAIMS.as_type(dict)


def make_statefulset(*, replicas: int = 1, **spec: Any) -> Object:
    whole = {
        "replicas": replicas,
        "serviceName": "headless",
        "selector": {"matchLabels": dict(APP)},
        "template": make_template(),
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        **spec,
    }
    return make_object("apps/v1", "StatefulSet", "web", "default", spec=whole, status={})


def claim_template(name: str = "data") -> Object:
    return {"metadata": {"name": name}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}


def run(cluster: FakeCluster) -> StatefulSetController:
    """A StatefulSet controller as the manager runs it."""
    context = cluster.context("statefulset-controller")
    controller = StatefulSetController(context)
    cluster.start(context.queue.run(controller.reconcile))
    return controller


def pods(cluster: FakeCluster) -> dict[str, Pod]:
    return {pod.metadata.name: pod for pod in cluster.list(Pod)}


def images(cluster: FakeCluster) -> list[str]:
    return [pod.spec.containers[0].image for pod in cluster.list(Pod)]


def stored(cluster: FakeCluster) -> StatefulSet:
    found = cluster.get(StatefulSet, KEY)
    assert found is not None
    return found


def change(cluster: FakeCluster, **spec: Any) -> None:
    """As a user changes the spec."""
    found: Object | None = cluster.get(StatefulSet.API.as_type(dict), KEY)
    assert found is not None
    metadata = found["metadata"] | {"generation": found["metadata"]["generation"] + 1}
    cluster.load(found | {"metadata": metadata, "spec": found["spec"] | spec})


def set_ready(cluster: FakeCluster, name: str, *, ready: bool = True) -> None:
    found: Object | None = cluster.get(Pod.API.as_type(dict), Key("default", name))
    assert found is not None
    condition = {
        "type": "Ready",
        "status": "True" if ready else "False",
        "lastTransitionTime": rfc3339(cluster.clock.now()),
    }
    cluster.load(found | {"status": {"phase": "Running", "conditions": [condition]}})


async def make_ready(cluster: FakeCluster, rounds: int = 20) -> None:
    """What kubelets do, until there is nothing left to do."""
    for _ in range(rounds):
        await cluster.settle()
        unready = [name for name, pod in pods(cluster).items() if not pod.ready and pod.active]
        for name in unready:
            set_ready(cluster, name)
        if not unready:
            return


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        pytest.param("OrderedReady", ["web-0"], id="one-after-the-other"),
        pytest.param("Parallel", ["web-0", "web-1", "web-2"], id="all-at-once"),
    ],
)
async def test_pods_are_created_in_the_order_that_the_policy_says(
    cluster: FakeCluster, policy: str, expected: list[str]
) -> None:
    cluster.load(make_statefulset(replicas=3, podManagementPolicy=policy))
    run(cluster)

    await cluster.settle()
    first = sorted(pods(cluster))
    await make_ready(cluster)

    assert first == expected
    assert sorted(pods(cluster)) == ["web-0", "web-1", "web-2"]


async def test_a_pod_has_the_identity_of_its_ordinal(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(ordinals={"start": 5}, volumeClaimTemplates=[claim_template()]))
    run(cluster)

    await cluster.settle()

    (pod,) = cluster.list(Pod.API.as_type(dict))
    labels = pod["metadata"]["labels"]
    assert (pod["metadata"]["name"], pod["spec"]["hostname"], pod["spec"]["subdomain"]) == (
        "web-5", "web-5", "headless",
    )  # fmt: skip
    assert labels["statefulset.kubernetes.io/pod-name"] == "web-5"
    assert labels["apps.kubernetes.io/pod-index"] == "5"
    assert labels["controller-revision-hash"] == stored(cluster).status.update_revision
    assert pod["spec"]["volumes"] == [{"name": "data", "persistentVolumeClaim": {"claimName": "data-web-5"}}]
    assert pod["metadata"]["generateName"] == "web-"


async def test_claims_are_made_from_their_templates_and_told(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(volumeClaimTemplates=[claim_template()]))
    run(cluster)

    await cluster.settle()

    (claim,) = cluster.list(WHOLE_CLAIM)
    assert (claim["metadata"]["name"], claim["metadata"]["labels"]) == ("data-web-0", dict(APP))
    assert claim["spec"] == claim_template()["spec"]
    assert [(event.reason, event.message) for event in cluster.events()] == [
        ("SuccessfulCreate", "create Claim data-web-0 Pod web-0 in StatefulSet web success"),
        ("SuccessfulCreate", "create Pod web-0 in StatefulSet web successful"),
    ]


async def test_a_pod_waits_for_a_claim_that_is_being_deleted(cluster: FakeCluster) -> None:
    claim = make_object("v1", "PersistentVolumeClaim", "data-web-0", "default", finalizers=["a.io/b"])
    claim["metadata"]["deletionTimestamp"] = rfc3339(cluster.clock.now())
    cluster.load(make_statefulset(volumeClaimTemplates=[claim_template()]), claim)
    run(cluster)
    await cluster.settle()
    before = sorted(pods(cluster))

    cluster.delete(CLAIMS, Key("default", "data-web-0"))
    await cluster.advance(3600)

    assert (before, sorted(pods(cluster))) == ([], ["web-0"])


@pytest.mark.parametrize(
    ("deleted", "scaled", "before", "after"),
    [
        pytest.param("Retain", "Retain", [], [], id="retain"),
        pytest.param("Delete", "Retain", ["StatefulSet"], ["StatefulSet"], id="with-the-set"),
        pytest.param("Retain", "Delete", [], ["Pod"], id="with-the-scaled-pod"),
        pytest.param("Delete", "Delete", ["StatefulSet"], ["Pod"], id="with-both"),
    ],
)
async def test_claims_belong_to_whom_the_retention_policy_says(
    cluster: FakeCluster, deleted: str, scaled: str, before: list[str], after: list[str]
) -> None:
    policy = {"whenDeleted": deleted, "whenScaled": scaled}
    cluster.load(
        make_statefulset(
            replicas=2,
            volumeClaimTemplates=[claim_template()],
            persistentVolumeClaimRetentionPolicy=policy,
        )
    )
    run(cluster)

    await make_ready(cluster)
    first = owners_of(cluster, "data-web-1")
    change(cluster, replicas=1)
    await cluster.settle()

    assert (first, owners_of(cluster, "data-web-1")) == (before, after)
    assert sorted(pods(cluster)) == ["web-0"]


def owners_of(cluster: FakeCluster, claim: str) -> list[str]:
    found = cluster.get(CLAIMS, Key("default", claim))
    assert found is not None
    return [owner.kind for owner in found.metadata.owner_references]


async def test_a_pod_does_not_take_the_claim_that_goes_with_its_predecessor(cluster: FakeCluster) -> None:
    gone = make_pod("web-0")
    claim = make_object("v1", "PersistentVolumeClaim", "data-web-0", "default", owner=gone)
    cluster.load(make_statefulset(volumeClaimTemplates=[claim_template()]), claim)
    run(cluster)
    await cluster.settle()
    before = sorted(pods(cluster))

    cluster.delete(CLAIMS, Key("default", "data-web-0"))
    await cluster.settle()

    assert (before, sorted(pods(cluster))) == ([], ["web-0"])


async def test_an_ordered_set_shrinks_from_the_highest_ordinal_one_at_a_time(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=4))
    run(cluster)
    await make_ready(cluster)

    set_ready(cluster, "web-1", ready=False)
    change(cluster, replicas=2)
    await cluster.settle()
    blocked = sorted(pods(cluster))
    set_ready(cluster, "web-1")
    await cluster.settle()

    assert blocked == ["web-0", "web-1", "web-2", "web-3"]
    assert sorted(pods(cluster)) == ["web-0", "web-1"]
    deletions = [event.message for event in cluster.events() if event.reason == "SuccessfulDelete"]
    assert deletions == [f"delete Pod web-{n} in StatefulSet web successful" for n in (3, 2)]


async def test_a_pod_that_has_ended_comes_back_under_its_name(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=2))
    run(cluster)
    await make_ready(cluster)
    before = pods(cluster)["web-0"].metadata.uid

    ended: Object | None = cluster.get(Pod.API.as_type(dict), Key("default", "web-0"))
    assert ended is not None
    cluster.load(ended | {"status": {"phase": "Failed"}})
    await make_ready(cluster)

    assert pods(cluster)["web-0"].metadata.uid != before
    assert pods(cluster)["web-0"].ready


async def test_an_update_goes_from_the_highest_ordinal_down_and_keeps_history(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=3))
    run(cluster)
    await make_ready(cluster)
    first = stored(cluster).status

    change(cluster, template=make_template(image="web:2"))
    await cluster.settle()
    under_way = images(cluster)
    await make_ready(cluster)

    assert under_way == ["web:1", "web:1", "web:2"]
    assert images(cluster) == ["web:2"] * 3
    status = stored(cluster).status
    assert status.current_revision == status.update_revision != first.update_revision
    assert (status.current_replicas, status.updated_replicas, status.available_replicas) == (3, 3, 3)
    assert status.observed_generation == 2
    assert sorted(entry.revision for entry in cluster.list(ControllerRevision)) == [1, 2]


async def test_a_rollback_renumbers_the_old_revision(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=1))
    run(cluster)
    await make_ready(cluster)
    first = stored(cluster).status.update_revision

    change(cluster, template=make_template(image="web:2"))
    await make_ready(cluster)
    change(cluster, template=make_template())
    await make_ready(cluster)

    assert images(cluster) == ["web:1"]
    assert stored(cluster).status.update_revision == first
    numbers = {entry.metadata.name: entry.revision for entry in cluster.list(ControllerRevision)}
    assert numbers[first] == 3


async def test_revisions_beyond_the_limit_are_deleted(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=1, revisionHistoryLimit=1))
    run(cluster)
    for number in range(1, 6):
        await make_ready(cluster)
        change(cluster, template=make_template(image=f"web:{number + 1}"))
    await make_ready(cluster)

    assert sorted(entry.revision for entry in cluster.list(ControllerRevision)) == [5, 6]


async def test_a_partition_keeps_the_lower_ordinals_even_when_they_are_replaced(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=3))
    run(cluster)
    await make_ready(cluster)

    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}
    change(cluster, template=make_template(image="web:2"), updateStrategy=rolling)
    await make_ready(cluster)
    cluster.delete(Pod, Key("default", "web-0"))
    await make_ready(cluster)

    assert images(cluster) == ["web:1", "web:1", "web:2"]
    status = stored(cluster).status
    assert (status.current_replicas, status.updated_replicas) == (2, 1)


async def test_several_pods_are_updated_at_once_where_they_may_be_unavailable(cluster: FakeCluster) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0, "maxUnavailable": "50%"}}
    cluster.load(make_statefulset(replicas=5, podManagementPolicy="Parallel", updateStrategy=rolling))
    run(cluster)
    await make_ready(cluster)

    change(cluster, template=make_template(image="web:2"))
    await cluster.settle()

    assert images(cluster) == ["web:1"] * 3 + ["web:2"] * 2


async def test_on_delete_updates_only_pods_that_somebody_deletes(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=2, updateStrategy={"type": "OnDelete"}))
    run(cluster)
    await make_ready(cluster)

    change(cluster, template=make_template(image="web:2"))
    await make_ready(cluster)
    before = images(cluster)
    cluster.delete(Pod, Key("default", "web-0"))
    await make_ready(cluster)

    assert before == ["web:1", "web:1"]
    assert images(cluster) == ["web:2", "web:1"]


async def test_the_next_pod_waits_until_its_predecessor_has_been_ready_long_enough(
    cluster: FakeCluster,
) -> None:
    cluster.load(make_statefulset(replicas=2, minReadySeconds=10))
    run(cluster)
    await cluster.settle()
    set_ready(cluster, "web-0")

    await cluster.advance(9)
    early = sorted(pods(cluster))
    await cluster.advance(2)

    assert (early, sorted(pods(cluster))) == (["web-0"], ["web-0", "web-1"])
    assert stored(cluster).status.available_replicas == 1


async def test_orphans_with_its_names_are_adopted_and_others_left_alone(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=1), make_pod("web-0", ready=True), make_pod("stray"))
    run(cluster)

    await cluster.settle()

    adopted = pods(cluster)["web-0"]
    assert adopted.metadata.controller is not None
    assert pods(cluster)["stray"].metadata.controller is None


async def test_an_update_takes_one_pod_while_the_cache_lags(cluster: FakeCluster) -> None:
    sts = make_statefulset(replicas=3)
    cluster.load(sts, *make_pods(3, owner=sts, ready=True))
    controller = StatefulSetController(cluster.context())
    cluster.hold_watches()

    await controller.reconcile(KEY)
    await controller.reconcile(KEY)

    assert sorted(pods(cluster)) == ["web-0", "web-1"]
    assert [event.count for event in cluster.events() if event.reason == "SuccessfulDelete"] == [1]


@pytest.mark.parametrize(("policy", "few"), [("Parallel", True), ("OrderedReady", False)])
async def test_changes_of_many_pods_cost_a_parallel_set_few_steps(
    cluster: FakeCluster, policy: str, few: bool
) -> None:
    cluster.load(make_statefulset(replicas=MANY, podManagementPolicy="Parallel"))
    context = cluster.context("statefulset-controller")
    steps = Steps(cluster, context, StatefulSetController(context))
    await cluster.advance(1)
    cluster.load(_stored_with(cluster, podManagementPolicy=policy))
    await cluster.advance(1)
    steps.taken = 0
    for pod in cluster.list(Pod):
        marked = {"metadata": {"annotations": {"seen": "yes"}}}
        await cluster.client().patch(Pod, pod.metadata.name, "default", marked)
        await cluster.advance(0.0005)
    await cluster.advance(1)

    assert (steps.taken < MANY / 2) is few


async def test_pods_that_are_down_are_counted_as_long_as_the_set_lives(cluster: FakeCluster) -> None:
    rolling = {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 2}}
    cluster.load(make_statefulset(replicas=3, podManagementPolicy="Parallel", updateStrategy=rolling))
    run(cluster)
    await cluster.settle()

    assert (measured("max_unavailable"), measured("unavailable_replicas")) == (2, 3)

    cluster.delete(StatefulSet, KEY)
    await cluster.settle()
    assert (measured("max_unavailable"), measured("unavailable_replicas")) == (None, None)


def measured(name: str) -> float | None:
    labels = {
        "statefulset_namespace": "default",
        "statefulset_name": "web",
        "pod_management_policy": "Parallel",
    }
    return REGISTRY.get_sample_value(f"statefulset_controller_statefulset_{name}", labels)


def _stored_with(cluster: FakeCluster, **spec: Any) -> Object:
    body = cluster.get(StatefulSet.API.as_type(dict), KEY)
    assert body is not None
    return {**body, "spec": body["spec"] | spec}


async def test_a_refused_pod_shows_as_an_event(cluster: FakeCluster) -> None:
    cluster.load(make_statefulset(replicas=1))
    controller = StatefulSetController(cluster.context())
    cluster.faults.fail_next(Forbidden("exceeded quota"), plural="pods")

    with pytest.raises(Forbidden):
        await controller.reconcile(KEY)

    (event,) = cluster.events()
    assert event.reason == "FailedCreate"
    assert event.message == "create Pod web-0 in StatefulSet web failed error: exceeded quota"


async def test_a_set_that_is_being_deleted_leaves_its_pods_alone(cluster: FakeCluster) -> None:
    sts = make_statefulset(replicas=3)
    sts["metadata"] |= {"deletionTimestamp": rfc3339(cluster.clock.now()), "finalizers": ["orphan"]}
    cluster.load(sts, make_pod("web-0", owner=sts, ready=True))
    run(cluster)

    await cluster.settle()

    assert sorted(pods(cluster)) == ["web-0"]


@pytest.mark.parametrize("seed", range(6))
async def test_failures_end_in_exactly_the_wanted_pods(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        policy = dice.choice(["OrderedReady", "Parallel"])
        cluster.load(
            make_statefulset(replicas=3, podManagementPolicy=policy, volumeClaimTemplates=[claim_template()])
        )
        run(cluster)
        for number in range(10):
            _break_something(cluster, dice)
            image = dice.choice(["web:1", "web:2", f"web:{number}"])
            change(cluster, replicas=int(dice.uniform(0, 6)), template=make_template(image=image))
            await cluster.advance(dice.uniform(0, 8))
            await make_ready(cluster, rounds=2)
        change(cluster, replicas=4, template=make_template(image="last"))
        for _ in range(20):
            await make_ready(cluster)
            await cluster.advance(timedelta(minutes=20).total_seconds())

        assert sorted(pods(cluster)) == ["web-0", "web-1", "web-2", "web-3"]
        assert images(cluster) == ["last"] * 4
        status = stored(cluster).status
        assert (status.replicas, status.updated_replicas, status.available_replicas) == (4, 4, 4)
        assert status.current_revision == status.update_revision


@pytest.mark.parametrize("writes", range(4))
async def test_a_restart_between_writes_loses_and_doubles_nothing(cluster: FakeCluster, writes: int) -> None:
    cluster.load(
        make_statefulset(replicas=2, podManagementPolicy="Parallel", volumeClaimTemplates=[claim_template()])
    )
    first = StatefulSetController(cluster.context())
    plural = ("controllerrevisions", "persistentvolumeclaims", "pods", "statefulsets")[writes]
    cluster.faults.fail_next(InternalError("gone in the middle"), plural=plural)
    with pytest.raises(InternalError):
        await first.reconcile(KEY)

    run(cluster)
    await make_ready(cluster)
    await cluster.advance(3600)

    assert sorted(pods(cluster)) == ["web-0", "web-1"]
    assert len(cluster.list(CLAIMS)) == 2
    assert len(cluster.list(ControllerRevision)) == 1


def _break_something(cluster: FakeCluster, dice: Entropy) -> None:
    kind = dice.choice(["refuse", "lose", "drop", "quiet"])
    if kind == "refuse":
        cluster.faults.fail_next(InternalError("broken"), times=2)
    elif kind == "lose":
        cluster.faults.lose_next_answers(times=2)
    elif kind == "drop":
        cluster.drop_watches()
