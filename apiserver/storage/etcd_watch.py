"""One watch stream of etcd: fragments put together, progress asked for, errors told apart.

A stream lives on one connection; `etcd.py` starts the next one where it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import grpc
import grpc.aio

from .etcd_connection import Connection, kv_pb2, rpc_pb2
from .store import Batch, Change, Compacted, StoreError

LEADER_WANTED = (("hasleader", "true"),)
"""A member that has lost its leader ends the watch, instead of falling silent."""


class Stalled(Exception):
    """The stream was abandoned: it had changes to bring and did not."""


class Stream:
    """Changes under a prefix after a revision."""

    def __init__(self, connection: Connection, prefix: str, after: int) -> None:
        self.prefix = prefix
        self.reached = after
        self._abandoned = False
        self._create = rpc_pb2.WatchCreateRequest(
            key=encode_key(prefix),
            range_end=end_of(prefix),
            start_revision=after + 1,
            prev_kv=True,
            progress_notify=True,
            fragment=True,
        )
        self._call = connection.peer.watch.Watch(metadata=LEADER_WANTED)
        self._ordered_progress = _orders_progress(connection.version)

    async def batches(self) -> AsyncGenerator[Batch, None]:
        """Raises AioRpcError when the connection is lost, Stalled, Compacted, StoreError."""
        await self._call.write(rpc_pb2.WatchRequest(create_request=self._create))
        changes: list[Change] = []
        while True:
            response = await self._read()
            if response is grpc.aio.EOF:
                raise await _ending(self._call)
            if response.canceled:
                raise _cancelled(response)
            changes += [_change(event) for event in response.events]
            # The rest of these revisions is still to come.
            if response.fragment:
                continue
            self.reached = max(self.reached, _reached(response))
            yield Batch(changes, self.reached)
            changes = []

    async def ask(self) -> None:
        """Have etcd tell how far the watch is; for when other keys than the watched ones were written."""
        if self._ordered_progress and not self._call.done():
            request = rpc_pb2.WatchRequest(progress_request=rpc_pb2.WatchProgressRequest())
            await self._call.write(request)

    def abandon(self) -> None:
        """Have `batches` raise Stalled."""
        self._abandoned = True
        self._call.cancel()

    def close(self) -> None:
        self._call.cancel()

    async def _read(self) -> Any:
        try:
            return await self._call.read()
        except asyncio.CancelledError:
            task = asyncio.current_task()
            # gRPC shows the end of its call as a cancellation, though nobody has cancelled this task.
            if self._abandoned and task is not None and not task.cancelling():
                raise Stalled from None
            raise


def encode_key(key: str) -> bytes:
    return key.encode("utf-8", "surrogateescape")


def decode_key(key: bytes) -> str:
    """Others may have written keys that are no text."""
    return key.decode("utf-8", "surrogateescape")


def end_of(prefix: str) -> bytes:
    """The end of the range of keys with this prefix, as etcd wants it: NUL for all keys."""
    raw = encode_key(prefix)
    return raw[:-1] + bytes([raw[-1] + 1]) if raw else b"\0"


def _change(event: kv_pb2.Event) -> Change:
    pair = event.kv
    return Change(
        decode_key(pair.key),
        pair.value if event.type == kv_pb2.Event.PUT else None,
        event.prev_kv.value if event.HasField("prev_kv") else None,
        pair.mod_revision,
    )


def _reached(response: rpc_pb2.WatchResponse) -> int:
    """How far a response brings the watch. Only a progress report's header tells: the header of one with
    events, or of the first one, may be ahead of events that are still to come."""
    if response.events:
        return int(response.events[-1].kv.mod_revision)
    return 0 if response.created else int(response.header.revision)


def _orders_progress(version: tuple[int, ...]) -> bool:
    """Whether an asked-for progress report comes behind the events it covers (etcd-io/etcd#15220)."""
    return (3, 4, 25) <= version < (3, 5) or version >= (3, 5, 8)


def _cancelled(response: rpc_pb2.WatchResponse) -> Exception:
    if response.compact_revision:
        return Compacted(int(response.compact_revision))
    return StoreError(f"etcd ended the watch: {response.cancel_reason}")


async def _ending(call: grpc.aio.StreamStreamCall) -> grpc.aio.AioRpcError:
    """Why a stream came to its end, as reading it would have raised."""
    return grpc.aio.AioRpcError(
        await call.code(), await call.initial_metadata(), await call.trailing_metadata(), await call.details()
    )
