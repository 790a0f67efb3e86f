"""Any process killed while an application runs: nothing is lost, no container notices, work goes on."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.testing import images
from kplane.testing.clusters import Cluster, cluster
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.node, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"
PROCESSES = (
    "apiserver", "scheduler", "controller-manager", "kubelet", "proxy", "containerd", "metrics-server",
)  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def hello(node_cluster: Cluster) -> AsyncIterator[Cluster]:
    await node_cluster.kubectl("apply", "-f", str(EXAMPLES))
    await node_cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")
    yield node_cluster


async def kill(cluster: Cluster, *names: str) -> None:
    """SIGKILL, and wait until the supervisor has started each of them anew."""
    before = await cluster.processes()
    for name in names:
        os.kill(before[name]["pid"], signal.SIGKILL)

    async def restarted() -> bool:
        now = await cluster.processes()
        return all(
            now[name]["state"] == "running" and now[name]["pid"] not in (None, before[name]["pid"])
            for name in names
        )

    await eventually(restarted, what=f"{names} to run again")


async def containers(cluster: Cluster) -> dict[str, tuple[str, int]]:
    """Container id and restart count of every Pod of the application."""
    pods = (await cluster.get("pods", "-l", "app=hello"))["items"]
    statuses = {pod["metadata"]["name"]: pod["status"]["containerStatuses"][0] for pod in pods}
    return {name: (status["containerID"], status["restartCount"]) for name, status in statuses.items()}


async def answers(cluster: Cluster) -> bool:
    service = (await cluster.get("service", "hello"))["spec"]["clusterIP"]
    return "Hello" in (await cluster.run("curl", "-sf", "-m", "2", f"http://{service}/", check=False)).out


async def check_work_goes_on(cluster: Cluster) -> None:
    """A change reaches containers, and the Service follows."""
    for replicas in ("4", "3"):
        await cluster.kubectl("scale", "deployment", "hello", f"--replicas={replicas}")
        await cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")
        await cluster.kubectl(
            "wait",
            "deployment/hello",
            f"--for=jsonpath={{.status.readyReplicas}}={replicas}",
            "--timeout=120s",
        )
    await eventually(lambda: answers(cluster))


async def only_the_application(cluster: Cluster, count: int) -> bool:
    return len(await containers(cluster)) == count


@pytest.mark.parametrize("name", PROCESSES)
async def test_killed_process_comes_back_and_containers_never_notice(hello: Cluster, name: str) -> None:
    await eventually(lambda: only_the_application(hello, 3), seconds=45)
    before = await containers(hello)

    await kill(hello, name)

    await eventually(lambda: answers(hello))
    assert await containers(hello) == before
    await check_work_goes_on(hello)


async def test_killed_store_keeps_everything(hello: Cluster) -> None:
    if "etcd" not in await hello.processes():
        return  # SQLite lives inside of the API server, whose death is tested above
    await eventually(lambda: only_the_application(hello, 3), seconds=45)
    before = await containers(hello)

    await kill(hello, "etcd")

    await eventually(lambda: ready(hello))
    assert await containers(hello) == before
    await check_work_goes_on(hello)


async def ready(cluster: Cluster) -> bool:
    return (await cluster.kubectl("get", "--raw", "/readyz", check=False)).out == "ok"


async def test_everything_killed_at_once_comes_back(hello: Cluster) -> None:
    await eventually(lambda: only_the_application(hello, 3), seconds=45)
    before = await containers(hello)

    await kill(hello, *(await hello.processes()))

    await eventually(lambda: ready(hello))
    assert await containers(hello) == before
    await check_work_goes_on(hello)


async def test_killed_supervisor_leaves_containers_running_for_the_next_up(hello: Cluster) -> None:
    await eventually(lambda: only_the_application(hello, 3), seconds=45)
    before = await containers(hello)
    old = [process["pid"] for process in (await hello.processes()).values()]
    lock = int((hello.folder / "run" / "lock").read_text())
    os.kill(lock, signal.SIGKILL)
    await eventually(lambda: not any(Path(f"/proc/{pid}").exists() for pid in old))

    store = "etcd" if (hello.folder / "etcd").exists() else "sqlite"
    await hello.kplane("up", "--detach", "--runtime", "containerd", "--store", store, "--port", "0")

    assert await containers(hello) == before
    await check_work_goes_on(hello)


async def test_down_after_a_killed_supervisor_stops_its_containers(node_cluster: Cluster) -> None:
    async with cluster("--runtime", "containerd", "--port", "0") as other:
        await other.load(images.hello())
        await other.kubectl("apply", "-f", str(EXAMPLES))
        await other.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")
        os.kill(int((other.folder / "run" / "lock").read_text()), signal.SIGKILL)
        await eventually(lambda: not any("kplane." in command for command in commands_in(other.folder)))
        assert len(commands_in(other.folder)) > 0

        await other.kplane("down")

        await eventually(lambda: commands_in(other.folder) == [])


def commands_in(folder: Path) -> list[str]:
    """Command lines of the processes that name a cluster's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):  # the process has just ended
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
            if str(folder) in command and "nsenter" not in command:
                found.append(command)
    return found


async def test_second_cluster_in_the_same_folder_is_refused(hello: Cluster) -> None:
    refused = await hello.kplane("up", "--runtime", "hollow", "--port", "0", check=False)

    assert refused.code == 1
    assert "a cluster is running in" in refused.err
    assert len(refused.err.splitlines()) == 1


async def test_port_in_use_is_told_in_one_line(hello: Cluster, tmp_path: Path) -> None:
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        arguments = ("--data-dir", str(tmp_path / "d"), "--runtime", "hollow", "--port", str(port))
        process = await asyncio.create_subprocess_exec(
            "kplane", "up", *arguments, env={**hello.env},
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, err = await asyncio.wait_for(process.communicate(), 30)

    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1:{port}" in err.decode().splitlines()[-1]
