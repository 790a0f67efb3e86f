"""Two controller managers beside an API server, all processes: one acts at a time, whatever happens to it."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.api.clock import SystemClock
from kplane.api.errors import ApiError, Unreachable
from kplane.api.types import Lease, Pod, ReplicaSet
from kplane.client import kubeconfig
from kplane.client.kubeconfig import Credentials
from kplane.client.rest import Client, connect
from kplane.runtime import pki
from kplane.runtime.serving import free_port
from kplane.testing.objects import APP, make_template
from kplane.testing.waiting import eventually

pytestmark = pytest.mark.slow

QUICK = [
    "--leader-elect-lease-duration=3s",
    "--leader-elect-renew-deadline=2s",
    "--leader-elect-retry-period=500ms",
]


@dataclass
class Cluster:
    folder: Path
    client: Client
    processes: list[asyncio.subprocess.Process] = field(default_factory=list)

    async def start(self, module: str, *flags: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", module, "--bind-address=127.0.0.1", *flags,
            stderr=asyncio.subprocess.DEVNULL,
        )  # fmt: skip
        self.processes.append(process)
        return process

    async def start_manager(self) -> asyncio.subprocess.Process:
        return await self.start(
            "kplane.controllers", f"--kubeconfig={self.folder / 'kubeconfig'}", "--secure-port=0",
            "--controllers=replicaset", *QUICK,
        )  # fmt: skip

    async def holder(self) -> str:
        """Who leads; empty for nobody."""
        try:
            lease = await self.client.get(Lease, "kube-controller-manager", "kube-system")
        except ApiError:
            return ""
        return lease.spec.holder_identity or ""

    async def another_holder(self, *before: str) -> str:
        async def other() -> str:
            found = await self.holder()
            return "" if found in before else found

        return await eventually(other, what=f"somebody else than {before} leads")

    async def pods(self) -> set[str]:
        return {pod.metadata.uid for pod in (await self.client.list(Pod, "default")).items if pod.active}

    async def scale(self, replicas: int) -> None:
        await self.client.patch(ReplicaSet, "web", "default", {"spec": {"replicas": replicas}})

    async def reaches(self, count: int) -> set[str]:
        async def enough() -> set[str] | None:
            found = await self.pods()
            return found if len(found) == count else None

        return await eventually(enough, what=f"{count} pods")

    async def end(self) -> None:
        for process in self.processes:
            if process.returncode is None:
                process.kill()
        for process in self.processes:
            await process.wait()


@pytest_asyncio.fixture
async def cluster(tmp_path: Path) -> AsyncIterator[Cluster]:
    port = free_port()
    pki.ensure(tmp_path / "pki", server_names=["localhost"], server_ips=["127.0.0.1"])
    (tmp_path / "tokens.csv").write_text('secret,admin,1,"system:masters"\n')
    ca = (tmp_path / "pki/ca.crt").read_bytes()
    credentials = Credentials(f"https://127.0.0.1:{port}", ca=ca, token="secret")
    kubeconfig.write(tmp_path / "kubeconfig", credentials)
    found = Cluster(tmp_path, connect(credentials))
    try:
        await found.start(
            "kplane.apiserver", f"--storage-dir={tmp_path / 'store'}", f"--secure-port={port}",
            f"--tls-cert-file={tmp_path / 'pki/apiserver.crt'}",
            f"--tls-private-key-file={tmp_path / 'pki/apiserver.key'}",
            f"--token-auth-file={tmp_path / 'tokens.csv'}", "--disable-admission-plugins=ServiceAccount",
        )  # fmt: skip
        assert await eventually(lambda: answers(found.client), what="the API server answers", seconds=60)
        yield found
    finally:
        await found.end()
        await found.client.close()


async def answers(client: Client) -> bool | None:
    try:
        await client.raw("GET", "/api/v1/namespaces/kube-system")
        await client.raw("GET", "/api/v1/namespaces/default")
    except (Unreachable, ApiError):
        return False
    return True


async def with_replicas(cluster: Cluster, count: int) -> None:
    metadata = {"name": "web", "namespace": "default"}
    spec = {"replicas": count, "selector": {"matchLabels": dict(APP)}, "template": make_template()}
    await cluster.client.create(ReplicaSet, {"metadata": metadata, "spec": spec})


async def test_when_the_leader_is_killed_the_other_one_goes_on(cluster: Cluster) -> None:
    leader = await cluster.start_manager()
    first = await cluster.another_holder("")
    await cluster.start_manager()
    await with_replicas(cluster, 3)
    before = await cluster.reaches(3)

    leader.kill()
    await cluster.scale(5)
    second = await cluster.another_holder("", first)
    after = await cluster.reaches(5)

    assert before < after
    assert second != first


async def test_a_leader_that_was_stopped_does_nothing_when_it_wakes_up(cluster: Cluster) -> None:
    leader = await cluster.start_manager()
    first = await cluster.another_holder("")
    await cluster.start_manager()
    await with_replicas(cluster, 3)
    await cluster.reaches(3)

    leader.send_signal(signal.SIGSTOP)
    await cluster.scale(6)
    second = await cluster.another_holder("", first)
    settled = await cluster.reaches(6)
    leader.send_signal(signal.SIGCONT)
    # Time enough for the one that slept to do what it had in mind, and to stand for election again.
    until = SystemClock().monotonic() + 3

    async def undisturbed() -> bool | None:
        assert await cluster.pods() == settled
        assert await cluster.holder() == second
        return SystemClock().monotonic() > until

    assert await eventually(undisturbed)
    await cluster.scale(8)
    more = await cluster.reaches(8)

    assert settled < more
    assert leader.returncode is None
    assert await cluster.holder() == second


async def test_a_leader_that_is_asked_to_end_hands_over_at_once(cluster: Cluster) -> None:
    leader = await cluster.start_manager()
    first = await cluster.another_holder("")
    await cluster.start_manager()
    await with_replicas(cluster, 2)
    await cluster.reaches(2)
    leader.terminate()
    assert await leader.wait() == 0
    await cluster.another_holder("", first)
    await cluster.scale(4)
    await cluster.reaches(4)
