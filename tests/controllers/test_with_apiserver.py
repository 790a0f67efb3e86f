"""All controllers against the real API server, both in this process: the paths that users walk."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy, SystemClock, rfc3339, rfc3339_micro
from kplane.api.errors import AlreadyExists, NotFound, TooManyRequests
from kplane.api.resource import Object, Resource
from kplane.api.types import (
    ConfigMap,
    Deployment,
    Endpoints,
    EndpointSlice,
    Lease,
    Namespace,
    Node,
    Pod,
    ReplicaSet,
)
from kplane.api.types.meta import condition
from kplane.api.types.policy import PodDisruptionBudget
from kplane.apiserver.config import IN_MEMORY, ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.rest import Client, PatchType
from kplane.client.transport_asgi import AsgiTransport
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.testing.objects import APP, make_deployment, make_template
from kplane.testing.waiting import eventually

TOKEN = "secret"
SERVICES = Resource("", "v1", "services", "Service", True, dict)


class HurriedClock(SystemClock):
    """A clock whose time passes 20 times as fast: nobody waits out grace periods."""

    PACE = 20

    def __init__(self) -> None:
        self._start = super().now()
        self._origin = super().monotonic()

    def now(self) -> datetime:
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return (super().monotonic() - self._origin) * self.PACE

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / self.PACE)


@pytest_asyncio.fixture
async def client(tmp_path: Path) -> AsyncIterator[Client]:
    """A client of a server whose cluster is under control."""
    tokens = tmp_path / "tokens.csv"
    tokens.write_text(f'{TOKEN},admin,1,"system:masters"\n')
    config = ApiServerConfig(
        storage_dir=IN_MEMORY,
        token_auth_file=tokens,
        bind_address="127.0.0.1",
        # No controller makes the accounts that Pods would have to have.
        disable_admission_plugins=("ServiceAccount",),
    )
    clock = HurriedClock()
    async with ApiServer(config, clock) as server:
        client = Client(AsgiTransport(server.app, token=TOKEN))
        await ensure_namespace(client, "default")
        controllers = asyncio.create_task(Manager(client, clock, Entropy(), Config()).run())
        yield client
        controllers.cancel()
        with suppress(asyncio.CancelledError):
            await controllers


async def ensure_namespace(client: Client, name: str) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    try:
        await client.get(Namespace, name)
    except NotFound:
        await client.create(Namespace, namespace)


def deployment(**options: Any) -> Object:
    """As a user would send it."""
    body = make_deployment(**options)
    body.pop("status")
    for field in ("uid", "creationTimestamp", "generation"):
        body["metadata"].pop(field)
    return body


async def make_ready(client: Client) -> None:
    """What kubelets do, once."""
    now = rfc3339(SystemClock().now())
    for number, pod in enumerate((await client.list(Pod, "default")).items):
        if pod.status.phase == "Pending":
            ready = {"type": "Ready", "status": "True", "lastTransitionTime": now}
            ip = f"10.1.{number}.{int(pod.metadata.resource_version) % 250 + 1}"
            status = {"phase": "Running", "conditions": [ready], "podIP": ip, "podIPs": [{"ip": ip}]}
            await client.patch(Pod, pod.metadata.name, "default", {"status": status}, subresource="status")


async def rolled_out(client: Client, image: str) -> None:
    async def done() -> bool:
        await make_ready(client)
        found = await client.get(Deployment, "web", "default")
        pods = (await client.list(Pod, "default")).items
        progress = condition(found.status.conditions, "Progressing")
        return (
            {container.image for pod in pods for container in pod.spec.containers} == {image}
            and found.status.observed_generation == found.metadata.generation
            and found.status.available_replicas == found.spec.replicas == len(pods)
            and progress is not None
            and progress.reason == "NewReplicaSetAvailable"
        )

    await eventually(done, what=f"rollout of {image}")


async def counted(client: Client, what: type[Any], count: int) -> None:
    async def done() -> bool:
        return len((await client.list(what, "default")).items) == count

    await eventually(done, what=f"{count} objects of {what.__name__}")


@pytest.mark.slow
async def test_a_deployment_is_rolled_out_updated_rolled_back_and_deleted(client: Client) -> None:
    await client.create(Deployment, deployment(replicas=3))
    await rolled_out(client, "web:1")
    for image in ("web:2", "web:1"):
        patch = {"spec": {"template": make_template(image=image)}}
        await client.patch(Deployment, "web", "default", patch)
        await rolled_out(client, image)

    found = await client.get(Deployment, "web", "default")
    sets = (await client.list(ReplicaSet, "default")).items
    assert found.metadata.annotations["deployment.kubernetes.io/revision"] == "3"
    assert found.metadata.generation == 3
    assert sorted(rs.spec.replicas for rs in sets) == [0, 3]

    await client.delete(Deployment, "web", "default", propagation="Foreground")
    await counted(client, Pod, 0)
    await counted(client, ReplicaSet, 0)
    await counted(client, Deployment, 0)


@pytest.mark.slow
async def test_orphaned_sets_and_pods_are_taken_over_by_a_new_deployment(client: Client) -> None:
    await client.create(Deployment, deployment(replicas=2))
    await rolled_out(client, "web:1")
    before = {pod.metadata.uid for pod in (await client.list(Pod, "default")).items}

    await client.delete(Deployment, "web", "default", propagation="Orphan")
    await counted(client, Deployment, 0)
    await client.create(Deployment, deployment(replicas=2))
    await rolled_out(client, "web:1")

    assert {pod.metadata.uid for pod in (await client.list(Pod, "default")).items} == before


@pytest.mark.slow
async def test_a_service_shows_the_pods_behind_it_until_it_goes(client: Client) -> None:
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "web"},
        # Nobody binds these Pods to nodes, and without one they are shown nowhere else.
        "spec": {
            "selector": dict(APP),
            "ports": [{"port": 80, "targetPort": 8080}],
            "publishNotReadyAddresses": True,
        },
    }
    await client.create(SERVICES, service, "default")
    await client.create(Deployment, deployment(replicas=3))
    await rolled_out(client, "web:1")
    expected = {pod.status.pod_ip for pod in (await client.list(Pod, "default")).items}

    async def shown() -> bool:
        slices = (await client.list(EndpointSlice, "default", label_selector=OF_WEB)).items
        endpoints = (await client.list(Endpoints, "default", field_selector="metadata.name=web")).items
        in_slices = {e.addresses[0] for entry in slices for e in entry.endpoints or () if e.conditions.ready}
        in_endpoints = {a.ip for entry in endpoints for s in entry.subsets or () for a in s.addresses or ()}
        return in_slices == in_endpoints == expected

    await eventually(shown, what="endpoints of all pods")

    await client.delete(SERVICES, "web", "default")

    async def gone() -> bool:
        slices = (await client.list(EndpointSlice, "default", label_selector=OF_WEB)).items
        endpoints = (await client.list(Endpoints, "default", field_selector="metadata.name=web")).items
        return not slices and not endpoints

    await eventually(gone, what="no endpoints")


OF_WEB = "kubernetes.io/service-name=web"


@pytest.mark.slow
async def test_a_namespace_goes_with_all_that_it_holds(client: Client) -> None:
    await ensure_namespace(client, "doomed")
    held = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "held", "finalizers": ["a.io/hold"]},
    }
    await client.create(ConfigMap, held, "doomed")
    web = deployment(replicas=2)
    web["metadata"]["namespace"] = "doomed"
    await client.create(Deployment, web)

    await client.delete(Namespace, "doomed")

    async def waiting() -> bool:
        found = await client.get(Namespace, "doomed")
        remaining = condition(found.status.conditions, "NamespaceFinalizersRemaining")
        return remaining is not None and remaining.status == "True"

    await eventually(waiting, what="the finalizer shown")
    empty: Object = {"metadata": {"finalizers": None}}
    await client.patch(ConfigMap, "held", "doomed", empty, kind=PatchType.MERGE)

    async def gone() -> bool:
        return "doomed" not in {entry.metadata.name for entry in (await client.list(Namespace)).items}

    await eventually(gone, what="the namespace gone")


@pytest.mark.slow
async def test_a_budget_lets_go_of_one_pod_until_another_is_ready(client: Client) -> None:
    await client.create(Deployment, deployment(replicas=3))
    await rolled_out(client, "web:1")
    budget = {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": {"name": "web"},
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": dict(APP)}},
    }
    await client.create(PodDisruptionBudget, budget, "default")

    async def allowed(count: int) -> None:
        async def shown() -> bool:
            await make_ready(client)
            found = (await client.get(PodDisruptionBudget, "web", "default")).status
            return (found.observed_generation, found.disruptions_allowed) == (1, count)

        await eventually(shown, what=f"{count} disruptions allowed")

    async def evict(name: str) -> None:
        path = Pod.API.path("default", name, "eviction")
        await client.raw("POST", path, body={"metadata": {"name": name}})

    await allowed(1)
    first, second, _ = [pod.metadata.name for pod in (await client.list(Pod, "default")).items]
    await evict(first)
    with pytest.raises(TooManyRequests, match="would violate the pod's disruption budget"):
        await evict(second)

    await allowed(1)
    await evict(second)


@pytest.mark.slow
async def test_a_silent_node_is_tainted_and_its_pods_go_until_it_is_back(client: Client) -> None:
    """One node of two falls silent; the clock is hurried, so heartbeats are as well."""
    heart = asyncio.create_task(_beat(client, "alive"))
    await ensure_namespace(client, "kube-node-lease")
    for name in ("alive", "dead"):
        await client.create(Node, {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name}})
        await _post_ready(client, name)
    body = {"metadata": {"name": "web"}, "spec": make_template()["spec"] | {"nodeName": "dead"}}
    await client.create(Pod, body, "default")

    async def given_up() -> bool:
        dead = await client.get(Node, "dead")
        (pod,) = (await client.list(Pod, "default")).items
        return {taint.effect for taint in dead.spec.taints} == {"NoSchedule", "NoExecute"} and bool(
            pod.metadata.deletion_timestamp
        )

    async def clean() -> bool:
        return all(not node.spec.taints for node in (await client.list(Node)).items)

    await eventually(given_up, what="the dead node is given up")
    assert not (await client.get(Node, "alive")).spec.taints
    heart.cancel()
    again = [asyncio.create_task(_beat(client, name)) for name in ("alive", "dead")]
    await _post_ready(client, "dead")
    await eventually(clean, what="no taints")
    for task in again:
        task.cancel()


async def _beat(client: Client, name: str) -> None:
    """A kubelet's status, ten times as often as the grace period asks for."""
    while True:
        with suppress(NotFound):
            await _post_ready(client, name)
        await asyncio.sleep(0.25)


async def _post_ready(client: Client, name: str) -> None:
    now = rfc3339_micro(SystemClock().now())
    ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "kubelet is ready"}
    status = {"conditions": [ready | {"lastHeartbeatTime": rfc3339(SystemClock().now())}]}
    await client.patch(Node, name, "", {"status": status}, kind=PatchType.STRATEGIC, subresource="status")
    lease = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name, "namespace": "kube-node-lease"},
        "spec": {"holderIdentity": name, "renewTime": now},
    }
    try:
        await client.patch(Lease, name, "kube-node-lease", {"spec": lease["spec"]})
    except NotFound:
        # The heartbeat and the test itself may both find none.
        with suppress(AlreadyExists):
            await client.create(Lease, lease)
