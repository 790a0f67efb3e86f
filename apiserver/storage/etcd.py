"""etcd as the store of record, through its gRPC API.

Uses the generated stubs of `etcd3aio` and none of its client: that one repeats writes whose outcome is
unknown, and its watch resumes from the server's revision instead of the last event's (docs/decisions/
etcd-client.md).

Owns the connections (`etcd_connection.py`) and the leases of what expires (`etcd_leases.py`); a watch is a
succession of streams (`etcd_watch.py`).

Invariant: a write is sent once. When its answer is lost the caller gets StoreError, never a retry's answer.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress

import grpc
import grpc.aio

from kplane.api.clock import Clock

from .background import Background
from .etcd_connection import Connection, EtcdConfig, kv_pb2, rpc_pb2
from .etcd_leases import Leases
from .etcd_watch import Stalled, Stream, decode_key, encode_key, end_of
from .store import Batch, Compacted, CompareFailed, Entry, FutureRevision, Page, StoreError

__all__ = ["EtcdConfig", "EtcdStore"]

log = logging.getLogger(__name__)

PAGE = 500
"""Keys in one request of a long range."""
AWAY_SECONDS = 10.0
"""How long a watch tries to reconnect."""
QUIET_SECONDS = 0.1
"""A watch that is behind the store for so long asks how far it is."""
STALL_SECONDS = 3.0
"""A watch that lacks a change for so long is started anew."""


class EtcdStore:
    """A Store in an etcd cluster."""

    def __init__(self, config: EtcdConfig, clock: Clock) -> None:
        self._clock = clock
        self._connection = Connection(config, clock)
        self._leases = Leases(self._connection, clock)
        self._background = Background()
        self._asking = asyncio.Lock()
        self._answer: asyncio.Future[int] | None = None
        """What the next question for the revision will answer; None when nobody waits for it."""
        self._streams: set[Stream] = set()
        self._nudging: set[Stream] = set()
        self._suspected: set[Stream] = set()

    async def open(self) -> None:
        await self._connection.open()
        await self._background.open()

    async def close(self) -> None:
        await self._background.close()
        await self._connection.close()

    async def revision(self) -> int:
        # A question that has been sent already may be answered from before this call: join the next one.
        if self._answer is None:
            self._answer = asyncio.get_running_loop().create_future()
            self._background.start(self._ask_revision(self._answer))
        return await asyncio.shield(self._answer)

    async def get(self, key: str, revision: int = 0) -> Entry | None:
        response = await self._range(rpc_pb2.RangeRequest(key=encode_key(key), revision=revision))
        return _entry(response.kvs[0]) if response.kvs else None

    async def range(self, prefix: str, *, start: str = "", limit: int = 0, revision: int = 0) -> Page:
        entries: list[Entry] = []
        following, end = encode_key(max(prefix, start)), end_of(prefix)
        while True:
            size = min(PAGE, limit - len(entries)) if limit else PAGE
            response = await self._range(
                rpc_pb2.RangeRequest(key=following, range_end=end, limit=size, revision=revision)
            )
            entries += [_entry(pair) for pair in response.kvs]
            # Every page shows the state of the first.
            revision = revision or response.header.revision
            remaining = response.count - len(response.kvs)
            if not remaining or len(entries) == limit:
                return Page(entries, revision, remaining)
            following = response.kvs[-1].key + b"\0"

    async def count(self, prefix: str) -> int:
        request = rpc_pb2.RangeRequest(key=encode_key(prefix), range_end=end_of(prefix), count_only=True)
        return int((await self._range(request)).count)

    async def put(self, key: str, value: bytes, *, expect: int | None, ttl: int = 0) -> int:
        lease = await self._leases.lease(ttl) if ttl else 0
        put = rpc_pb2.PutRequest(key=encode_key(key), value=value, lease=lease)
        response = await self._swap(key, expect, rpc_pb2.RequestOp(request_put=put))
        return int(response.header.revision)

    async def delete(self, key: str, *, expect: int | None) -> int:
        delete = rpc_pb2.DeleteRangeRequest(key=encode_key(key))
        response = await self._swap(key, expect, rpc_pb2.RequestOp(request_delete_range=delete))
        if not response.responses[0].response_delete_range.deleted:
            raise CompareFailed(None)
        return int(response.header.revision)

    async def watch(self, prefix: str, after: int) -> AsyncGenerator[Batch, None]:
        lost_at: float | None = None
        while True:
            stream = Stream(self._connection, prefix, after)
            self._streams.add(stream)
            try:
                async with aclosing(stream.batches()) as batches:
                    async for batch in batches:
                        lost_at = None
                        yield batch
            except Stalled:
                log.warning("watch started anew, it stood still prefix=%s after=%d", prefix, stream.reached)
                after = stream.reached
                continue
            except grpc.aio.AioRpcError as error:
                after = stream.reached
                now = self._clock.monotonic()
                lost_at = now if lost_at is None else lost_at
                if now - lost_at > AWAY_SECONDS:
                    raise self._connection.failure(error) from error
            finally:
                self._streams.discard(stream)
                stream.close()
            await self._connection.fail_over()

    async def compact(self, revision: int) -> None:
        request = rpc_pb2.CompactionRequest(revision=revision)
        try:
            await self._connection.call(lambda peer: peer.kv.Compact, request, repeat=True)
        except grpc.aio.AioRpcError as error:
            raise await self._past_or_future(error) from error

    async def _ask_revision(self, answer: asyncio.Future[int]) -> None:
        async with self._asking:
            self._answer = None
            try:
                response = await self._range(rpc_pb2.RangeRequest(key=b"\0", count_only=True))
            except StoreError as error:
                answer.set_exception(error)
                answer.exception()  # Whoever asked may have gone.
            else:
                revision = int(response.header.revision)
                answer.set_result(revision)
                behind = {stream for stream in self._streams if stream.reached < revision}
                for stream in behind - self._nudging:
                    self._nudging.add(stream)
                    self._background.start(self._nudge(stream, revision))
                for stream in behind - self._suspected:
                    self._suspected.add(stream)
                    self._background.start(self._suspect(stream))

    async def _range(self, request: rpc_pb2.RangeRequest) -> rpc_pb2.RangeResponse:
        try:
            response = await self._connection.call(lambda peer: peer.kv.Range, request, repeat=True)
        except grpc.aio.AioRpcError as error:
            raise await self._past_or_future(error) from error
        return response

    async def _swap(self, key: str, expect: int | None, write: rpc_pb2.RequestOp) -> rpc_pb2.TxnResponse:
        """Write if the key's revision is as expected. Raises CompareFailed."""
        request = rpc_pb2.TxnRequest(success=[write])
        if expect is not None:
            compare = rpc_pb2.Compare(
                key=encode_key(key),
                target=rpc_pb2.Compare.MOD,
                result=rpc_pb2.Compare.EQUAL,
                mod_revision=expect,
            )
            look = rpc_pb2.RequestOp(request_range=rpc_pb2.RangeRequest(key=encode_key(key)))
            request.compare.append(compare)
            request.failure.append(look)
        try:
            response = await self._connection.call(lambda peer: peer.kv.Txn, request, repeat=False)
        except grpc.aio.AioRpcError as error:
            raise self._connection.failure(error) from error
        if not response.succeeded:
            found = response.responses[0].response_range.kvs
            raise CompareFailed(_entry(found[0]) if found else None)
        return response

    async def _nudge(self, stream: Stream, revision: int) -> None:
        """See to it that a watch which others' writes have left behind learns of its progress."""
        await self._clock.sleep(QUIET_SECONDS)
        self._nudging.discard(stream)
        if stream.reached < revision:
            with suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):  # The stream is gone: no matter.
                await stream.ask()

    async def _suspect(self, stream: Stream) -> None:
        """End a watch that does not bring what is in the store: a connection may die without a sign."""
        reached = stream.reached
        await self._clock.sleep(STALL_SECONDS)
        self._suspected.discard(stream)
        # The store's revision alone proves nothing: it grows with keys that are not watched, too.
        if stream in self._streams and stream.reached == reached and await self._has_changed(stream):
            stream.abandon()

    async def _has_changed(self, stream: Stream) -> bool:
        """Whether a watched key was written after what the watch has brought."""
        newer = rpc_pb2.RangeRequest(
            key=encode_key(stream.prefix),
            range_end=end_of(stream.prefix),
            min_mod_revision=stream.reached + 1,
            limit=1,
            keys_only=True,
        )
        reached = stream.reached
        try:
            found = (await self._range(newer)).kvs
        except StoreError:
            return False
        return bool(found) and stream.reached == reached

    async def _past_or_future(self, error: grpc.aio.AioRpcError) -> Exception:
        """What an OUT_OF_RANGE means; everything else is a failure."""
        if error.code() is grpc.StatusCode.OUT_OF_RANGE:
            if "future" in error.details():
                return FutureRevision(await self.revision())
            return Compacted(0)
        return self._connection.failure(error)


def _entry(pair: kv_pb2.KeyValue) -> Entry:
    return Entry(decode_key(pair.key), pair.value, pair.mod_revision)
