"""The containers of a cluster's own containerd: images going in, and nothing left behind when it stops."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket as sockets
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_network
from pathlib import Path

import grpc
from cri_api.v1 import api_pb2 as cri
from cri_api.v1 import api_pb2_grpc as services

from kplane.runtime.process import Fatal

from .options import find_program

CGROUPS = Path("/sys/fs/cgroup")

UNMOUNT_DETACHED = 2
"""umount2's MNT_DETACH."""


async def import_image(socket: Path, archive: bytes) -> None:
    """Import an OCI archive. Raises Fatal with containerd's words."""
    with tempfile.NamedTemporaryFile(suffix=".tar") as file:
        file.write(archive)
        file.flush()
        ctr = await asyncio.create_subprocess_exec(
            find_program("ctr") or "ctr", "--address", str(socket), "--namespace", "k8s.io",
            "images", "import", file.name,
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        _, said = await ctr.communicate()
    if ctr.returncode:
        raise Fatal(f"containerd did not take an image: {said.decode(errors='replace').strip()}")


def cri_answers(socket: Path) -> Callable[[], Awaitable[bool]]:
    """Whether containerd serves CRI; its socket answers earlier, while it still recovers its state."""

    async def probe() -> bool:
        if not socket.exists():
            return False
        async with grpc.aio.insecure_channel(f"unix://{socket}") as channel:
            runtime = services.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call]
            try:
                await runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=2)
            except grpc.RpcError:
                return False
        return True

    return probe


async def stop_pods(socket: Path) -> None:
    """Stop and remove every Pod sandbox, which gives back its network; a broken runtime is left alone."""
    async with grpc.aio.insecure_channel(f"unix://{socket}") as channel:
        runtime = services.RuntimeServiceStub(channel)  # type: ignore[no-untyped-call]
        with contextlib.suppress(grpc.RpcError):  # containerd has died: its next start finds the sandboxes
            listing = await runtime.ListPodSandbox(cri.ListPodSandboxRequest(), timeout=5)
            await asyncio.gather(*(_remove_sandbox(runtime, sandbox.id) for sandbox in listing.items))


async def _remove_sandbox(runtime: services.RuntimeServiceStub, sandbox: str) -> None:
    await runtime.StopPodSandbox(cri.StopPodSandboxRequest(pod_sandbox_id=sandbox), timeout=30)
    await runtime.RemovePodSandbox(cri.RemovePodSandboxRequest(pod_sandbox_id=sandbox), timeout=30)


async def remove_socket(socket: Path) -> None:
    """Forget the socket of an earlier containerd: while that one is still ending, it must not be taken for
    the one that starts."""
    socket.unlink(missing_ok=True)


async def make_bridge(name: str, pod_cidr: str, service_cidr: str) -> None:
    """The Pods' bridge with the gateway's address, up, and a route for Services, so that they are reached
    on a machine without a default route as well. CNI finds the bridge made. Raises Fatal."""
    network = ip_network(pod_cidr)
    if not _has_interface(name):
        await _ip("link", "add", name, "type", "bridge")
    await _ip("address", "replace", f"{network[1]}/{network.prefixlen}", "dev", name)
    await _ip("link", "set", name, "up")
    await _ip("route", "replace", service_cidr, "dev", name)


async def clean_node(folder: Path, bridge: str, cgroup: str) -> None:
    """Take away what the kernel holds for a stopped containerd: its mounts, its cgroups and the bridge."""
    await release_mounts(folder)
    for top in CGROUPS.glob(f"*{cgroup}"):
        remove_cgroups(top)
    remove_cgroups(CGROUPS / cgroup.lstrip("/"))
    if _has_interface(bridge):
        await _ip("link", "delete", bridge)


def remove_cgroups(top: Path) -> None:
    """Remove a cgroup and all below it, leaves first; those that still hold processes stay."""
    for folder, _, _ in os.walk(top, topdown=False):
        with contextlib.suppress(OSError):
            Path(folder).rmdir()


async def run_quietly(argv: Sequence[str]) -> None:
    """Run a clean-up program to its end; what it cannot clean it says on our standard error."""
    process = await asyncio.create_subprocess_exec(*argv, stdout=asyncio.subprocess.DEVNULL)
    await process.wait()


def _has_interface(name: str) -> bool:
    """Whether this network namespace has the interface. /sys tells of the namespace that mounted it."""
    return name in (entry for _, entry in sockets.if_nameindex())


async def _ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(
        find_program("ip") or "ip", *arguments, stderr=asyncio.subprocess.PIPE
    )
    _, said = await process.communicate()
    if process.returncode:
        raise Fatal(f"ip {' '.join(arguments)} failed: {said.decode(errors='replace').strip()}")


async def release_mounts(folder: Path) -> None:
    """Unmount whatever is mounted below a folder, deepest first."""
    libc = ctypes.CDLL(None, use_errno=True)
    for point in sorted(mounts_below(folder), reverse=True):
        libc.umount2(os.fsencode(point), UNMOUNT_DETACHED)


def mounts_below(folder: Path) -> list[str]:
    """Mount points at or below a folder, from the kernel's table."""
    lines = Path("/proc/self/mountinfo").read_text().splitlines()
    points = [line.split()[4].encode().decode("unicode_escape") for line in lines]
    root = str(folder.resolve())
    return [point for point in points if point == root or point.startswith(f"{root}/")]
