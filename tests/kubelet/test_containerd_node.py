"""A whole kubelet on a real containerd: what ends up in containers, cgroups and statuses."""

from __future__ import annotations

import base64
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from kplane.api.clock import SystemClock
from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap
from kplane.kubelet.logs import container_log, pod_log_dir
from kplane.kubelet.pod import Pod
from kplane.kubelet.runtime.cri import CriRuntime
from kplane.kubelet.runtime.interface import ContainerState
from kplane.testing.cluster import FakeCluster
from kplane.testing.containerd import Containerd
from kplane.testing.images import BUSYBOX
from kplane.testing.objects import make_configmap, make_pod, make_secret
from kplane.testing.waiting import eventually

from .support import NODE, condition_of, config_in, reasons, running_kubelet, status_of

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("containerd")]

FOREVER = "trap 'exit 0' TERM; sleep 1000 & wait"


@dataclass
class NodeUnderTest:
    """A cluster whose only node is a kubelet on containerd."""

    cluster: FakeCluster
    cri: CriRuntime
    containerd: Containerd
    folder: Path

    def running(self) -> Any:
        config = config_in(self.folder, cgroup_root=self.containerd.cgroup_root)
        return running_kubelet(self.cluster, self.cri, config, SystemClock(), hollow=False)

    def load(self, script: str = FOREVER, *, init: tuple[Object, ...] = (), **options: Any) -> None:
        """A pod named web whose container runs a shell script; `container` adds to its container."""
        container = {
            "name": "web",
            "image": BUSYBOX,
            "imagePullPolicy": "IfNotPresent",
            "command": ["sh", "-c", script],
            **options.pop("container", {}),
        }
        if init:
            options["initContainers"] = list(init)
        self.cluster.load(make_pod(node=NODE, containers=[container], **options))

    @property
    def status(self) -> Object:
        return status_of(self.cluster, "web")

    @property
    def container(self) -> Object:
        found: Object = self.status["containerStatuses"][0]
        return found

    async def until_phase(self, phase: str) -> None:
        await eventually(lambda: self.status.get("phase") == phase, what=f"{phase}: {self.status}")

    async def until_waiting(self, reason: str) -> None:
        def waiting() -> bool:
            statuses = self.status.get("containerStatuses", [])
            return any(entry["state"].get("waiting", {}).get("reason") == reason for entry in statuses)

        await eventually(waiting, what=f"{reason}: {self.status}")

    async def exec(self, *command: str) -> str:
        container = self.container["containerID"].removeprefix("containerd://")
        result = await self.cri.exec_sync(container, command, 10)
        return (result.stdout + result.stderr).decode().strip()

    def log(self, attempt: int = 0) -> list[str]:
        pod = self.cluster.get(Pod, Key("default", "web"))
        assert pod is not None
        folder = pod_log_dir(self.folder / "logs", "default", "web", pod.metadata.uid)
        lines = container_log(folder, "web", attempt).read_text().splitlines()
        return [line.split(" ", 3)[3] for line in lines]


@pytest_asyncio.fixture
async def stopped(
    cluster: FakeCluster, cri: CriRuntime, containerd_node: Containerd, tmp_path: Path
) -> AsyncIterator[NodeUnderTest]:
    """The node with its kubelet not running yet; its pods are removed afterwards."""
    node = NodeUnderTest(cluster, cri, containerd_node, tmp_path)
    yield node
    for sandbox in await cri.list_sandboxes():
        await cri.stop_sandbox(sandbox.id)
        await cri.remove_sandbox(sandbox.id)
    for pod in cluster.list(Pod):
        cluster.delete(Pod, pod.key)
    async with node.running():
        await eventually(lambda: no_folders(tmp_path))


async def nothing_left(cri: CriRuntime) -> bool:
    return not await cri.list_sandboxes()


def no_folders(folder: Path) -> bool:
    pods = folder / "kubelet" / "pods"
    return not pods.exists() or not list(pods.iterdir())


@pytest_asyncio.fixture
async def node(stopped: NodeUnderTest) -> AsyncIterator[NodeUnderTest]:
    async with stopped.running():
        yield stopped


async def test_pod_runs_with_an_address_and_logs(node: NodeUnderTest) -> None:
    begun = time.perf_counter()
    node.load(f"echo hello; {FOREVER}")

    await node.until_phase("Running")

    assert time.perf_counter() - begun < 5
    assert node.status["podIP"] in await node.exec("ip", "-4", "address", "show", "eth0")
    assert node.container["containerID"].startswith("containerd://")
    await eventually(lambda: node.log() == ["hello"])
    assert reasons(node.cluster) == ["Pulled", "Created", "Started"]


async def test_environment_and_expansion_reach_the_process(node: NodeUnderTest) -> None:
    node.cluster.load(make_configmap("settings", data={"color": "blue"}))
    node.cluster.load(make_secret("keys", data={"token": base64.b64encode(b"s3cret").decode()}))
    node.load(
        "",
        container={
            "command": ["sh", "-c", f"echo $(COLOR) $TOKEN $IP; {FOREVER}"],
            "env": [
                {"name": "COLOR", "valueFrom": {"configMapKeyRef": {"name": "settings", "key": "color"}}},
                {"name": "TOKEN", "valueFrom": {"secretKeyRef": {"name": "keys", "key": "token"}}},
                {"name": "IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}},
            ],
        },
    )

    await node.until_phase("Running")

    await eventually(lambda: node.log() == [f"blue s3cret {node.status['podIP']}"])


async def test_config_map_that_arrives_late_lets_the_container_start(node: NodeUnderTest) -> None:
    node.load(container={"envFrom": [{"configMapRef": {"name": "late"}}]})
    await node.until_waiting("CreateContainerConfigError")
    assert node.container["state"]["waiting"]["message"] == 'configmap "late" not found'

    node.cluster.load(make_configmap("late", data={"A": "1"}))

    await node.until_phase("Running")


async def test_volumes_are_mounted_and_follow_their_objects(node: NodeUnderTest) -> None:
    node.cluster.load(make_configmap("settings", data={"color": "blue", "size": "1"}))
    node.cluster.load(make_secret("keys", data={"token": base64.b64encode(b"s3cret").decode()}))
    volumes = [
        {"name": "settings", "configMap": {"name": "settings", "items": [{"key": "color", "path": "a/b"}]}},
        {"name": "keys", "secret": {"secretName": "keys", "defaultMode": 0o400}},
        {"name": "scratch", "emptyDir": {}},
        {"name": "memory", "emptyDir": {"medium": "Memory"}},
        {"name": "all", "projected": {"sources": [
            {"downwardAPI": {"items": [{"path": "labels", "fieldRef": {"fieldPath": "metadata.labels"}}]}},
            {"configMap": {"name": "settings"}},
        ]}},
    ]  # fmt: skip
    mounts = [{"name": entry["name"], "mountPath": f"/v/{entry['name']}"} for entry in volumes]
    mounts.append({"name": "all", "mountPath": "/v/size", "subPath": "size"})
    node.load(volumes=volumes, container={"volumeMounts": mounts})
    await node.until_phase("Running")

    assert await node.exec("cat", "/v/settings/a/b") == "blue"
    assert await node.exec("stat", "-L", "-c", "%a", "/v/keys/token") == "400"
    assert await node.exec("sh", "-c", "echo x > /v/scratch/f && cat /v/scratch/f") == "x"
    assert "tmpfs" in await node.exec("grep", "/v/memory", "/proc/mounts")
    assert await node.exec("cat", "/v/all/labels") == 'app="web"'
    assert await node.exec("cat", "/v/size") == "1"
    changed = make_configmap("settings", data={"color": "red", "size": "2"})
    await node.cluster.client().update(ConfigMap, changed)

    async def follows() -> bool:
        return await node.exec("cat", "/v/settings/a/b") == "red"

    await eventually(follows)
    assert await node.exec("cat", "/v/size") == "1", "a subPath mount does not follow"


async def test_missing_secret_keeps_the_pod_from_starting(node: NodeUnderTest) -> None:
    node.load(volumes=[{"name": "keys", "secret": {"secretName": "late"}}])

    await eventually(lambda: "FailedMount" in reasons(node.cluster))

    assert node.status["containerStatuses"][0]["state"]["waiting"]["reason"] == "ContainerCreating"
    (event, *_) = [event for event in node.cluster.events() if event.reason == "FailedMount"]
    assert event.message == 'MountVolume.SetUp failed for volume "keys" : secret "late" not found'
    node.cluster.load(make_secret("late"))
    await node.until_phase("Running")


async def test_limits_are_visible_in_the_cgroup(node: NodeUnderTest) -> None:
    resources = {"requests": {"cpu": "250m"}, "limits": {"cpu": "500m", "memory": "64Mi"}}
    node.load(container={"resources": resources})
    await node.until_phase("Running")

    assert node.status["qosClass"] == "Burstable"
    found = {
        path.name: path.read_text().strip()
        for name in ("cpu.shares", "cpu.cfs_quota_us", "memory.limit_in_bytes")
        for path in container_cgroup_files(node, name)
    }
    assert found == {
        "cpu.shares": "256",
        "cpu.cfs_quota_us": "50000",
        "memory.limit_in_bytes": str(64 << 20),
    }


def container_cgroup_files(node: NodeUnderTest, name: str) -> list[Path]:
    container = node.container["containerID"].removeprefix("containerd://")
    return list(Path("/sys/fs/cgroup").glob(f"*/{node.containerd.cgroup_root[1:]}/**/{container}/{name}"))


async def test_security_context_reaches_the_process(node: NodeUnderTest) -> None:
    context = {"runAsUser": 1234, "runAsGroup": 99, "readOnlyRootFilesystem": True}
    context |= {"capabilities": {"drop": ["ALL"]}, "allowPrivilegeEscalation": False}
    node.load(container={"securityContext": context})
    await node.until_phase("Running")

    assert await node.exec("sh", "-c", "id -u; id -g") == "1234\n99"
    assert "Read-only" in await node.exec("sh", "-c", "touch /x")
    process = await node.exec("cat", "/proc/1/status")
    assert "NoNewPrivs:\t1" in process
    assert "CapBnd:\t0000000000000000" in process


async def test_container_that_must_not_be_root_is_refused(node: NodeUnderTest) -> None:
    node.load(container={"securityContext": {"runAsNonRoot": True}})

    await node.until_waiting("CreateContainerConfigError")

    message = node.container["state"]["waiting"]["message"]
    assert message.startswith("container has runAsNonRoot and image will run as root")


async def test_init_containers_and_sidecar_run_in_order(node: NodeUnderTest) -> None:
    shared = {"volumeMounts": [{"name": "shared", "mountPath": "/s"}]}
    one = {"name": "one", "image": BUSYBOX, "command": ["sh", "-c", "echo one >> /s/log"], **shared}
    side = {"name": "side", "image": BUSYBOX, "restartPolicy": "Always", **shared}
    side["command"] = ["sh", "-c", f"echo side >> /s/log; {FOREVER}"]
    node.load(
        f"sleep 0.3; echo web >> /s/log; {FOREVER}",
        init=(one, side),
        volumes=[{"name": "shared", "emptyDir": {}}],
        container=shared,
    )
    await node.until_phase("Running")

    async def complete() -> bool:
        return await node.exec("cat", "/s/log") == "one\nside\nweb"

    await eventually(complete)
    init = node.status["initContainerStatuses"]
    assert init[0]["state"]["terminated"]["reason"] == "Completed"
    assert "running" in init[1]["state"]


async def test_finished_pod_succeeds_with_its_last_words(node: NodeUnderTest) -> None:
    node.load("echo done > /dev/termination-log", restartPolicy="Never")

    await node.until_phase("Succeeded")

    ended = node.container["state"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (0, "Completed", "done\n")
    assert condition_of(node.status, "Ready")["reason"] == "PodCompleted"


async def test_crashing_container_restarts_and_then_backs_off(node: NodeUnderTest) -> None:
    node.load("echo attempt; exit 3", container={"terminationMessagePolicy": "FallbackToLogsOnError"})

    await node.until_waiting("CrashLoopBackOff")

    assert node.container["restartCount"] == 1
    ended = node.container["lastState"]["terminated"]
    assert (ended["exitCode"], ended["reason"], ended["message"]) == (3, "Error", "attempt\n")
    message = node.container["state"]["waiting"]["message"]
    assert message.startswith("back-off 10s restarting failed container=web pod=web_default(")


async def test_image_that_is_never_pulled_and_absent(node: NodeUnderTest) -> None:
    node.load(container={"image": "localhost/missing:1", "imagePullPolicy": "Never"})

    await node.until_waiting("ErrImageNeverPull")

    message = node.container["state"]["waiting"]["message"]
    assert message == 'Container image "localhost/missing:1" is not present with pull policy of Never'


async def test_image_that_cannot_be_pulled_backs_off(node: NodeUnderTest) -> None:
    node.load(container={"image": "localhost:1/missing:1"})

    await node.until_waiting("ImagePullBackOff")

    message = node.container["state"]["waiting"]["message"]
    assert message.startswith('Back-off pulling image "localhost:1/missing:1": ErrImagePull: rpc error: ')
    assert {"Pulling", "Failed", "BackOff"} <= set(reasons(node.cluster))


async def test_broken_image_name(node: NodeUnderTest) -> None:
    node.load(container={"image": "Not A Name"})

    await node.until_waiting("InvalidImageName")

    assert "InspectFailed" in reasons(node.cluster)


async def test_probes_decide_on_readiness_and_restarts(node: NodeUnderTest) -> None:
    serve = "mkdir /w; echo ok > /w/ready; touch /tmp/live; httpd -p 8080 -h /w; " + FOREVER
    http = {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 1}
    live = {"exec": {"command": ["test", "-e", "/tmp/live"]}, "periodSeconds": 1, "failureThreshold": 1}
    tcp = {"tcpSocket": {"port": 8080}, "periodSeconds": 1, "failureThreshold": 10}
    node.load(serve, container={"readinessProbe": http, "livenessProbe": live, "startupProbe": tcp})

    def ready() -> bool:
        return condition_of(node.status, "Ready").get("status") == "True"

    await eventually(ready)
    await node.exec("rm", "/w/ready")
    await eventually(lambda: not ready())
    await node.exec("rm", "/tmp/live")
    await eventually(lambda: node.container["restartCount"] == 1 and ready())
    messages = [event.message for event in node.cluster.events()]
    assert "Readiness probe failed: HTTP probe failed with statuscode: 404" in messages
    assert "Container web failed liveness probe, will be restarted" in messages


async def test_hooks_run_and_deletion_waits_for_them(node: NodeUnderTest) -> None:
    volume = {"name": "out", "hostPath": {"path": str(node.folder / "out"), "type": "DirectoryOrCreate"}}
    hooks = {
        "postStart": {"exec": {"command": ["sh", "-c", "echo started >> /out/log"]}},
        "preStop": {"exec": {"command": ["sh", "-c", "echo stopping >> /out/log"]}},
    }
    script = "trap 'echo term >> /out/log; exit 0' TERM; sleep 1000 & wait"
    mounts = [{"name": "out", "mountPath": "/out"}]
    node.load(script, volumes=[volume], container={"lifecycle": hooks, "volumeMounts": mounts})
    await node.until_phase("Running")

    await node.cluster.client().delete(Pod, "web", "default")
    await eventually(lambda: not node.status)

    assert (node.folder / "out" / "log").read_text().split() == ["started", "stopping", "term"]
    await eventually(lambda: nothing_left(node.cri))
    await eventually(lambda: no_folders(node.folder))
    assert list((node.folder / "logs").iterdir()) == []


async def test_container_that_ignores_sigterm_is_killed_after_its_grace(node: NodeUnderTest) -> None:
    node.load("trap '' TERM; while true; do sleep 1; done")
    await node.until_phase("Running")

    begun = time.perf_counter()
    await node.cluster.client().delete(Pod, "web", "default", grace_seconds=1)
    await eventually(lambda: not node.status)

    assert 1 <= time.perf_counter() - begun < 10


async def test_killed_kubelet_finds_its_containers_again(stopped: NodeUnderTest) -> None:
    async with stopped.running():
        stopped.load()
        await stopped.until_phase("Running")
        before = stopped.status

    async with stopped.running():
        stopped.cluster.load(make_pod("other", node=NODE, containers=[
            {"name": "web", "image": BUSYBOX, "command": ["sh", "-c", FOREVER]}
        ]))  # fmt: skip
        await eventually(lambda: status_of(stopped.cluster, "other").get("phase") == "Running")

        assert stopped.status == before


async def test_pod_deleted_while_the_kubelet_was_down_is_cleaned_up(stopped: NodeUnderTest) -> None:
    async with stopped.running():
        stopped.load(volumes=[{"name": "m", "emptyDir": {"medium": "Memory"}}])
        await stopped.until_phase("Running")
    stopped.cluster.delete(Pod, Key("default", "web"))

    async with stopped.running():
        await eventually(lambda: nothing_left(stopped.cri))
        await eventually(lambda: no_folders(stopped.folder))

    assert str(stopped.folder) not in Path("/proc/self/mountinfo").read_text()


async def test_container_killed_from_outside_is_restarted(node: NodeUnderTest) -> None:
    node.load()
    await node.until_phase("Running")
    first = node.container["containerID"].removeprefix("containerd://")

    await node.cri.stop_container(first, 0)

    await eventually(lambda: node.container["restartCount"] == 1)
    statuses = [await node.cri.container_status(entry.id) for entry in await node.cri.list_containers()]
    assert sorted(status.state.name for status in statuses) == [
        ContainerState.EXITED.name,
        ContainerState.RUNNING.name,
    ]


async def test_sandbox_killed_from_outside_is_replaced(node: NodeUnderTest) -> None:
    node.load()
    await node.until_phase("Running")
    (sandbox,) = await node.cri.list_sandboxes()

    await node.cri.stop_sandbox(sandbox.id)

    await eventually(lambda: "SandboxChanged" in reasons(node.cluster))
    await eventually(
        # A start in the sandbox that is going counts towards the back-off.
        lambda: "running" in node.container["state"] and node.container["restartCount"] > 0,
        seconds=60,
    )
