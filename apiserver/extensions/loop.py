"""Follows the CustomResourceDefinitions: keeps their status, and serves what they define.

Reads: definitions, from the hub's cache, so that all API servers see the same.
Writes: their status; the rows of the scheme of this server.
Elsewhere: what to write (`lifecycle.py`), what to serve (`rows.py`), deletion (`cleanup.py`).

Invariant: a definition whose status says Established is served by the server that says so.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from dataclasses import dataclass, replace

import msgspec

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo, Scheme

from ..bootstrap import SELF
from ..registry.generic import Registry
from ..registry.registry import Registries
from ..storage import codec
from ..storage.events import Item
from ..storage.store import StoreError
from ..storage.watcher import Overrun, Watcher
from . import lifecycle
from .cleanup import Cleanup, is_due
from .conditions import ESTABLISHED, TERMINATING, is_true
from .rows import TERMINATING_VERBS, VERBS, all_rows

log = logging.getLogger(__name__)

RETRY_SECONDS = 1.0


def _read(item: Item) -> Object | None:
    """The definition; None, and a line in the log, for one that cannot be understood."""
    crd = codec.decode(item.wire)
    if lifecycle.is_complete(crd):
        return crd
    log.error("custom resource definition not understood crd=%s", item.name)
    return None


@dataclass(frozen=True)
class _Served:
    signature: bytes
    """What the rows were made from; another one makes other rows."""
    terminating: bool
    rows: tuple[ResourceInfo, ...]
    storage: ResourceInfo


class Extensions:
    """One server's custom resources. `start` serves what is there; `run` follows the changes."""

    def __init__(self, scheme: Scheme, registries: Registries, definitions: Registry, clock: Clock) -> None:
        self._scheme = scheme
        self._registries = registries
        self._definitions = definitions
        self._clock = clock
        self._crds: dict[str, Object] = {}
        self._served: dict[str, _Served] = {}
        self._ending: set[str] = set()
        self._cleanup = Cleanup(definitions, self._instances, clock)

    async def start(self) -> None:
        """Serve the definitions that are established already."""
        for item in (await self._definitions.cache.list()).items:
            if crd := _read(item):
                self._crds[item.name] = crd
                self._serve(item.name, crd)

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    with await self._definitions.cache.watch() as watcher:
                        await self._follow(watcher, tasks)
                except (ApiError, StoreError, Overrun) as error:
                    log.warning("custom resource definitions lost error=%s", error)
                await self._clock.sleep(RETRY_SECONDS)

    async def _follow(self, watcher: Watcher, tasks: asyncio.TaskGroup) -> None:
        found = {item.name: crd for item in watcher.initial if (crd := _read(item))}
        gone = self._crds.keys() - found.keys()
        self._crds = found
        await self._sync([*gone, *found], tasks)
        async for batch in watcher:
            groups: dict[str, None] = {}
            changed: dict[str, None] = {}
            for event in batch:
                name, crd = event.item.name, _read(event.item)
                if crd is None:
                    continue
                groups[crd["spec"]["group"]] = changed[name] = None
                if event.type == "DELETED":
                    self._crds.pop(name, None)
                else:
                    self._crds[name] = crd
            # A name that became free may be what another definition of the group waits for.
            waiting = [
                name
                for name, crd in self._crds.items()
                if crd["spec"]["group"] in groups and not is_true(crd, "NamesAccepted")
            ]
            await self._sync(dict.fromkeys([*changed, *waiting]), tasks)

    async def _sync(self, names: Iterable[str], tasks: asyncio.TaskGroup) -> None:
        for name in names:
            crd = self._crds.get(name)
            if crd is None:
                self._withdraw(name)
            elif crd["metadata"].get("deletionTimestamp"):
                self._serve(name, crd)
                self._start_cleanup(name, crd, tasks)
            else:
                await self._accept(name, crd)

    async def _accept(self, name: str, crd: Object) -> None:
        """Bring names and conditions up to date. What becomes established is served before anybody can
        read that it is."""
        used = lifecycle.taken(crd["spec"]["group"], self._crds.values())
        now = rfc3339(self._clock.now())
        status = lifecycle.next_status(crd, used, now)
        self._serve(name, crd if status is None else crd | {"status": status})
        if status is None:
            return

        def change(obj: Object) -> Object:
            return obj | {"status": lifecycle.next_status(obj, used, now) or obj.get("status", {})}

        try:
            written = await self._definitions.amend(Key("", name), change, SELF)
        except NotFound:
            # Deleted meanwhile: the event that says so is on its way.
            return
        self._crds[name] = codec.decode(written.wire)
        self._serve(name, self._crds[name])

    def _serve(self, name: str, crd: Object) -> None:
        """Make the scheme's rows those of this definition."""
        if not is_true(crd, ESTABLISHED):
            self._withdraw(name)
            return
        signature = msgspec.json.encode([crd["spec"], lifecycle.accepted_names(crd)])
        terminating = is_true(crd, TERMINATING)
        served = self._served.get(name)
        if served is not None and served.signature == signature:
            if served.terminating is not terminating:
                self._close(name, served, terminating)
            return
        self._withdraw(name)
        made = all_rows(crd)
        rows = tuple(row for row in made.served if not self._is_builtin(row))
        for row in rows:
            self._scheme.add(row)
        self._served[name] = _Served(signature, terminating, rows, made.storage)
        log.info("custom resource served crd=%s versions=%s", name, ",".join(row.version for row in rows))

    def _close(self, name: str, served: _Served, terminating: bool) -> None:
        """The same rows, for a definition that is being deleted; their watches go on."""
        verbs = TERMINATING_VERBS if terminating else VERBS
        rows = tuple(
            replace(row, verbs=verbs, custom=replace(row.custom, terminating=terminating))
            for row in served.rows
            if row.custom
        )
        for row in rows:
            self._scheme.add(row)
        self._served[name] = replace(served, terminating=terminating, rows=rows)

    def _withdraw(self, name: str) -> None:
        """Serve nothing of this definition; its watches end."""
        served = self._served.pop(name, None)
        if served is None:
            return
        for row in (*served.rows, served.storage):
            self._registries.forget(row)
        for row in served.rows:
            self._scheme.remove(row)

    def _is_builtin(self, row: ResourceInfo) -> bool:
        """Whether the server itself serves this group and version: no definition gets in its way."""
        return any(other.custom is None for other in self._scheme.resources(row.group, row.version))

    def _instances(self, crd: Object) -> Registry:
        served = self._served.get(crd["metadata"]["name"])
        return self._registries.of(served.storage if served else all_rows(crd).storage)

    def _start_cleanup(self, name: str, crd: Object, tasks: asyncio.TaskGroup) -> None:
        if not is_due(crd) or name in self._ending:
            return
        self._ending.add(name)
        task = tasks.create_task(self._cleanup.run(crd))
        task.add_done_callback(lambda _: self._ending.discard(name))
