"""StatefulSets, DaemonSets and ReplicationControllers against the real API server, in this process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy, SystemClock, rfc3339
from kplane.api.resource import Object
from kplane.api.types import Namespace, Node, Pod
from kplane.api.types.apps import ControllerRevision, DaemonSet, ReplicationController, StatefulSet
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client, PatchType
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.daemonset.placement import node_of
from kplane.controllers.manager import Manager
from kplane.controllers.statefulset.claims import CLAIMS
from kplane.testing.objects import APP, make_template
from kplane.testing.waiting import eventually

TOKEN = "secret"
UNDER_TEST = (
    "statefulset-controller",
    "daemonset-controller",
    "replicationcontroller-controller",
    "garbage-collector-controller",
)


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a server whose workloads are under control."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        bind_address="127.0.0.1",
        # No controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )
    clock = SystemClock()
    async with ApiServer(config, clock) as server:
        client = Client(AsgiTransport(server.app, token=TOKEN))
        names = {entry.metadata.name for entry in (await client.list(Namespace)).items}
        if "default" not in names:
            await client.create(Namespace, {"metadata": {"name": "default"}})
        manager = Manager(client, clock, Entropy(), Config(controllers=UNDER_TEST))
        controllers = asyncio.create_task(manager.run())
        yield client
        controllers.cancel()
        with suppress(asyncio.CancelledError):
            await controllers


def workload(api_version: str, kind: str, **spec: Any) -> Object:
    whole = {"selector": {"matchLabels": dict(APP)}, "template": make_template(), **spec}
    metadata = {"name": "web", "namespace": "default"}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, "spec": whole}


async def make_ready(client: Client) -> dict[str, str]:
    """What the scheduler and kubelets do, once; Pod to image."""
    now = rfc3339(SystemClock().now())
    found = (await client.list(Pod, "default")).items
    for pod in found:
        if pod.metadata.deletion_timestamp is None and pod.status.phase == "Pending":
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            status = {"phase": "Running", "conditions": [ready]}
            await client.patch(Pod, pod.metadata.name, "default", {"status": status}, subresource="status")
    return {pod.metadata.name: pod.spec.containers[0].image for pod in found}


async def update(client: Client, what: type[Any], image: str) -> None:
    patch = {"spec": {"template": make_template(image=image)}}
    await client.patch(what, "web", "default", patch, kind=PatchType.STRATEGIC)


@pytest.mark.slow
async def test_a_statefulset_grows_is_updated_rolled_back_shrinks_and_goes(client: Client) -> None:
    claim = {
        "metadata": {"name": "data"},
        "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}},
    }
    body = workload(
        "apps/v1",
        "StatefulSet",
        replicas=3,
        serviceName="web",
        volumeClaimTemplates=[claim],
        persistentVolumeClaimRetentionPolicy={"whenScaled": "Retain", "whenDeleted": "Delete"},
    )
    await client.create(StatefulSet, body)
    for image in ("web:1", "web:2", "web:1"):
        await update(client, StatefulSet, image)
        await rolled_out(client, image, 3)
    revisions = (await client.list(ControllerRevision, "default")).items
    assert sorted(entry.revision for entry in revisions) == [2, 3]

    await client.patch(StatefulSet, "web", "default", {"spec": {"replicas": 1}})
    await rolled_out(client, "web:1", 1)
    claims = (await client.list(CLAIMS, "default")).items
    assert [entry.metadata.name for entry in claims] == ["data-web-0", "data-web-1", "data-web-2"]
    await client.delete(StatefulSet, "web", "default", propagation="Background")

    async def gone() -> bool:
        pods = (await client.list(Pod, "default")).items
        revisions = (await client.list(ControllerRevision, "default")).items
        claims = (await client.list(CLAIMS, "default")).items
        return not pods and not revisions and all(entry.metadata.deletion_timestamp for entry in claims)

    await eventually(gone, what="the set with its pods, revisions and claims gone")


async def rolled_out(client: Client, image: str, replicas: int) -> None:
    async def done() -> bool:
        pods = await make_ready(client)
        status = (await client.get(StatefulSet, "web", "default")).status
        return (
            pods == {f"web-{ordinal}": image for ordinal in range(replicas)}
            and (status.available_replicas, status.updated_replicas) == (replicas, replicas)
            and status.current_revision == status.update_revision
        )

    await eventually(done, what=f"{replicas} pods of {image}")


@pytest.mark.slow
async def test_a_daemonset_covers_nodes_and_is_updated(client: Client) -> None:
    for name in ("a", "b"):
        await client.create(Node, {"metadata": {"name": name}})
        # As the node lifecycle controller does, which does not run here.
        await client.patch(Node, name, "", {"spec": {"taints": None}})
    tainted: Object = {"metadata": {"name": "c"}, "spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}
    await client.create(Node, tainted)
    await client.create(DaemonSet, workload("apps/v1", "DaemonSet"))

    for image in ("web:1", "web:2"):
        await update(client, DaemonSet, image)

        async def done(image: str = image) -> bool:
            pods = await make_ready(client)
            status = (await client.get(DaemonSet, "web", "default")).status
            counts = (status.updated_number_scheduled, status.number_available, status.number_misscheduled)
            return counts == (2, 2, 0) and sorted(pods.values()) == [image, image]

        await eventually(done, what=f"two pods of {image}")

    pods = (await client.list(Pod, "default")).items
    assert {node_of(pod) for pod in pods} == {"a", "b"}


@pytest.mark.slow
async def test_a_replicationcontroller_keeps_its_pods(client: Client) -> None:
    body = workload("v1", "ReplicationController", replicas=2, selector=dict(APP))
    await client.create(ReplicationController, body)

    async def available(count: int) -> bool:
        await make_ready(client)
        return (await client.get(ReplicationController, "web", "default")).status.available_replicas == count

    await eventually(lambda: available(2), what="two pods")
    victim = (await client.list(Pod, "default")).items[0]
    await client.delete(Pod, victim.metadata.name, "default")
    await client.patch(ReplicationController, "web", "default", {"spec": {"replicas": 3}})
    await eventually(lambda: available(3), what="three pods")

    assert victim.metadata.name not in {
        pod.metadata.name for pod in (await client.list(Pod, "default")).items
    }
