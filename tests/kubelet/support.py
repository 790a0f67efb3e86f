"""Pods as the kubelet sees them, runtime states, and whole kubelets on a FakeCluster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from kplane.api.clock import Clock, Entropy
from kplane.api.resource import Key, Object
from kplane.api.types import Namespace, Service
from kplane.client.codec import codec, encode
from kplane.client.events import EventRecorder
from kplane.client.informer import InformerFactory
from kplane.client.rest import Client
from kplane.kubelet.config import KubeletConfig
from kplane.kubelet.container import spec_hash
from kplane.kubelet.kubelet import Kubelet
from kplane.kubelet.labels import HASH
from kplane.kubelet.main import Shared, build, run_kubelets
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.hollow import HollowRuntime
from kplane.kubelet.runtime.interface import ContainerState, ContainerStatus, Runtime, Sandbox
from kplane.kubelet.runtimeclass import RuntimeClass
from kplane.kubelet.state import PodState
from kplane.kubelet.status_manager import StatusManager
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_namespace, make_pod

NODE = "node-1"
CIDR = "10.1.0.0/24"
SECOND = 1_000_000_000


def pod_of(*containers: Object, init: tuple[Object, ...] = (), **spec: Any) -> Pod:
    """A pod of this node with the given containers (one named web if there are none)."""
    fields = {"containers": list(containers) or [{"name": "web", "image": "web:1"}], **spec}
    if init:
        fields["initContainers"] = list(init)
    return codec(Pod).one(encode(make_pod(node=NODE, **fields)))


def sandbox(attempt: int = 0, *, ready: bool = True) -> Sandbox:
    return Sandbox(
        id=f"s{attempt}",
        name="web",
        namespace="default",
        uid="uid",
        attempt=attempt,
        ready=ready,
        created_at=attempt * SECOND,
        labels={},
        annotations={},
        ips=("10.1.0.2",) if ready else (),
    )


def run_of(
    pod: Pod,
    name: str,
    state: ContainerState = ContainerState.RUNNING,
    *,
    attempt: int = 0,
    exit_code: int = 0,
    finished: float = 0,
) -> ContainerStatus:
    """One run of a container of the pod; its id is `name-attempt`."""
    container = pod.container(name)
    assert container is not None
    return ContainerStatus(
        id=f"{name}-{attempt}",
        name=name,
        attempt=attempt,
        state=state,
        created_at=(attempt + 1) * SECOND,
        started_at=(attempt + 1) * SECOND,
        finished_at=int(finished * SECOND),
        exit_code=exit_code,
        reason="",
        message="",
        image=container.image,
        image_ref="sha256:1",
        labels={},
        annotations={HASH: spec_hash(container)},
    )


def state_of(*runs: ContainerStatus, box: Sandbox | None = None) -> PodState:
    """The runs, newest first, all in one sandbox."""
    box = box or sandbox()
    newest_first = sorted(runs, key=lambda run: run.created_at, reverse=True)
    return PodState((box,), tuple(newest_first), {run.id: box.id for run in runs})


def config_in(folder: Path, **changes: Any) -> KubeletConfig:
    base = KubeletConfig(
        NODE, folder / "kubelet", folder / "logs", node_ips=("192.0.2.1",), pod_cidr=CIDR, port=10250
    )
    return replace(base, **changes)


@asynccontextmanager
async def running_kubelet(
    cluster: FakeCluster, runtime: Runtime, config: KubeletConfig, clock: Clock, *, hollow: bool
) -> AsyncIterator[Kubelet]:
    """A kubelet that runs until the block is left, as if it were killed."""
    if cluster.get(Namespace, Key("", "kube-node-lease")) is None:
        cluster.load(make_namespace("kube-node-lease"))
    shared = shared_parts(cluster, clock)
    kubelet = build(config, runtime, shared, config.port, hollow=hollow)
    async with asyncio.TaskGroup() as tasks:
        # The tasks of the kubelet are made by a task of its own, so that one cancellation ends them all.
        started = asyncio.Event()
        whole = tasks.create_task(_run({config.node_name: kubelet}, shared, started))
        await started.wait()
        try:
            yield kubelet
        finally:
            whole.cancel()


async def _run(kubelets: dict[str, Kubelet], shared: Shared, started: asyncio.Event) -> None:
    async with asyncio.TaskGroup() as tasks:
        await run_kubelets(kubelets, shared, tasks)
        started.set()


def shared_parts(cluster: FakeCluster, clock: Clock) -> Shared:
    client, entropy = Client(cluster, clock=clock), Entropy(7)
    informers = InformerFactory(client, clock=clock, entropy=entropy)
    events = EventRecorder(client, "kubelet", clock=clock, entropy=entropy, host=NODE)
    return Shared(
        client,
        clock,
        entropy,
        informers,
        events,
        StatusManager(client, clock),
        informers.informer(Service),
        informers.informer(RuntimeClass),
    )


@asynccontextmanager
async def hollow_kubelet(
    cluster: FakeCluster, tmp_path: Path, *, runtime: HollowRuntime | None = None, **changes: Any
) -> AsyncIterator[HollowRuntime]:
    """A hollow node under the cluster's virtual clock, on a runtime of its own or one that has pods."""
    config = config_in(tmp_path, **changes)
    runtime = runtime or HollowRuntime(cluster.clock, cluster.entropy, config.pod_cidr)
    async with running_kubelet(cluster, runtime, config, cluster.clock, hollow=True):
        yield runtime


def status_of(cluster: FakeCluster, name: str, namespace: str = "default") -> Object:
    """The pod's status in the API; empty if the pod is gone."""
    pod = cluster.get(Pod, Key(namespace, name))
    return pod.status if pod else {}


def condition_of(status: Object, kind: str) -> Object:
    found: Object = next((entry for entry in status.get("conditions", ()) if entry["type"] == kind), {})
    return found


def reasons(cluster: FakeCluster) -> list[str]:
    return [event.reason for event in cluster.events()]
