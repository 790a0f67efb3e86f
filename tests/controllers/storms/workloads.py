"""Stories of workloads: as many Pods as the spec says in the end, and never too many on the way."""

from __future__ import annotations

from collections import Counter
from typing import Any

from kplane.api.resource import Object
from kplane.api.scheme import builtin
from kplane.api.types import CronJob, Deployment, Job, Pod, ReplicaSet
from kplane.api.types.apps import DaemonSet, StatefulSet
from kplane.testing.batch import TRACKING, make_cronjob, make_job
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import (
    APP,
    make_deployment,
    make_node,
    make_object,
    make_replicaset,
    make_template,
)

from .kubelets import active, change, created, finish_pods, images, run_pods
from .scenario import Scenario

HOUR = 3600
DAEMONS = [f"node-{number}" for number in range(4)]


RCS = builtin().rows["", "v1", "replicationcontrollers"].resource


def _replication() -> Object:
    spec = {"replicas": 4, "selector": dict(APP), "template": make_template()}
    return make_object("v1", "ReplicationController", "web", "default", spec=spec, status={"replicas": 0})


def _scale(cluster: FakeCluster, step: int) -> None:
    """5 Pods, then 2, then 6."""
    if step in (3, 5):
        change(cluster, ReplicaSet.API, "web", replicas={3: 2, 5: 6}[step])
    run_pods(cluster)


def _replicaset(cluster: FakeCluster) -> Any:
    [found] = cluster.list(ReplicaSet)
    return len(cluster.list(Pod)), found.status.replicas, found.status.ready_replicas


def _no_pod_too_many(cluster: FakeCluster) -> None:
    assert len(active(cluster)) <= 6
    assert len(created(cluster)) <= 9, "5, and 4 more after 3 were taken away"


REPLICASET = Scenario(
    controllers=["replicaset-controller"],
    objects=lambda: [make_replicaset(replicas=5)],
    world=_scale,
    rule=_no_pod_too_many,
    outcome=_replicaset,
    expected=(6, 6, 6),
)


REPLICATION = Scenario(
    controllers=["replicationcontroller-controller"],
    objects=lambda: [_replication()],
    world=lambda cluster, step: run_pods(cluster),
    rule=_no_pod_too_many,
    outcome=lambda cluster: (len(cluster.list(Pod)), cluster.list(RCS)[0]["status"]["readyReplicas"]),
    expected=(4, 4),
)


def _roll(cluster: FakeCluster, step: int) -> None:
    if step == 3:
        change(cluster, Deployment.API, "web", template=make_template(image="web:2"))
    run_pods(cluster)


def _within_surge(cluster: FakeCluster) -> None:
    sizes = [rs.spec.replicas for rs in cluster.list(ReplicaSet)]
    assert sum(sizes) <= 5, "4 replicas and one more, which is 25 %"
    assert len(created(cluster)) <= 8, "each Pod was replaced once"


def _deployment(cluster: FakeCluster) -> Any:
    [found] = cluster.list(Deployment)
    sizes = sorted(rs.spec.replicas for rs in cluster.list(ReplicaSet))
    return Counter(images(cluster).values()), sizes, found.status.updated_replicas


DEPLOYMENT = Scenario(
    controllers=["deployment-controller", "replicaset-controller"],
    objects=lambda: [make_deployment(replicas=4)],
    world=_roll,
    rule=_within_surge,
    outcome=_deployment,
    expected=({"web:2": 4}, [0, 4], 4),
)


def make_statefulset() -> Object:
    claim = {"metadata": {"name": "data"}, "spec": {"resources": {"requests": {"storage": "1Gi"}}}}
    spec = {
        "replicas": 3,
        "serviceName": "headless",
        "selector": {"matchLabels": dict(APP)},
        "template": make_template(),
        "podManagementPolicy": "OrderedReady",
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}},
        "revisionHistoryLimit": 10,
        "volumeClaimTemplates": [claim],
    }
    return make_object("apps/v1", "StatefulSet", "web", "default", spec=spec, status={})


def _roll_set(cluster: FakeCluster, step: int) -> None:
    if step == 4:
        change(cluster, StatefulSet.API, "web", template=make_template(image="web:2"))
    run_pods(cluster)


def _statefulset(cluster: FakeCluster) -> Any:
    claims = created(cluster, plural="persistentvolumeclaims")
    return images(cluster), sorted(claims), sorted(created(cluster))


STATEFULSET = Scenario(
    controllers=["statefulset-controller"],
    objects=lambda: [make_statefulset()],
    world=_roll_set,
    outcome=_statefulset,
    expected=(
        {"web-0": "web:2", "web-1": "web:2", "web-2": "web:2"},
        ["data-web-0", "data-web-1", "data-web-2"],
        ["web-0", "web-0", "web-1", "web-1", "web-2", "web-2"],
    ),
)


def make_daemonset() -> Object:
    spec = {
        "selector": {"matchLabels": dict(APP)},
        "template": make_template(),
        "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 1, "maxSurge": 0}},
        "revisionHistoryLimit": 10,
    }
    return make_object("apps/v1", "DaemonSet", "agent", "default", spec=spec, status={})


def _roll_daemons(cluster: FakeCluster, step: int) -> None:
    if step == 3:
        change(cluster, DaemonSet.API, "agent", template=make_template(image="web:2"))
    run_pods(cluster)


def _one_a_node(cluster: FakeCluster) -> None:
    assert len(active(cluster)) <= len(DAEMONS)
    assert len(created(cluster)) <= 2 * len(DAEMONS), "each Pod was replaced once"


def _daemonset(cluster: FakeCluster) -> Any:
    [found] = cluster.list(DaemonSet)
    return Counter(images(cluster).values()), found.status.updated_number_scheduled


DAEMONSET = Scenario(
    controllers=["daemonset-controller"],
    objects=lambda: [make_daemonset(), *(make_node(name) for name in DAEMONS)],
    world=_roll_daemons,
    rule=_one_a_node,
    outcome=_daemonset,
    expected=({"web:2": 4}, 4),
)


def _job(cluster: FakeCluster) -> Any:
    [found] = cluster.list(Job)
    held = [pod for pod in cluster.list(Pod) if TRACKING in pod.metadata.finalizers]
    assert found.finished is not None
    return found.finished.type, found.status.succeeded, found.status.failed, held, len(created(cluster))


JOB = Scenario(
    controllers=["job-controller"],
    objects=lambda: [make_job(parallelism=3, completions=9)],
    world=finish_pods,
    outcome=_job,
    expected=("Complete", 9, 0, [], 9),
)

INDEXED_JOB = Scenario(
    controllers=["job-controller"],
    objects=lambda: [make_job(parallelism=3, completions=9, completionMode="Indexed")],
    world=finish_pods,
    outcome=_job,
    expected=("Complete", 9, 0, [], 9),
)


def _end_the_day(cluster: FakeCluster, step: int) -> None:
    if step == 6:
        change(cluster, CronJob.API, "tick", suspend=True)
    finish_pods(cluster)


def _runs(cluster: FakeCluster) -> Any:
    """How often a Job was made for each of the hours."""
    return sorted(Counter(created(cluster, "batch", "jobs")).values())


CRONJOB = Scenario(
    controllers=["cronjob-controller", "job-controller"],
    objects=lambda: [make_cronjob(schedule="30 * * * *")],
    world=_end_the_day,
    outcome=_runs,
    expected=[1] * 6,
    steps=8,
    pace=HOUR,
)

STORIES = {
    "replicaset": REPLICASET,
    "replication controller": REPLICATION,
    "deployment": DEPLOYMENT,
    "statefulset": STATEFULSET,
    "daemonset": DAEMONSET,
    "job": JOB,
    "indexed job": INDEXED_JOB,
    "cronjob": CRONJOB,
}
