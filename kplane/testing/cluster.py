"""FakeCluster: an API server in memory, informers that already run, and virtual time.

    async with FakeCluster() as cluster:
        cluster.load(make_replicaset(replicas=3))
        await ReplicaSetController(cluster.context()).reconcile(Key("default", "web"))
        assert len(cluster.list(Pod)) == 3

It is a Transport, so everything that a Client can do works against it. The same contract tests run against it
and against the real API server (`tests/client/contract`).
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Literal, Self, TypeVar
from urllib.parse import unquote

from kplane.api.clock import Entropy
from kplane.api.errors import ApiError, Expired, Unreachable
from kplane.api.resource import Key, Object, Resource, resource_of
from kplane.api.types.core import Event
from kplane.client.codec import codec, encode
from kplane.client.controller import Context
from kplane.client.events import EventRecorder
from kplane.client.informer import Informer, InformerFactory
from kplane.client.rest import Client, listing
from kplane.client.transport import Response, Stream
from kplane.client.workqueue import WorkQueue
from kplane.testing.clock import VirtualClock
from kplane.testing.faults import Faults
from kplane.testing.server import FakeServer

T = TypeVar("T")

PATIENCE = 10_000
"""Turns of the event loop after which `settle` takes the cluster to be stuck."""

CALM = 10
"""Turns in a row without anything to do after which the cluster counts as settled."""


class FakeCluster:
    """Use as an async context manager: informers and queues run until it is left."""

    def __init__(self, *, seed: int = 0) -> None:
        self.clock = VirtualClock()
        self.entropy = Entropy(seed)
        self.faults = Faults()
        self.server = FakeServer(self.clock, self.entropy)
        self._informers = PrimedFactory(self)
        self._queues: list[WorkQueue] = []
        self._group: asyncio.TaskGroup | None = None
        self._runner: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        # One task owns the group, because fixtures may be entered and left in different tasks.
        self._runner = asyncio.create_task(self._run())
        await self.clock.idle()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._runner is not None
        if not self._runner.done():
            self._runner.cancel()
        await asyncio.wait([self._runner])
        # What failed beside the test matters unless the test has failed already.
        if kind is None and not self._runner.cancelled():
            self._runner.result()

    def load(self, *objects: Object) -> None:
        """Put objects into the cluster as they are, status and all; what they lack of metadata is added."""
        for obj in objects:
            self.server.insert(obj)

    def list(self, what: type[T] | Resource[T], namespace: str = "") -> Sequence[T]:
        """What the server holds now."""
        resource = resource_of(what)
        _, body = self.server.handle("GET", resource.path(namespace), {}, b"", "")
        return listing(resource, encode(body)).items

    def get(self, what: type[T] | Resource[T], key: Key) -> T | None:
        """What the server holds now; None if there is no such object."""
        resource = resource_of(what)
        found = self.server.state.get((resource.group, resource.plural), key)
        return None if found is None else codec(resource.view).one(encode(found))

    def delete(self, what: type[T] | Resource[T], key: Key) -> None:
        """Remove the object at once, whatever its finalizers say."""
        resource = resource_of(what)
        self.server.state.remove((resource.group, resource.plural), key)

    def events(self) -> Sequence[Event]:
        """The Events recorded so far, oldest first."""
        return sorted(self.list(Event), key=lambda event: int(event.metadata.resource_version))

    def client(self) -> Client:
        return Client(self, clock=self.clock)

    def context(self, name: str = "test", *, options: Any = None) -> Context:
        """A controller's surroundings. Its informers hold what is loaded already, and run."""
        queue = WorkQueue(name, self.clock)
        self._queues.append(queue)
        client = self.client()
        recorder = ImmediateRecorder(client, name, clock=self.clock, entropy=self.entropy)
        recorder.server = self.server
        return Context(client, self._informers, queue, self.clock, self.entropy, recorder, options)

    def start(self, work: Coroutine[Any, Any, None]) -> None:
        """Run `work` beside the test, until the cluster is left: a queue, a whole component."""
        assert self._group is not None, "the cluster must have been entered"
        self._group.create_task(work)

    async def settle(self) -> None:
        """Until informers have caught up and running queues are idle. Time passes only where an informer
        waits for it, to connect again."""
        calm = 0
        for turn in range(PATIENCE):
            await self.clock.sleep(0)
            self._check()
            calm = calm + 1 if self._settled() else 0
            if calm > CALM:
                return
            if turn % 100 == 99 and (wait := self.clock.next_wake) is not None:
                await self.clock.advance(wait)
        raise AssertionError("the cluster does not settle: an informer or a queue is busy for ever")

    def _check(self) -> None:
        """Raise what something that runs beside the test has failed with."""
        assert self._runner is not None, "the cluster must have been entered"
        if self._runner.done():
            self._runner.result()

    async def advance(self, seconds: float) -> None:
        """Let so much time pass, and settle."""
        await self.clock.advance(seconds)
        await self.settle()

    def drop_watches(self) -> None:
        """Break every open watch; events that were not read yet are lost with it."""
        for watch in list(self.server.state.watches):
            watch.end(Unreachable("connection reset by peer"))

    def end_watches(self) -> None:
        """End every open watch, as the server does after the time that was asked for."""
        for watch in list(self.server.state.watches):
            watch.end()

    def compact(self) -> None:
        """Forget all history: who resumes a watch gets 410 Expired, if anything has changed since."""
        self.server.state.compact()

    def hold_watches(self) -> None:
        """Deliver no watch events until `release_watches`: caches lag behind."""
        self.server.state.held = True

    def release_watches(self) -> None:
        self.server.state.held = False
        for watch in self.server.state.watches:
            watch.released()

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        await self.clock.sleep(0)
        path = unquote(path)
        content_type = (headers or {}).get("Content-Type", "")
        try:
            plural = self.server.target(path).row.plural
            self.faults.strike(method, plural, after=False)
            status, answer = self.server.handle(method, path, query or {}, body, content_type)
            self.faults.strike(method, plural, after=True)
        except Unreachable:
            raise
        except ApiError as error:
            status, answer = error.http_code, error.status()
        return Response(status, {"content-type": "application/json"}, encode(answer))

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AsyncIterator[Stream]:
        await self.clock.sleep(0)
        try:
            self.faults.strike("WATCH", self.server.target(path).row.plural, after=False)
            watch = self.server.watch(unquote(path), query or {})
        except Unreachable:
            raise
        except Expired as error:
            # As upstream: history that is gone is told inside the stream.
            yield Refusal(200, {"type": "ERROR", "object": error.status()})
            return
        except ApiError as error:
            yield Refusal(error.http_code, error.status())
            return
        try:
            yield watch
        finally:
            self.server.state.watches.pop(watch, None)

    async def close(self) -> None:
        """Nothing is held between requests."""

    async def _run(self) -> None:
        async with asyncio.TaskGroup() as group:
            self._group = group
            group.create_task(self._informers.run())

    def _settled(self) -> bool:
        state = self.server.state
        if any(queue.running and not queue.idle for queue in self._queues):
            return False
        if state.held:
            return True
        return len(state.watches) >= len(self._informers) and all(watch.idle for watch in state.watches)


class Refusal:
    """A watch that was refused, as a Stream."""

    def __init__(self, status: int, body: Object) -> None:
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": "application/json"}
        self._body = encode(body)

    async def lines(self) -> AsyncIterator[bytes]:
        yield self._body

    async def chunks(self) -> AsyncIterator[bytes]:
        yield self._body


class PrimedFactory(InformerFactory):
    """Informers that hold the server's state from the start, so that a test need not wait for a list."""

    def __init__(self, cluster: FakeCluster) -> None:
        super().__init__(cluster.client(), clock=cluster.clock, entropy=cluster.entropy)
        self._server = cluster.server

    def informer(
        self,
        what: type[T] | Resource[T],
        *,
        namespace: str = "",
        label_selector: str = "",
        field_selector: str = "",
    ) -> Informer[T]:
        found = super().informer(
            what, namespace=namespace, label_selector=label_selector, field_selector=field_selector
        )
        if not found.synced:
            resource = resource_of(what)
            query = {"labelSelector": label_selector, "fieldSelector": field_selector}
            _, body = self._server.handle("GET", resource.path(namespace), query, b"", "")
            found.replace(listing(resource, encode(body)))
        return found


class ImmediateRecorder(EventRecorder):
    """Events are in the cluster as soon as they are recorded, so that a test need not wait for them."""

    server: FakeServer

    def event(
        self,
        about: Any,
        kind: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        *,
        field_path: str = "",
    ) -> None:
        super().event(about, kind, reason, message, field_path=field_path)
        for pending in self.take():
            self.server.insert(pending.whole())
