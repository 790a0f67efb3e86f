"""A store watch that falls silent although its connection stands: it is started anew where it was."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest

from kplane.apiserver.storage.background import Background
from kplane.apiserver.storage.etcd import STALL_SECONDS, EtcdConfig, EtcdStore
from kplane.apiserver.storage.etcd_connection import kv_pb2, rpc_pb2
from kplane.apiserver.storage.store import Batch
from kplane.testing.clock import VirtualClock
from kplane.testing.waiting import eventually

NEW = kv_pb2.KeyValue(key=b"/registry/pods/a", value=b"{}", mod_revision=9)


class SilentEtcd:
    """An etcd at revision 9 whose first watch stream is accepted and then brings nothing."""

    def __init__(self, present: Sequence[kv_pb2.KeyValue]) -> None:
        self._present = present
        self.asked_from: list[int] = []

    async def status(self, request: Any, context: Any) -> rpc_pb2.StatusResponse:
        return rpc_pb2.StatusResponse(version="3.4.23")

    async def range(self, request: rpc_pb2.RangeRequest, context: Any) -> rpc_pb2.RangeResponse:
        newer = [pair for pair in self._present if pair.mod_revision >= request.min_mod_revision]
        return rpc_pb2.RangeResponse(header=rpc_pb2.ResponseHeader(revision=9), kvs=newer)

    async def watch(self, requests: Any, context: Any) -> AsyncIterator[rpc_pb2.WatchResponse]:
        requests = aiter(requests)
        request = await anext(requests)
        self.asked_from.append(request.create_request.start_revision)
        yield rpc_pb2.WatchResponse(created=True)
        if len(self.asked_from) > 1:
            yield rpc_pb2.WatchResponse(events=[kv_pb2.Event(kv=NEW)])
        async for _ in requests:
            raise AssertionError("nothing else is asked of this version")


@asynccontextmanager
async def serving(etcd: SilentEtcd) -> AsyncIterator[str]:
    """The URL of the server."""
    server = grpc.aio.server()
    unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
    methods = {
        "Maintenance": {"Status": unary(etcd.status, rpc_pb2.StatusRequest.FromString, _encode)},
        "KV": {"Range": unary(etcd.range, rpc_pb2.RangeRequest.FromString, _encode)},
        "Watch": {"Watch": stream(etcd.watch, rpc_pb2.WatchRequest.FromString, _encode)},
    }
    for service, handlers in methods.items():
        generic = grpc.method_handlers_generic_handler(f"etcdserverpb.{service}", handlers)
        server.add_generic_rpc_handlers((generic,))
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        await server.stop(None)


def _encode(message: Any) -> bytes:
    return bytes(message.SerializeToString())


@asynccontextmanager
async def watched(etcd: SilentEtcd, clock: VirtualClock) -> AsyncIterator[list[Batch]]:
    """What a watch after revision 5 brings, once its stream stands and the store's revision was asked for."""
    brought: list[Batch] = []
    async with serving(etcd) as url:
        store = EtcdStore(EtcdConfig([url]), clock)
        await store.open()

        async def follow() -> None:
            async with aclosing(store.watch("/registry/", 5)) as batches:
                async for batch in batches:
                    brought.append(batch)

        background = Background()
        await background.open()
        background.start(follow())
        try:
            await eventually(lambda: bool(brought))
            assert await store.revision() == 9
            yield brought
        finally:
            await background.close()
            await store.close()


async def test_a_silent_watch_is_started_anew_after_what_it_has_brought() -> None:
    etcd, clock = SilentEtcd([NEW]), VirtualClock()
    async with watched(etcd, clock) as brought:
        await clock.advance(STALL_SECONDS)

        await eventually(lambda: any(batch.changes for batch in brought))

    assert etcd.asked_from == [6, 6]
    assert [change.key for batch in brought for change in batch.changes] == ["/registry/pods/a"]


async def test_a_watch_that_lacks_nothing_is_left_alone_however_far_the_store_is() -> None:
    etcd, clock = SilentEtcd([]), VirtualClock()
    async with watched(etcd, clock):
        await clock.advance(STALL_SECONDS * 3)

    assert etcd.asked_from == [6]


async def test_failed_work_in_the_background_is_told_to_who_waits_for_it() -> None:
    background = Background()
    await background.open()

    async def fail() -> None:
        raise RuntimeError("the store watch broke")

    background.start(fail())
    with pytest.raises(BaseExceptionGroup, match="unhandled errors") as caught:
        await background.failure()

    assert str(caught.value.exceptions[0]) == "the store watch broke"
    with pytest.raises(BaseExceptionGroup):
        await background.close()
