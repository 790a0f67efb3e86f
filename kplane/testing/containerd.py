"""A containerd of one's own, for tests: everything it makes lives in a temporary folder and goes with it.

    async with containerd() as node:
        CriRuntime(node.endpoint)

Needs root, containerd, runc, the CNI plug-ins and busybox. On the way out every sandbox is removed through
CRI (which takes down its network and mounts), containerd ends, and what is still mounted, the bridge and the
cgroups below `node.cgroup_root` are removed.
"""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import os
import shutil
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import msgspec
from cri_api.v1 import api_pb2, api_pb2_grpc

from kplane.api.clock import Entropy
from kplane.runtime import cni, pause
from kplane.runtime import containerd as configuration
from kplane.testing import images

services: Any = api_pb2_grpc

CNI_FOLDERS = ("/opt/cni/bin", "/usr/lib/cni")
START_SECONDS = 30


@dataclass
class Containerd:
    """A running containerd. `pod_cidr` is a /24 that this instance has for itself."""

    folder: Path
    pod_cidr: str
    bridge: str
    cgroup_root: str
    process: asyncio.subprocess.Process | None = None

    @property
    def socket(self) -> Path:
        return self.folder / "containerd.sock"

    @property
    def endpoint(self) -> str:
        return f"unix://{self.socket}"

    async def start(self) -> None:
        """Start the process and wait until its CRI service answers."""
        log = (self.folder / "containerd.log").open("ab")
        with log:
            self.process = await asyncio.create_subprocess_exec(
                "containerd", "--config", str(self.folder / "containerd.toml"), stdout=log, stderr=log
            )
        await asyncio.to_thread(_wait_until_ready, self.endpoint)

    async def stop(self) -> None:
        """End the process; its containers go on, as they do when containerd is upgraded."""
        if self.process is not None and self.process.returncode is None:
            self.process.terminate()
            await self.process.wait()

    async def load(self, image: bytes) -> None:
        """Import an OCI archive."""
        archive = self.folder / "image.tar"
        archive.write_bytes(image)
        await _run(
            "ctr", "--address", str(self.socket), "--namespace", "k8s.io", "images", "import", str(archive)
        )
        archive.unlink()


@asynccontextmanager
async def containerd(image_archives: Sequence[bytes] = ()) -> AsyncIterator[Containerd]:
    """Start one with the pause and busybox images and `image_archives` imported."""
    node = _prepare()
    try:
        await node.start()
        for image in (pause.image(), images.busybox(), *image_archives):
            await node.load(image)
        yield node
        await _remove_sandboxes(node)
    finally:
        await node.stop()
        await _take_down(node)


def _prepare() -> Containerd:
    folder = Path(tempfile.mkdtemp(prefix="kplane-containerd-"))
    suffix = Entropy().suffix(8)
    node = Containerd(folder, _free_subnet(), f"kp-{suffix}", f"/kplane-{suffix}")
    (folder / "cni").mkdir()
    conflist = cni.bridge_conflist(
        "kplane-test", node.bridge, node.pod_cidr, data_dir=str(folder / "leases"), masquerade=False
    )
    (folder / "cni" / "10-kplane.conflist").write_bytes(msgspec.json.encode(conflist))
    plugins = next((Path(path) for path in CNI_FOLDERS if (Path(path) / "bridge").exists()), None)
    if plugins is None:
        raise FileNotFoundError("the CNI plug-ins are missing: install containernetworking-plugins")
    text = configuration.config(
        folder / "root", folder / "state", node.socket, plugins, folder / "cni", pause.IMAGE
    )
    (folder / "containerd.toml").write_text(text)
    return node


def _free_subnet() -> str:
    """A /24 of 10.128.0.0/9 drawn at random: instances in parallel tests must not overlap."""
    index = int.from_bytes(Entropy().token(2)) & 0x7FFF
    first = int(ipaddress.ip_address("10.128.0.0")) + (index << 8)
    return f"{ipaddress.ip_address(first)}/24"


async def _remove_sandboxes(node: Containerd) -> None:
    if node.process is None or node.process.returncode is not None:
        await node.start()
    await asyncio.to_thread(_remove_all, node.endpoint)


# gRPC's synchronous channels, in a thread: its asyncio ones belong to one event loop of the process, and
# tests have several.


def _wait_until_ready(endpoint: str) -> None:
    with grpc.insecure_channel(endpoint) as channel:
        version = services.RuntimeServiceStub(channel).Version
        version(api_pb2.VersionRequest(), wait_for_ready=True, timeout=START_SECONDS)


def _remove_all(endpoint: str) -> None:
    with grpc.insecure_channel(endpoint) as channel:
        runtime = services.RuntimeServiceStub(channel)
        for sandbox in runtime.ListPodSandbox(api_pb2.ListPodSandboxRequest()).items:
            runtime.StopPodSandbox(api_pb2.StopPodSandboxRequest(pod_sandbox_id=sandbox.id))
            runtime.RemovePodSandbox(api_pb2.RemovePodSandboxRequest(pod_sandbox_id=sandbox.id))


async def _take_down(node: Containerd) -> None:
    mounts = [line.split()[4] for line in Path("/proc/self/mountinfo").read_text().splitlines()]
    for mount in sorted((path for path in mounts if Path(path).is_relative_to(node.folder)), reverse=True):
        await _run("umount", "--lazy", mount)
    if Path("/sys/class/net", node.bridge).exists():
        await _run("ip", "link", "delete", node.bridge)
    for top in Path("/sys/fs/cgroup").glob(f"**{node.cgroup_root}"):
        remove_cgroups(top)
    shutil.rmtree(node.folder, ignore_errors=True)


def remove_cgroups(top: Path) -> None:
    """Remove a cgroup folder and all below it, leaves first; those still in use stay."""
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


async def _run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE
    )
    _, error = await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)}: {error.decode(errors='replace').strip()}")
