"""Whole clusters for tests: `kplane up` as its users start it, shut off from the machine and from each other.

    async with cluster(store="sqlite", runtime="containerd") as cluster:
        await cluster.kubectl("get", "nodes")

Each lives in a network namespace of its own, so ports, bridges and packet rules never meet the machine's; on
the way out the cluster is taken down, and its namespace and folder are removed. Needs root.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kplane.api.clock import Entropy

BIN = Path(sys.executable).parent
UP_SECONDS = 120
COMMAND_SECONDS = 150


@dataclass(frozen=True)
class Finished:
    """A command's end."""

    code: int
    out: str
    err: str


class CommandFailed(AssertionError):
    """A command that was expected to succeed did not."""


@dataclass(frozen=True)
class Cluster:
    """A running cluster. Commands run inside its network namespace."""

    namespace: str
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    @property
    def prefix(self) -> Sequence[str]:
        """What puts a command into the cluster's network namespace, and nothing else of it elsewhere."""
        return ("nsenter", f"--net=/run/netns/{self.namespace}")

    @property
    def env(self) -> Mapping[str, str]:
        path = f"{BIN}:{os.environ['PATH']}"
        return {**os.environ, "KUBECONFIG": str(self.kubeconfig), "PATH": path, "HOME": str(self.folder)}

    async def run(
        self, *command: str, input: str = "", check: bool = True, seconds: float = COMMAND_SECONDS, **env: str
    ) -> Finished:
        """Run a command to its end. Raises CommandFailed unless `check` is off."""
        process = await self.start(*command, **env)
        try:
            async with asyncio.timeout(seconds):
                out, err = await process.communicate(input.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        assert process.returncode is not None
        finished = Finished(process.returncode, out.decode(), err.decode())
        if check and finished.code:
            raise CommandFailed(f"{' '.join(command)}: {finished.out}{finished.err}")
        return finished

    async def start(self, *command: str, **env: str) -> asyncio.subprocess.Process:
        """Start a command; ending it is the caller's business."""
        return await asyncio.create_subprocess_exec(
            *self.prefix, *command, env={**self.env, **env},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip

    async def kubectl(self, *arguments: str, **options: Any) -> Finished:
        return await self.run("kubectl", *arguments, **options)

    async def kplane(self, *arguments: str, **options: Any) -> Finished:
        command, *rest = arguments
        return await self.run("kplane", command, "--data-dir", str(self.folder), *rest, **options)

    async def get(self, *arguments: str) -> Any:
        """`kubectl get … -o json`, decoded."""
        return json.loads((await self.kubectl("get", *arguments, "-o", "json")).out)

    async def processes(self) -> dict[str, Any]:
        """The processes of `kplane status -o json` by name."""
        status = json.loads((await self.kplane("status", "-o", "json")).out)
        return {process["name"]: process for process in status["processes"]}

    def logs(self) -> list[Path]:
        """The log files of the cluster's processes."""
        return [*self.folder.glob("logs/*.log")]

    async def load(self, archive: bytes) -> None:
        """Hand an image to the node."""
        with tempfile.NamedTemporaryFile(suffix=".tar") as file:
            file.write(archive)
            file.flush()
            await self.kplane("load", file.name)


@asynccontextmanager
async def cluster(*arguments: str) -> AsyncIterator[Cluster]:
    """`kplane up` with these arguments, in a fresh folder and network namespace."""
    suffix = Entropy().suffix(6)
    made = Cluster(f"kplane-{suffix}", Path(tempfile.mkdtemp(prefix="kp-")))
    await _ip("netns", "add", made.namespace)
    try:
        await _ip("-n", made.namespace, "link", "set", "lo", "up")
        await made.kplane("up", "--detach", *arguments, seconds=UP_SECONDS)
        yield made
    finally:
        await made.kplane("down", check=False)
        await made.kplane("down", "--purge", check=False)
        await _ip("netns", "delete", made.namespace)
        shutil.rmtree(made.folder, ignore_errors=True)


async def _ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", *arguments, stderr=asyncio.subprocess.PIPE)
    _, said = await process.communicate()
    if process.returncode:
        raise CommandFailed(f"ip {' '.join(arguments)}: {said.decode()}")
