"""A door into a network namespace: a port of this machine's loopback that leads to one of the namespace's.

The clients of a test live outside the namespace in which its cluster is shut off. One thread belongs to both:
it listens outside, then enters the namespace, where everything that it connects to afterwards is.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

CLONE_NEWNET = 0x40000000
CHUNK = 65536

_libc = ctypes.CDLL(None, use_errno=True)


@contextmanager
def door(namespace: str, port: int) -> Iterator[int]:
    """The port outside. Connections through it end with the block."""
    listener = socket.create_server(("127.0.0.1", 0))
    inside = _Inside(listener, namespace, port)
    thread = threading.Thread(target=inside.run, daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        inside.stop()
        thread.join()


class _Inside:
    def __init__(self, listener: socket.socket, namespace: str, port: int) -> None:
        self._listener, self._namespace, self._port = listener, namespace, port
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()

    def run(self) -> None:
        with open(f"/run/netns/{self._namespace}") as file:
            if _libc.setns(file.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        self._loop.run_until_complete(self._serve())
        self._loop.close()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._over.set)

    async def _serve(self) -> None:
        server = await asyncio.start_server(self._through, sock=self._listener)
        await self._over.wait()
        server.close()
        for task in asyncio.all_tasks() - {asyncio.current_task()}:
            task.cancel()

    async def _through(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            far_reader, far_writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError:
            writer.close()
            return
        await asyncio.gather(_copy(reader, far_writer), _copy(far_reader, writer))


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):  # either side is gone: so is the other, below
        while data := await source.read(CHUNK):
            target.write(data)
            await target.drain()
    target.close()
