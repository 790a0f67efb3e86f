"""What the kubelet may rely on in every runtime: the hollow one and containerd pass the same tests."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy, SystemClock
from kplane.kubelet.labels import CONTAINER_NAME, POD_NAME, POD_NAMESPACE, POD_UID
from kplane.kubelet.runtime.cri import CriRuntime
from kplane.kubelet.runtime.hollow import HollowRuntime
from kplane.kubelet.runtime.interface import (
    ContainerConfig,
    ContainerState,
    NoSuchThing,
    Runtime,
    SandboxConfig,
)
from kplane.testing.containerd import Containerd
from kplane.testing.images import BUSYBOX

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("containerd")]


@dataclass
class Subject:
    runtime: Runtime
    logs: Path
    cgroup_root: str
    image: str
    uid: str

    def sandbox(self, attempt: int = 0) -> SandboxConfig:
        labels = {POD_NAME: "web", POD_NAMESPACE: "default", POD_UID: self.uid}
        return SandboxConfig(
            "web", "default", self.uid, attempt,
            log_directory=str(self.logs), labels=labels, annotations={"a": "b"},
            cgroup_parent=f"{self.cgroup_root}/{self.uid}",
        )  # fmt: skip

    def container(self, attempt: int = 0) -> ContainerConfig:
        return ContainerConfig(
            "main", self.image, attempt, command=("sleep", "1000"), log_path=f"main/{attempt}.log",
            labels=self.sandbox().labels | {CONTAINER_NAME: "main"}, annotations={"c": "d"},
        )  # fmt: skip


@pytest_asyncio.fixture(params=["hollow", "containerd"])
async def subject(
    request: pytest.FixtureRequest, containerd_node: Containerd, tmp_path: Path
) -> AsyncIterator[Subject]:
    uid = Entropy().uid()
    if request.param == "hollow":
        hollow = HollowRuntime(SystemClock(), Entropy(), "10.1.0.0/24")
        await hollow.pull_image(BUSYBOX)
        yield Subject(hollow, tmp_path, "/x", BUSYBOX, uid)
        return
    cri = CriRuntime(containerd_node.endpoint)
    found = await cri.image(BUSYBOX)
    assert found is not None
    yield Subject(cri, tmp_path, containerd_node.cgroup_root, found.id, uid)
    for sandbox in await cri.list_sandboxes(uid):
        await cri.stop_sandbox(sandbox.id)
        await cri.remove_sandbox(sandbox.id)
    await cri.close()


async def test_version_and_readiness(subject: Subject) -> None:
    version = await subject.runtime.version()

    assert version.name == subject.runtime.scheme
    conditions = {entry.type: entry.status for entry in await subject.runtime.conditions()}
    assert conditions == {"RuntimeReady": True, "NetworkReady": True}


async def test_sandbox_is_found_by_its_pod_and_has_an_address(subject: Subject) -> None:
    sandbox = await subject.runtime.run_sandbox(subject.sandbox())

    (listed,) = await subject.runtime.list_sandboxes(subject.uid)
    status = await subject.runtime.sandbox_status(sandbox)
    assert (listed.id, listed.ready, listed.uid, listed.annotations["a"]) == (sandbox, True, subject.uid, "b")
    assert len(status.ips) == 1
    assert await subject.runtime.list_sandboxes("another") == []


async def test_container_goes_from_created_to_running_to_exited(subject: Subject) -> None:
    runtime, config = subject.runtime, subject.sandbox()
    sandbox = await runtime.run_sandbox(config)
    container = await runtime.create_container(sandbox, subject.container(), config)

    created = await runtime.container_status(container)
    await runtime.start_container(container)
    running = await runtime.container_status(container)
    await runtime.stop_container(container, 0)
    exited = await runtime.container_status(container)

    states = [status.state for status in (created, running, exited)]
    assert states == [ContainerState.CREATED, ContainerState.RUNNING, ContainerState.EXITED]
    assert 0 < created.created_at <= running.started_at <= exited.finished_at
    assert exited.exit_code != 0
    assert (exited.reason, running.annotations["c"], running.name) == ("Error", "d", "main")


async def test_listed_containers_carry_their_sandbox_and_attempt(subject: Subject) -> None:
    runtime, config = subject.runtime, subject.sandbox()
    sandbox = await runtime.run_sandbox(config)
    container = await runtime.create_container(sandbox, subject.container(3), config)

    (listed,) = await runtime.list_containers(subject.uid)

    assert (listed.id, listed.sandbox_id, listed.attempt) == (container, sandbox, 3)
    assert listed.labels[CONTAINER_NAME] == "main"


async def test_stopping_the_sandbox_ends_its_containers_and_gives_back_the_address(subject: Subject) -> None:
    runtime, config = subject.runtime, subject.sandbox()
    sandbox = await runtime.run_sandbox(config)
    container = await runtime.create_container(sandbox, subject.container(), config)
    await runtime.start_container(container)

    await runtime.stop_sandbox(sandbox)

    assert (await runtime.container_status(container)).state is ContainerState.EXITED
    stopped = await runtime.sandbox_status(sandbox)
    assert not stopped.ready


async def test_removing_the_sandbox_removes_its_containers(subject: Subject) -> None:
    runtime, config = subject.runtime, subject.sandbox()
    sandbox = await runtime.run_sandbox(config)
    container = await runtime.create_container(sandbox, subject.container(), config)

    await runtime.stop_sandbox(sandbox)
    await runtime.remove_sandbox(sandbox)

    assert await runtime.list_sandboxes(subject.uid) == []
    assert await runtime.list_containers(subject.uid) == []
    with pytest.raises(NoSuchThing):
        await runtime.container_status(container)


async def test_stopping_and_removing_what_is_gone_is_no_failure(subject: Subject) -> None:
    gone = "0" * 64

    await subject.runtime.stop_container(gone, 0)
    await subject.runtime.remove_container(gone)
    await subject.runtime.stop_sandbox(gone)
    await subject.runtime.remove_sandbox(gone)

    with pytest.raises(NoSuchThing):
        await subject.runtime.sandbox_status(gone)


async def test_command_in_a_container_runs_to_its_end(subject: Subject) -> None:
    runtime, config = subject.runtime, subject.sandbox()
    sandbox = await runtime.run_sandbox(config)
    container = await runtime.create_container(sandbox, subject.container(), config)
    await runtime.start_container(container)

    assert (await runtime.exec_sync(container, ["true"], 5)).exit_code == 0


async def test_images_are_found_by_reference(subject: Subject) -> None:
    found = await subject.runtime.image(BUSYBOX)

    assert found is not None
    assert found.size > 0
    assert BUSYBOX in found.tags
    assert await subject.runtime.image("localhost/nothing:1") is None
    assert found.id in [image.id for image in await subject.runtime.list_images()]
