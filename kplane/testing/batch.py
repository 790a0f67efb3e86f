"""Builders of Jobs and CronJobs for tests, and a stand-in for the kubelets that end their Pods."""

from __future__ import annotations

from typing import Any

from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Object
from kplane.api.types import Pod
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object

TRACKING = "batch.kubernetes.io/job-tracking"


def make_job_template(restart_policy: str = "Never") -> Object:
    return {
        "metadata": {"labels": {"job": "work"}},
        "spec": {"restartPolicy": restart_policy, "containers": [{"name": "work", "image": "work:1"}]},
    }


def make_job(
    name: str = "work", namespace: str = "default", *, status: Object | None = None, **spec: Any
) -> Object:
    """With the defaults that the API server would fill in; further keywords are fields of its spec."""
    defaults: Object = {
        "parallelism": 1,
        "completions": 1,
        "completionMode": "NonIndexed",
        "backoffLimit": 6,
        "suspend": False,
        "podReplacementPolicy": "TerminatingOrFailed",
        "selector": {"matchLabels": {"job": "work"}},
        "template": make_job_template(),
    }
    whole = {key: value for key, value in (defaults | spec).items() if value is not None}
    return make_object("batch/v1", "Job", name, namespace, spec=whole, status=status or {})


def make_cronjob(
    name: str = "tick", namespace: str = "default", *, status: Object | None = None, **spec: Any
) -> Object:
    """Every hour, with the API server's defaults; further keywords are fields of its spec."""
    defaults: Object = {
        "schedule": "0 * * * *",
        "concurrencyPolicy": "Allow",
        "suspend": False,
        "successfulJobsHistoryLimit": 3,
        "failedJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"template": make_job_template()}},
    }
    return make_object("batch/v1", "CronJob", name, namespace, spec=defaults | spec, status=status or {})


def end_pod(
    cluster: FakeCluster, pod: Pod, phase: str = "Succeeded", *, code: int = 0, disruption: bool = False
) -> None:
    """What a kubelet reports of a Pod that has run to its end."""
    stored = cluster.server.state.get(("", "pods"), pod.key)
    if stored is None:
        return
    ended = {"exitCode": code, "finishedAt": rfc3339(cluster.clock.now())}
    status: Object = {
        "phase": phase,
        "containerStatuses": [
            {"name": "work", "ready": False, "restartCount": 0, "state": {"terminated": ended}}
        ],
    }
    if disruption:
        status["conditions"] = [{"type": "DisruptionTarget", "status": "True"}]
    cluster.server.state.put(("", "pods"), pod.key, stored | {"status": status})


def reap(cluster: FakeCluster) -> None:
    """What kubelets do with Pods that are being deleted: they end, and go when nothing holds them."""
    for pod in cluster.list(Pod):
        if pod.metadata.deletion_timestamp is None:
            continue
        if not pod.terminal:
            end_pod(cluster, pod, "Failed", code=137)
        elif not pod.metadata.finalizers:
            cluster.delete(Pod, Key(pod.metadata.namespace, pod.metadata.name))
