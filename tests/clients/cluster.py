"""A cluster of hollow nodes for the client matrix: `kplane up` on this machine's loopback, on any free port.

Clients get nothing but the kubeconfig that `kplane up` wrote.
"""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import signal
import ssl
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from kplane.client import kubeconfig
from kplane.client.tls import tls_context

BIN = Path(sys.executable).parent
KUBECTL = BIN / "kubectl"
COMMAND_SECONDS = 60


@dataclass(frozen=True)
class Cluster:
    """Where a running cluster is. `store` says what keeps its objects."""

    store: str
    folder: Path

    @property
    def kubeconfig(self) -> Path:
        return self.folder / "admin.kubeconfig"

    @property
    def env(self) -> Mapping[str, str]:
        """The environment of a client's process."""
        path = f"{BIN}:{os.environ['PATH']}"
        return {"KUBECONFIG": str(self.kubeconfig), "PATH": path, "HOME": str(self.folder)}

    def logs(self) -> list[Path]:
        return sorted(self.folder.glob("logs/*.log"))

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        """One request by no client in particular: the code and the decoded answer."""
        credentials = kubeconfig.load(self.kubeconfig)
        url = urlsplit(credentials.server)
        context = tls_context(credentials)
        assert isinstance(context, ssl.SSLContext)
        connection = http.client.HTTPSConnection(url.hostname or "", url.port, context=context, timeout=30)
        try:
            sent = None if body is None else json.dumps(body)
            connection.request(method, path, sent, {"Content-Type": "application/json"})
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()


@contextmanager
def time_limit(seconds: int) -> Iterator[None]:
    """Clients wait for ever where a server forgets to answer; a test does not. Raises TimeoutError."""

    def too_long(number: int, frame: object) -> None:
        raise TimeoutError(f"not done within {seconds} s")

    previous = signal.signal(signal.SIGALRM, too_long)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, previous)


@contextmanager
def running(store: str, folder: Path, *, nodes: int) -> Iterator[Cluster]:
    """`kplane up` in this folder; taken down on the way out."""
    where = ("--data-dir", str(folder))
    what = ("--runtime", "hollow", "--store", store, "--nodes", str(nodes), "--port", "0")
    kplane(("up", "--detach", *where, *what))
    try:
        yield Cluster(store, folder)
    finally:
        kplane(("down", "--purge", *where))


def kplane(arguments: tuple[str, ...]) -> None:
    done = subprocess.run([BIN / "kplane", *arguments], capture_output=True, text=True, timeout=150)
    assert done.returncode == 0, done.stdout + done.stderr


@dataclass(frozen=True)
class Kubectl:
    """A kubectl that works in one namespace."""

    cluster: Cluster
    namespace: str
    binary: Path = KUBECTL

    async def __call__(
        self, *args: str, stdin: str = "", fails: bool = False, code: int | None = None, **env: str
    ) -> str:
        """What it prints; its complaint if it is meant to fail. `code`: the exit code, with the output."""
        process = await self._start(args, env)
        try:
            async with asyncio.timeout(COMMAND_SECONDS):
                out, err = await process.communicate(stdin.encode())
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        said = f"{out.decode()}{err.decode()}"
        if code is not None:
            assert process.returncode == code, said
        else:
            assert bool(process.returncode) is fails, said
        return (err if fails else out).decode()

    async def json(self, *args: str) -> Any:
        return json.loads(await self(*args, "-o", "json"))

    def within(self, namespace: str) -> Kubectl:
        return replace(self, namespace=namespace)

    @asynccontextmanager
    async def started(self, *args: str, **env: str) -> Any:
        """A call that goes on until the block ends."""
        process = await self._start(args, env)
        try:
            yield process
        finally:
            if process.returncode is None:
                process.kill()
            await process.communicate()

    async def _start(self, args: tuple[str, ...], env: Mapping[str, str]) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            str(self.binary), f"--namespace={self.namespace}", *args, env={**self.cluster.env, **env},
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
