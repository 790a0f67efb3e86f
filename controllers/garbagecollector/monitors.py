"""Monitors: one informer for each resource that the server serves, feeding the graph.

Where another controller has an informer of all objects of a resource already, the monitor listens to that
one: views have the whole metadata. For the others it runs one that holds the metadata alone.

Reads: discovery, every 30 seconds and whenever a definition of custom resources or an APIService changes;
the metadata of all objects but Events.

Invariant: resources that discovery merely fails to tell of keep their monitor; only those that are known to
be gone lose it, and their objects leave the graph.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from prometheus_client import Counter

from kplane.api.errors import ApiError
from kplane.api.resource import Resource
from kplane.api.types import PartialObjectMetadata
from kplane.api.types.meta import View
from kplane.client.controller import Context
from kplane.client.informer import Handler, Informer

from ..discovery import Discovered, Served, discover
from .graph import Graph

log = logging.getLogger(__name__)

SYNC_ERRORS = Counter(
    "garbagecollector_controller_resources_sync_error_total",
    "Number of garbage collector resources sync errors",
)

REDISCOVERY = 30.0
RETRY = 1.0
"""Seconds between attempts while discovery cannot be had at all."""
NEEDED_VERBS = frozenset({"delete", "list", "watch"})
IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})
SCHEMA_KINDS = frozenset({"CustomResourceDefinition", "APIService"})

Metadata: TypeAlias = Resource[PartialObjectMetadata]


def monitored(discovered: Discovered) -> dict[tuple[str, str], Metadata]:
    """The resources to watch, by group and plural."""
    wanted = [entry.resource for entry in discovered.served if _is_wanted(entry)]
    return {(resource.group, resource.plural): resource for resource in wanted}


def _is_wanted(entry: Served) -> bool:
    return entry.verbs >= NEEDED_VERBS and (entry.resource.group, entry.resource.plural) not in IGNORED


@dataclass(frozen=True)
class _Monitor:
    informer: Informer[Any]
    handler: Handler[Any]
    task: asyncio.Task[None] | None
    """Runs the informer; None where it is somebody else's."""


class Monitors:
    """Runs the informers. `kinds` tells where objects of a kind are found; `on_more` is called when there are
    others than before."""

    def __init__(self, ctx: Context, graph: Graph, on_more: Callable[[], None] = lambda: None) -> None:
        self._client, self._clock, self._entropy = ctx.client, ctx.clock, ctx.entropy
        self._informers = ctx.informers
        self._graph = graph
        self._on_more = on_more
        self._running: dict[Metadata, _Monitor] = {}
        self._schema_changed = asyncio.Event()
        self._synced = asyncio.Event()
        self.kinds: dict[tuple[str, str], Metadata] = {}
        """(group, kind) -> resource, of everything served."""

    async def wait_synced(self) -> None:
        """Until every object that existed at the start is in the graph."""
        await self._synced.wait()

    async def run(self) -> None:
        """Watch everything until cancelled."""
        async with asyncio.TaskGroup() as group:
            while True:
                # Before discovery: a definition that changes meanwhile may not be in the answer yet.
                self._schema_changed.clear()
                if not await self._refresh(group):
                    await self._clock.sleep(RETRY)
                    continue
                for monitor in list(self._running.values()):
                    await monitor.informer.wait_synced()
                self._synced.set()
                await self._next_occasion()

    async def _next_occasion(self) -> None:
        async with asyncio.TaskGroup() as group:
            waits = [
                group.create_task(self._clock.sleep(REDISCOVERY)),
                group.create_task(_until(self._schema_changed)),
            ]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()

    async def _refresh(self, group: asyncio.TaskGroup) -> bool:
        """Start and stop monitors as discovery tells; False if it told nothing."""
        try:
            found = await discover(self._client)
        except ApiError as error:
            SYNC_ERRORS.inc()
            log.warning("discovery failed why=%s", error)
            return False
        wanted = set(monitored(found).values())
        before, self.kinds = self.kinds, (self.kinds if found.failures else {}) | found.by_kind()
        if self.kinds.keys() - before.keys():
            self._on_more()
        for resource in wanted - self._running.keys():
            self._start(group, resource)
        if not found.failures:
            for resource in self._running.keys() - wanted:
                self._stop(resource)
        return True

    def _start(self, group: asyncio.TaskGroup, resource: Metadata) -> None:
        log.debug("monitoring resource=%s group=%s", resource.plural, resource.group)
        handler = self._handler(resource)
        informer = self._informers.with_metadata(resource)
        task = None
        if informer is None:
            informer = Informer(self._client, resource, clock=self._clock, entropy=self._entropy)
            task = group.create_task(informer.run())
        informer.on_change(handler)
        self._running[resource] = _Monitor(informer, handler, task)

    def _stop(self, resource: Metadata) -> None:
        monitor = self._running.pop(resource)
        if monitor.task is not None:
            monitor.task.cancel()
        monitor.informer.off_change(monitor.handler)
        for obj in monitor.informer.list():
            self._graph.forget(obj.metadata.uid)

    def _handler(self, resource: Metadata) -> Handler[View]:
        def changed(old: View | None, new: View | None) -> None:
            if old is not None and (new is None or new.metadata.uid != old.metadata.uid):
                self._graph.forget(old.metadata.uid)
            if new is not None:
                self._graph.observe(resource, new)
            if resource.kind in SCHEMA_KINDS:
                self._schema_changed.set()

        return changed


async def _until(event: asyncio.Event) -> None:
    await event.wait()
