"""What kubelets do in these stories: they run Pods, end those that are to go, and finish those of Jobs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Resource
from kplane.api.types import Pod
from kplane.testing.batch import end_pod, reap
from kplane.testing.cluster import FakeCluster

WHOLE_POD = Pod.API.as_type(dict)


def run_pods(cluster: FakeCluster, step: int = 0) -> None:
    """Every Pod that is not going becomes ready; those that are, end."""
    reap(cluster)
    now = rfc3339(cluster.clock.now())
    for pod in cluster.list(WHOLE_POD):
        status = pod.get("status", {})
        if status.get("phase", "Pending") == "Pending" and "deletionTimestamp" not in pod["metadata"]:
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            cluster.load(pod | {"status": {"phase": "Running", "conditions": [ready]}})


def finish_pods(cluster: FakeCluster, step: int = 0) -> None:
    """Every Pod that is not going ends well; those that are, end."""
    reap(cluster)
    for pod in cluster.list(Pod):
        if pod.active:
            end_pod(cluster, pod)


def active(cluster: FakeCluster) -> Sequence[Pod]:
    return [pod for pod in cluster.list(Pod) if pod.active]


def created(cluster: FakeCluster, group: str = "", plural: str = "pods") -> Sequence[str]:
    """The names of all objects that were ever created; a name twice where it was created again."""
    history = cluster.server.state.history((group, plural))
    return [change.key.name for change in history if change.old is None]


def images(cluster: FakeCluster) -> dict[str, str]:
    """Name -> image of the Pods that are there, going or not."""
    return {pod.metadata.name: pod.spec.containers[0].image for pod in cluster.list(Pod)}


def change(cluster: FakeCluster, resource: Resource[Any], name: str, **spec: Any) -> None:
    """As a user changes the spec of an object in the default namespace."""
    found = cluster.server.state.get((resource.group, resource.plural), Key("default", name))
    assert found is not None, f"no {resource.plural} {name}"
    metadata = found["metadata"] | {"generation": found["metadata"]["generation"] + 1}
    cluster.load(found | {"metadata": metadata, "spec": found["spec"] | spec})
