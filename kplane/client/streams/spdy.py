"""SPDY/3.1 sessions: many streams over one Duplex, for either side.

Rules: the SPDY Protocol draft 3.1 (chromium.org), of which clients and runtimes of Kubernetes use SYN_STREAM,
SYN_REPLY, DATA, RST_STREAM, PING, SETTINGS, WINDOW_UPDATE and GOAWAY. They neither send nor expect window
updates, so flow control is TCP's: a stream whose reader is slow holds up its session.

Invariant: header blocks are compressed in one zlib context per direction, so they are written and read in
the order of their frames.
"""

from __future__ import annotations

import asyncio
import struct
import zlib
from collections.abc import AsyncIterator, Mapping

from kplane.client.streams.dictionary import DICTIONARY
from kplane.client.streams.duplex import Duplex

VERSION = 3
SYN_STREAM, SYN_REPLY, RST_STREAM, SETTINGS, PING, GOAWAY, HEADERS, WINDOW_UPDATE = 1, 2, 3, 4, 6, 7, 8, 9
FIN = 0x01
PROTOCOL_ERROR, CANCEL = 1, 5

MAX_FRAME = 16 * 1024 * 1024 - 1
MAX_HEADERS = 64 * 1024
WRITE_CHUNK = 32 * 1024
QUEUE_CHUNKS = 64
"""Chunks that wait in a stream before its session stops reading."""


class StreamReset(ConnectionError):
    """The other side reset the stream."""


class Stream:
    """One stream of a session. Header names are in lower case."""

    def __init__(self, session: Session, number: int, headers: Mapping[str, str]) -> None:
        self.number = number
        self.headers = headers
        self._session = session
        self._chunks: asyncio.Queue[bytes] = asyncio.Queue(QUEUE_CHUNKS)
        self._ended = False
        self._closed = False
        self.was_reset = False

    async def read(self) -> bytes:
        """The next bytes; b"" once the other side has closed its half or the session is over."""
        if self._ended:
            return b""
        data = await self._chunks.get()
        self._ended = not data
        return data

    async def read_all(self) -> bytes:
        parts = []
        while data := await self.read():
            parts.append(data)
        return b"".join(parts)

    async def write(self, data: bytes) -> None:
        """Raises StreamReset or ConnectionError when nobody reads any more."""
        if self.was_reset:
            raise StreamReset
        for start in range(0, len(data), WRITE_CHUNK):
            await self._session.send_data(self.number, data[start : start + WRITE_CHUNK])

    async def close(self) -> None:
        """Close our half: the other side reads an end. Safe to repeat."""
        if not self._closed and not self.was_reset:
            self._closed = True
            await self._session.send_data(self.number, b"", fin=True)

    async def reset(self) -> None:
        """Give the stream up in both directions."""
        if not self.was_reset:
            self.was_reset = True
            self.finish()
            await self._session.send_control(RST_STREAM, 0, struct.pack(">II", self.number, CANCEL))

    async def deliver(self, data: bytes) -> None:
        """Bytes that arrived; waits while the reader is behind."""
        await self._chunks.put(data)

    def finish(self) -> None:
        """Nothing more will arrive. A full queue loses its newest chunk only when the session is over."""
        if self._chunks.full():
            self._chunks.get_nowait()
        self._chunks.put_nowait(b"")


class Session:
    """A SPDY session. `run` must be running for anything to arrive."""

    def __init__(self, duplex: Duplex, *, server: bool) -> None:
        self._duplex = duplex
        self._next = 2 if server else 1
        self._streams: dict[int, Stream] = {}
        self._accepted: asyncio.Queue[Stream | None] = asyncio.Queue()
        self._deflate = zlib.compressobj(zdict=DICTIONARY)
        self._inflate = zlib.decompressobj(zdict=DICTIONARY)
        self._writing = asyncio.Lock()
        self._buffer = bytearray()

    async def open(self, headers: Mapping[str, str]) -> Stream:
        """Open a stream towards the other side."""
        async with self._writing:
            number = self._next
            self._next += 2
            stream = self._streams[number] = Stream(self, number, headers)
            payload = struct.pack(">IIH", number, 0, 0) + self._compress(headers)
            await self._duplex.write(_control(SYN_STREAM, 0, payload))
        return stream

    async def accept(self) -> AsyncIterator[Stream]:
        """The streams that the other side opens; ends with the session."""
        while stream := await self._accepted.get():
            yield stream

    async def run(self) -> None:
        """Read frames until the connection ends. Raises nothing on a broken connection or broken peer."""
        try:
            while frame := await self._frame():
                await self._handle(*frame)
        except (ConnectionError, zlib.error, struct.error):
            pass  # the peer is gone or speaks nonsense: its streams end below
        finally:
            for stream in self._streams.values():
                stream.finish()
            self._accepted.put_nowait(None)

    async def close(self) -> None:
        await self._duplex.close()

    async def send_data(self, number: int, data: bytes, *, fin: bool = False) -> None:
        head = struct.pack(">II", number, (FIN if fin else 0) << 24 | len(data))
        async with self._writing:
            await self._duplex.write(head + data)

    async def send_control(self, kind: int, flags: int, payload: bytes) -> None:
        async with self._writing:
            await self._duplex.write(_control(kind, flags, payload))

    async def _frame(self) -> tuple[int, int, bytes] | None:
        """The next frame as (first word, flags, payload); None at the end of the connection."""
        while len(self._buffer) < 8 or len(self._buffer) < 8 + self._length():
            data = await self._duplex.read()
            if not data:
                return None
            self._buffer += data
        size = self._length()
        first, second = struct.unpack_from(">II", self._buffer)
        payload = bytes(self._buffer[8 : 8 + size])
        del self._buffer[: 8 + size]
        return first, second >> 24, payload

    def _length(self) -> int:
        return int.from_bytes(self._buffer[5:8], "big")

    async def _handle(self, first: int, flags: int, payload: bytes) -> None:
        if not first >> 31:
            await self._data(first, flags, payload)
            return
        kind = first & 0xFFFF
        if kind == SYN_STREAM:
            await self._syn_stream(flags, payload)
        elif kind in (SYN_REPLY, HEADERS):
            self._headers(payload[4:])
            if flags & FIN:
                await self._end(_number(payload))
        elif kind == RST_STREAM:
            if stream := self._streams.pop(_number(payload), None):
                stream.was_reset = True
                stream.finish()
        elif kind == PING and (payload[3] & 1) != (self._next & 1):
            await self.send_control(PING, 0, payload)

    async def _data(self, number: int, flags: int, payload: bytes) -> None:
        stream = self._streams.get(number)
        if stream is None:
            reset = struct.pack(">II", number, PROTOCOL_ERROR)
            await self.send_control(RST_STREAM, 0, reset)
            return
        if payload:
            await stream.deliver(payload)
        if flags & FIN:
            await self._end(number)

    async def _end(self, number: int) -> None:
        if stream := self._streams.get(number):
            await stream.deliver(b"")

    async def _syn_stream(self, flags: int, payload: bytes) -> None:
        number = _number(payload)
        stream = Stream(self, number, self._headers(payload[10:]))
        self._streams[number] = stream
        async with self._writing:
            reply = struct.pack(">I", number) + self._compress({})
            await self._duplex.write(_control(SYN_REPLY, 0, reply))
        self._accepted.put_nowait(stream)
        if flags & FIN:
            await self._end(number)

    def _compress(self, headers: Mapping[str, str]) -> bytes:
        block = [struct.pack(">I", len(headers))]
        for name, value in headers.items():
            for text in (name.lower().encode(), value.encode()):
                block += [struct.pack(">I", len(text)), text]
        return self._deflate.compress(b"".join(block)) + self._deflate.flush(zlib.Z_SYNC_FLUSH)

    def _headers(self, block: bytes) -> dict[str, str]:
        data = self._inflate.decompress(block, MAX_HEADERS)
        if self._inflate.unconsumed_tail:
            raise zlib.error("header block too large")
        (count,) = struct.unpack_from(">I", data)
        headers: dict[str, str] = {}
        place = 4
        for _ in range(count):
            name, place = _text(data, place)
            headers[name.lower()], place = _text(data, place)
        return headers


def _control(kind: int, flags: int, payload: bytes) -> bytes:
    assert len(payload) <= MAX_FRAME
    return struct.pack(">HHI", 0x8000 | VERSION, kind, flags << 24 | len(payload)) + payload


def _number(payload: bytes) -> int:
    (number,) = struct.unpack_from(">I", payload)
    return int(number) & 0x7FFFFFFF


def _text(data: bytes, place: int) -> tuple[str, int]:
    (size,) = struct.unpack_from(">I", data, place)
    end = place + 4 + size
    if end > len(data):
        raise struct.error("header block too short")
    return data[place + 4 : end].decode("latin-1"), end
