"""A private etcd for tests: Debian's `etcd-server`, on free ports, with its data in a temporary folder.

`async with Etcd() as etcd:` starts one and ends it with the block; `etcd.url` is where it listens.
"""

from __future__ import annotations

import asyncio
import shutil
import socket
from asyncio.subprocess import DEVNULL, Process
from pathlib import Path
from tempfile import mkdtemp
from typing import Self

from .waiting import eventually


class Etcd:
    """One member. `kill` and `start` again keep its data and its address."""

    def __init__(self, *flags: str, scheme: str = "http") -> None:
        self._flags = flags
        self._scheme = scheme
        self._folder = Path()
        self._process: Process | None = None
        self.port, self._peer_port = 0, 0

    @property
    def url(self) -> str:
        return f"{self._scheme}://127.0.0.1:{self.port}"

    async def __aenter__(self) -> Self:
        self._folder = Path(mkdtemp(prefix="kplane-etcd-"))
        try:
            await self._start_on_free_ports()
        except BaseException:
            await self.__aexit__()
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    async def start(self) -> None:
        """Start, and return when it takes connections. Raises OSError if it ends instead."""
        peer = f"http://127.0.0.1:{self._peer_port}"
        self._process = await asyncio.create_subprocess_exec(
            "etcd",
            f"--data-dir={self._folder / 'data'}",
            f"--listen-client-urls={self.url}",
            f"--advertise-client-urls={self.url}",
            f"--listen-peer-urls={peer}",
            f"--initial-advertise-peer-urls={peer}",
            f"--initial-cluster=default={peer}",
            *self._flags,
            stdout=DEVNULL,
            stderr=DEVNULL,
        )
        await eventually(self._settled, what="etcd to take connections")
        if self._process.returncode is not None:
            raise OSError(f"etcd ended with status {self._process.returncode}")

    async def kill(self) -> None:
        """SIGKILL: what an acknowledged write must survive."""
        process, self._process = self._process, None
        if process and process.returncode is None:
            process.kill()
        if process:
            await process.wait()

    async def _start_on_free_ports(self) -> None:
        # Another process may take a port between our choice and etcd's start.
        for _ in range(5):
            self.port, self._peer_port = _free_ports(2)
            try:
                return await self.start()
            except OSError:
                await self.kill()
        raise OSError("etcd does not start; is Debian's etcd-server installed?")

    def _settled(self) -> bool:
        if self._process is None or self._process.returncode is not None:
            return True
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0


def _free_ports(number: int) -> list[int]:
    sockets = [socket.socket() for _ in range(number)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
    finally:
        for each in sockets:
            each.close()
