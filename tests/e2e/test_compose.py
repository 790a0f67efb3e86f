"""The cluster of containers, in a Docker engine of its own: the demo, and what it must survive."""

from __future__ import annotations

import asyncio
import importlib
import io
import json
import os
import tarfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.clock import SystemClock
from kplane.runtime.process import Fatal

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.node,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("compose"),
]

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "compose"
CLIENT_CERTIFICATE = "/var/lib/kplane/pki/kubelet-client-current.pem"


@pytest.fixture(scope="module")
def demo() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("demo")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(demo: ModuleType) -> AsyncIterator[Any]:
    """A cluster: engine, image and containers take a minute or two."""
    clock = SystemClock()
    async with demo.running(demo.Story(clock, clock.monotonic()), own=True) as made:
        yield made


@pytest_asyncio.fixture(loop_scope="module")
async def cluster(running: Any, demo: ModuleType) -> Any:
    """With both workers, whatever was done to them before."""
    await running.compose("start", *demo.WORKERS)
    await running.wait_ready(*demo.WORKERS)
    return running


async def exec_json(cluster: Any, service: str, *command: str) -> Any:
    code, out, _ = await cluster.inside(service, *command)
    return json.loads(out) if code == 0 else None


async def test_the_demo_spreads_an_application_and_outlives_a_worker(cluster: Any, demo: ModuleType) -> None:
    clock = cluster.clock

    await demo.act(cluster, demo.Story(clock, clock.monotonic()))

    # It comes back as the node that it was, and takes new Pods.
    node = (await cluster.get("node", demo.WORKERS[1]))["metadata"]["uid"]
    await cluster.compose("start", demo.WORKERS[1])
    await cluster.wait_ready(*demo.WORKERS)
    assert (await cluster.get("node", demo.WORKERS[1]))["metadata"]["uid"] == node


async def test_what_runs_on_a_worker_is_reached_through_the_api_server(
    cluster: Any, demo: ModuleType
) -> None:
    """Nobody has approved a certificate, and the API server verifies whom it asks."""
    await cluster.load_example()
    for worker in demo.WORKERS:
        name = f"reached-{worker}"
        await cluster.kubectl("apply", "-f", "-", input=pod_on(worker, name))
        await cluster.kubectl("wait", "--for=condition=Ready", f"pod/{name}", "--timeout=60s")

        assert (await cluster.kubectl("exec", name, "--", "hostname")).strip() == name
        assert await cluster.kubectl("logs", name) == "started\n"
        assert await forwarded(cluster, name) == f"Hello, {name}\n"

    requests = (await cluster.get("certificatesigningrequests"))["items"]
    serving = [one for one in requests if one["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]
    assert {one["spec"]["username"] for one in serving} == {f"system:node:{name}" for name in demo.WORKERS}
    assert {one["status"]["conditions"][0]["reason"] for one in serving} == {"AutoApproved"}

    async def measured() -> bool:
        try:
            told = await cluster.kubectl("top", "nodes", "--no-headers")
            pods = await cluster.kubectl("top", "pods", "--no-headers")
        except Fatal:
            return False
        return {line.split()[0] for line in told.splitlines()} == set(demo.WORKERS) and "reached-" in pods

    await cluster.until(measured, 60, "`kubectl top` does not tell of both workers")
    await cluster.kubectl("delete", "pod", *(f"reached-{worker}" for worker in demo.WORKERS), "--wait=false")


def pod_on(worker: str, name: str) -> bytes:
    said = [{"name": "GREETING", "value": "Hello"}, {"name": "POD", "value": name}]
    container = {"image": "localhost/kplane/hello:1", "name": "c", "imagePullPolicy": "IfNotPresent"}
    probe = {"readinessProbe": {"httpGet": {"path": "/", "port": 8080}, "periodSeconds": 1}, "env": said}
    spec = {"nodeName": worker, "containers": [container | probe]}
    return json.dumps({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}).encode()


async def forwarded(cluster: Any, pod: str) -> str:
    """The page of a Pod, through `kubectl port-forward`."""
    argv = [*cluster.kubectl_command, "port-forward", f"pod/{pod}", ":8080"]
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.PIPE)
    try:
        assert process.stdout is not None
        # Forwarding from 127.0.0.1:PORT -> 8080
        address = (await process.stdout.readline()).split()[2].decode()
        asking = ("curl", "--fail", "--silent", "--max-time", "10", f"http://{address}/")
        page = await asyncio.create_subprocess_exec(
            *cluster.engine.inside, *asking, stdout=asyncio.subprocess.PIPE
        )
        return (await page.communicate())[0].decode()
    finally:
        process.terminate()
        await process.wait()


async def test_a_restarted_worker_keeps_its_identity(cluster: Any) -> None:
    async def client_requests() -> int:
        found = (await cluster.get("certificatesigningrequests"))["items"]
        return len([one for one in found if one["spec"]["signerName"].endswith("apiserver-client-kubelet")])

    async def renewed() -> str:
        lease = await cluster.get("lease", "worker-1", "-n", "kube-node-lease")
        return str(lease["spec"]["renewTime"])

    identity = await cluster.inside("worker-1", "sha256sum", CLIENT_CERTIFICATE)
    assert identity[0] == 0
    asked = await client_requests()

    await cluster.compose("restart", "worker-1")
    before = await renewed()

    async def back() -> bool:
        status = await exec_json(cluster, "worker-1", "kplane", "status", "-o", "json")
        return bool(status and status["ready"]) and await renewed() > before

    await cluster.until(back, 60, "worker-1 is not back")
    assert "worker-1" in await cluster.ready_nodes()
    assert await cluster.inside("worker-1", "sha256sum", CLIENT_CERTIFICATE) == identity
    assert await client_requests() == asked


async def test_a_worker_that_lost_its_power_runs_its_pods_again(cluster: Any, demo: ModuleType) -> None:
    """Nothing was stopped, and what the kernel held is gone."""
    pod = {"image": "localhost/kplane/hello:1", "name": "c", "imagePullPolicy": "IfNotPresent"}
    body = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "cut-off"}}
    spec = {"spec": {"nodeName": "worker-1", "containers": [pod]}}
    await cluster.load_example()
    await cluster.kubectl("apply", "-f", "-", input=json.dumps(body | spec).encode())
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/cut-off", "--timeout=60s")
    [before] = (await cluster.get("pod", "cut-off"))["status"]["containerStatuses"]

    await cluster.compose("kill", "worker-1")
    await cluster.compose("start", "worker-1")

    async def again() -> bool:
        found = (await cluster.get("pod", "cut-off"))["status"]
        [container] = found["containerStatuses"]
        return bool(demo.is_ready({"status": found}) and container["containerID"] != before["containerID"])

    await cluster.until(again, 90, "the Pod does not run again")
    assert (await cluster.get("pod", "cut-off"))["status"]["containerStatuses"][0]["restartCount"] == 1
    await cluster.kubectl("delete", "pod/cut-off", "--wait=false")


async def test_the_cluster_goes_on_when_its_api_server_has_restarted(cluster: Any) -> None:
    await cluster.kubectl("create", "configmap", "kept", "--from-literal=a=b")

    await cluster.compose("restart", "apiserver", "etcd")

    async def answers() -> bool:
        try:
            return bool((await cluster.get("configmap", "kept"))["data"] == {"a": "b"})
        except Fatal:
            return False

    await cluster.until(answers, 60, "the API server is not back")
    await cluster.load_example()
    command = ("--image=localhost/kplane/hello:1", "--image-pull-policy=IfNotPresent", "--restart=Never")
    await cluster.kubectl("run", "after", *command)
    # Scheduler, controllers and kubelets have found it again.
    await cluster.kubectl("wait", "--for=condition=Ready", "pod/after", "--timeout=60s")
    await cluster.kubectl("delete", "pod/after", "configmap/kept", "--wait=false")


async def test_up_again_changes_nothing_but_the_token(cluster: Any, demo: ModuleType) -> None:
    async def facts() -> tuple[Any, Any]:
        token = await cluster.inside("worker-1", "cat", "/join/token")
        nodes = (await cluster.get("nodes"))["items"]
        return token, {node["metadata"]["name"]: node["metadata"]["uid"] for node in nodes}

    token, nodes = await facts()

    await cluster.compose("up", "--detach", "--no-build")

    async def made() -> bool:
        return (await facts())[0] not in (token, "")

    await cluster.until(made, 60, "no new token was made")
    await cluster.wait_ready(*demo.WORKERS)
    assert (await facts())[1] == nodes


async def test_a_wrong_token_is_refused_with_the_reason(cluster: Any) -> None:
    _, words, _ = await cluster.inside("worker-1", "cat", "/join/arguments")
    _, token, _ = await cluster.inside("worker-1", "cat", "/join/token")
    words = [*words.split(), "--token", f"{token.partition('.')[0]}.{'0' * 16}"]

    code, out, said = await cluster.inside(
        "worker-1", "kplane", "join", *words, "--data-dir", "/tmp/stranger", "--node-name", "stranger"
    )

    assert code == 1
    assert "failed to verify JWS signature" in out + said
    assert "Traceback" not in out + said
    nodes = (await cluster.get("nodes"))["items"]
    assert "stranger" not in {node["metadata"]["name"] for node in nodes}


async def test_no_worker_holds_an_authoritys_key_and_no_component_a_right_on_the_machine(
    cluster: Any, demo: ModuleType
) -> None:
    for worker in demo.WORKERS:
        _, found, _ = await cluster.inside(worker, "find", "/join", "/var/lib/kplane/pki", "-type", "f")
        assert not [path for path in found.split() if path.endswith(("ca.key", "sa.key"))]
        _, token, _ = await cluster.inside(worker, "cat", "/join/token")
        _, told, _ = await cluster.inside(worker, "sh", "-c", "cat /proc/[0-9]*/cmdline /proc/[0-9]*/environ")
        assert token.strip()
        assert token.strip() not in told
    for service in ("etcd", "apiserver", "scheduler", "controller-manager"):
        _, status, _ = await cluster.inside(service, "cat", "/proc/1/status")
        facts = {line.partition(":")[0]: line.split()[1:] for line in status.splitlines()}
        assert set(facts["CapEff"] + facts["CapBnd"]) == {"0" * 16}
        assert facts["Uid"][0] != "0"
        assert facts["NoNewPrivs"] == ["1"]
        code, _, _ = await cluster.inside(service, "touch", "/opt/kplane/bin/kplane")
        assert code


async def test_an_engine_of_its_own_leaves_nothing(demo: ModuleType) -> None:
    before = machine()
    image = io.BytesIO()
    with tarfile.open(fileobj=image, mode="w") as tar:
        tar.addfile(tarfile.TarInfo("file"))

    async with demo.engine(SystemClock(), own=True) as docker:
        await docker.docker("import", "-", "localhost/nothing:1", input=image.getvalue())
        await docker.docker("network", "create", "--subnet=172.30.99.0/24", "there")
        await docker.docker(
            "create", "--network=there", "--publish=127.0.0.1::80", "localhost/nothing:1", "x"
        )
        folder = Path(docker.env["DOCKER_HOST"].removeprefix("unix://")).parent
        assert machine() == before

    assert machine() == before
    assert not folder.exists()
    assert not [
        process for process in Path("/proc").glob("[0-9]*/cmdline") if str(folder) in text_of(process)
    ]


def machine() -> tuple[list[str], list[str]]:
    """Network interfaces and mounts, but those of clusters that other tests run."""
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    return (
        sorted(name for name in os.listdir("/sys/class/net") if name.startswith(("docker", "br-"))),
        sorted(point for point in mounts if "kplane-docker" in point),
    )


def text_of(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


async def test_a_mirror_that_cannot_be_reached_is_told(demo: ModuleType) -> None:
    images = demo.images
    nobody = images.Engine({**os.environ, "DOCKER_HOST": "unix:///nonexistent/docker.sock"})

    with pytest.raises(Fatal) as refused:
        await images._debootstrap(nobody, images.Mirror("http://127.0.0.1:1/debian", "bookworm"))

    assert "debootstrap cannot make bookworm from http://127.0.0.1:1/debian" in str(refused.value)
    assert "KPLANE_DEBIAN_MIRROR" in str(refused.value)
