"""One byte stream in both directions, whatever carries it, and the relay between two of them."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

CHUNK = 64 * 1024


class Duplex(Protocol):
    """Bytes both ways. Reads return b"" at the end; a broken connection is an end, too."""

    async def read(self) -> bytes: ...

    async def write(self, data: bytes) -> None:
        """Raises ConnectionError when the other side is gone."""

    async def close(self) -> None: ...


class SocketDuplex:
    """A Duplex over asyncio streams."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer

    async def read(self) -> bytes:
        try:
            return await self._reader.read(CHUNK)
        except OSError:  # a TLS peer that ends without saying so is an SSLError
            return b""

    async def write(self, data: bytes) -> None:
        self._writer.write(data)
        await self._writer.drain()

    async def close(self) -> None:
        self._writer.close()
        with contextlib.suppress(OSError):  # closing what is broken is done
            await self._writer.wait_closed()


async def relay(one: Duplex, other: Duplex) -> None:
    """Copy bytes both ways until either side ends; then close both."""
    copies = [asyncio.ensure_future(_copy(one, other)), asyncio.ensure_future(_copy(other, one))]
    try:
        await asyncio.wait(copies, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copy in copies:
            copy.cancel()
        await asyncio.gather(*copies, return_exceptions=True)
        await one.close()
        await other.close()


async def _copy(source: Duplex, sink: Duplex) -> None:
    with contextlib.suppress(ConnectionError):  # the sink is gone: the relay ends
        while data := await source.read():
            await sink.write(data)
