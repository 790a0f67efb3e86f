"""When a container that could not be started is tried again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kplane.api.resource import Key
from kplane.api.types import ConfigMap
from kplane.client.rest import Client, PatchType
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.hollow import HollowRuntime
from kplane.kubelet.runtime.interface import ContainerConfig, RuntimeFailure, SandboxConfig
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_configmap, make_pod

from .support import NODE, hollow_kubelet, status_of

REFERRING = {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}}


class Stubborn(HollowRuntime):
    """Refuses every container, each time in other words."""

    tries = 0

    async def create_container(
        self, sandbox: str, config: ContainerConfig, sandbox_config: SandboxConfig
    ) -> str:
        self.tries += 1
        raise RuntimeFailure(f"no room for container {self.tries}")


def web(**container: Any) -> Any:
    return make_pod(node=NODE, containers=[{"name": "web", "image": "web:1", **container}])


def why_waiting(cluster: FakeCluster) -> str:
    statuses = status_of(cluster, "web").get("containerStatuses") or [{}]
    return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))


async def test_failure_that_reads_differently_each_time_is_tried_every_ten_seconds(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    runtime = Stubborn(cluster.clock, cluster.entropy, "10.1.0.0/24")
    cluster.load(web())

    async with hollow_kubelet(cluster, tmp_path, runtime=runtime):
        await cluster.clock.advance_until(lambda: why_waiting(cluster) == "CreateContainerError")
        before = runtime.tries
        await cluster.clock.advance(25)

    assert (before, runtime.tries) == (1, 3)


async def test_change_of_the_pod_is_tried_at_once(cluster: FakeCluster, tmp_path: Path) -> None:
    runtime = Stubborn(cluster.clock, cluster.entropy, "10.1.0.0/24")
    cluster.load(web())

    async with hollow_kubelet(cluster, tmp_path, runtime=runtime):
        await cluster.clock.advance_until(lambda: runtime.tries == 1)
        patch = {"metadata": {"annotations": {"changed": "true"}}}
        await Client(cluster, clock=cluster.clock).patch(Pod, "web", "default", patch, kind=PatchType.MERGE)
        await cluster.clock.advance_until(lambda: runtime.tries == 2, limit=1)


class FirstSandboxOnly(HollowRuntime):
    """Refuses every container of its first sandbox."""

    first = ""

    async def create_container(
        self, sandbox: str, config: ContainerConfig, sandbox_config: SandboxConfig
    ) -> str:
        self.first = self.first or sandbox
        if sandbox == self.first:
            raise RuntimeFailure("the sandbox is going")
        return await super().create_container(sandbox, config, sandbox_config)


async def test_new_sandbox_is_tried_at_once(cluster: FakeCluster, tmp_path: Path) -> None:
    runtime = FirstSandboxOnly(cluster.clock, cluster.entropy, "10.1.0.0/24")
    cluster.load(web())

    async with hollow_kubelet(cluster, tmp_path, runtime=runtime):
        await cluster.clock.advance_until(lambda: why_waiting(cluster) == "CreateContainerError")
        await runtime.stop_sandbox(runtime.first)
        await cluster.clock.advance_until(
            lambda: status_of(cluster, "web").get("phase") == "Running", limit=3
        )


async def test_object_that_was_missing_is_used_as_soon_as_it_exists(
    cluster: FakeCluster, tmp_path: Path
) -> None:
    cluster.load(web(env=[REFERRING]))

    async with hollow_kubelet(cluster, tmp_path):
        await cluster.clock.advance_until(lambda: why_waiting(cluster) == "CreateContainerConfigError")
        await Client(cluster, clock=cluster.clock).create(ConfigMap, make_configmap(data={"color": "red"}))
        await cluster.clock.advance_until(
            lambda: status_of(cluster, "web").get("phase") == "Running", limit=1
        )
    assert cluster.get(ConfigMap, Key("default", "settings")) is not None
