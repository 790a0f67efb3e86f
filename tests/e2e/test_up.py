"""`kplane up` without containers: hollow nodes, status, and clear refusals."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path

import pytest

from kplane.testing.clusters import BIN, cluster
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.xdist_group("cluster-hollow")]

DEPLOYMENT = """
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 6
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: web, image: example/web}]}
"""


async def test_hollow_nodes_run_pods_without_containers() -> None:
    async with cluster("--runtime", "hollow", "--nodes", "3", "--port", "0") as hollow:
        nodes = (await hollow.get("nodes"))["items"]
        assert len(nodes) == 3

        await hollow.kubectl("apply", "-f", "-", input=DEPLOYMENT)
        await hollow.kubectl("rollout", "status", "deployment/web", "--timeout=30s")

        pods = (await hollow.get("pods"))["items"]
        assert {pod["status"]["phase"] for pod in pods} == {"Running"}
        assert {pod["spec"]["nodeName"] for pod in pods} <= {node["metadata"]["name"] for node in nodes}
        assert len({pod["status"]["podIP"] for pod in pods}) == 6


async def test_status_lists_every_process_and_down_ends_them() -> None:
    async with cluster("--runtime", "hollow", "--port", "0") as hollow:
        processes = await hollow.processes()
        assert set(processes) == {
            "apiserver",
            "scheduler",
            "controller-manager",
            "kubelet",
            "metrics-server",
        }
        assert {process["state"] for process in processes.values()} == {"running"}
        assert {process["restarts"] for process in processes.values()} == {0}

        await hollow.kplane("down")

        assert not any(Path(f"/proc/{process['pid']}").exists() for process in processes.values())
        gone = await hollow.kplane("status", "-o", "json", check=False)
        assert (gone.code, json.loads(gone.out)["processes"]) == (1, [])


async def test_objects_outlive_down_and_up() -> None:
    async with cluster("--runtime", "hollow", "--port", "0") as hollow:
        await hollow.kubectl("apply", "-f", "-", input=DEPLOYMENT)
        await hollow.kplane("down")
        await hollow.kplane("up", "--detach", "--runtime", "hollow", "--port", "0")

        assert (await hollow.get("deployment", "web"))["spec"]["replicas"] == 6
        await eventually(lambda: all_running(hollow))


async def all_running(hollow: object) -> bool:
    pods = (await hollow.get("pods"))["items"]  # type: ignore[attr-defined]
    return len(pods) == 6 and all(pod["status"]["phase"] == "Running" for pod in pods)


async def up(folder: Path, *arguments: str, **env: str) -> tuple[int, list[str]]:
    """The exit status and the lines on stderr of a `kplane up` that is refused."""
    process = await asyncio.create_subprocess_exec(
        str(BIN / "kplane"), "up", "--data-dir", str(folder), "--port", "0", *arguments,
        env={**os.environ, **env}, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await asyncio.wait_for(process.communicate(), 40)
    assert process.returncode is not None
    return process.returncode, err.decode().splitlines()


async def test_unreachable_etcd_is_told_in_one_line(tmp_path: Path) -> None:
    arguments = ("--runtime", "hollow", "--etcd-servers", "http://127.0.0.1:1")

    code, lines = await up(tmp_path / "d", *arguments)

    assert code == 1
    [said] = [line for line in lines if line.startswith("kplane up:")]
    assert "http://127.0.0.1:1" in said
    assert "--etcd-servers" in said


async def test_missing_containerd_is_told_in_one_line(tmp_path: Path) -> None:
    command = f"import kplane.cli.options as o; o.find_program = lambda name: None; {RUN}"
    process = await asyncio.create_subprocess_exec(
        str(BIN / "python"), "-c", command, str(tmp_path / "d"), stderr=asyncio.subprocess.PIPE
    )
    _, err = await process.communicate()

    assert process.returncode == 1
    [line] = err.decode().splitlines()
    assert line.startswith("kplane: --runtime containerd needs containerd, runc, nft")
    assert "or use --runtime hollow" in line


RUN = (
    "import sys; from kplane.cli.main import main; "
    "sys.exit(main(['up', '--runtime', 'containerd', '--data-dir', sys.argv[1]]))"
)
