"""Keeps flow control as its API objects say, and says of each FlowSchema whether its priority level is there.

Reads: FlowSchemas and PriorityLevelConfigurations, from the hub's caches.
Writes: the condition Dangling of FlowSchemas.
Elsewhere: that the mandatory and suggested objects exist (`bootstrap.py`); what follows from them
(`control.py`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

import msgspec

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object

from ..bootstrap import SELF
from ..registry.generic import Registry
from ..storage.store import StoreError
from ..storage.watcher import Overrun
from .control import FlowControl
from .flows import limits_of
from .matching import Schema, schema_of

log = logging.getLogger(__name__)

ADJUST_SECONDS = 10.0
RETRY_SECONDS = 1.0
DANGLING = "Dangling"
MANAGER = "api-priority-and-fairness-config-consumer-v1"
BUSY_WRITES = 5
"""Conditions of one FlowSchema that are written within BUSY_SECONDS; then servers contradict each other, and
this one yields for a while."""
BUSY_SECONDS = 60.0
_GROUP = "flowcontrol.apiserver.k8s.io"
_ABOUT = "This FlowSchema references the PriorityLevelConfiguration object named"


class FlowObjects:
    """`start` takes what is there; `run` follows the changes and adjusts the levels."""

    def __init__(self, control: FlowControl, find: Callable[[str, str, str], Registry], clock: Clock) -> None:
        self._control = control
        self._find = find
        self._clock = clock
        self._changed = asyncio.Event()
        self._taken = b""
        self._written: dict[str, list[float]] = {}

    async def start(self) -> None:
        """Raises ApiError and StoreError."""
        await self._take()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            for registry in (self._levels, self._schemas):
                tasks.create_task(self._follow(registry))
            tasks.create_task(self._adjust())
            while True:
                await self._changed.wait()
                self._changed.clear()
                try:
                    await self._take()
                except* (ApiError, StoreError) as group:
                    log.warning("cannot follow flow control error=%s", group.exceptions[0])
                    self._changed.set()
                    await self._clock.sleep(RETRY_SECONDS)

    @property
    def _levels(self) -> Registry:
        return self._find(_GROUP, "v1", "prioritylevelconfigurations")

    @property
    def _schemas(self) -> Registry:
        return self._find(_GROUP, "v1", "flowschemas")

    async def _follow(self, registry: Registry) -> None:
        while True:
            try:
                with await registry.cache.watch() as watcher:
                    self._changed.set()
                    async for _ in watcher:
                        self._changed.set()
            except (ApiError, StoreError, Overrun) as error:
                log.warning("flow control's objects lost error=%s", error)
            await self._clock.sleep(RETRY_SECONDS)

    async def _adjust(self) -> None:
        while True:
            await self._clock.sleep(ADJUST_SECONDS)
            self._control.adjust()
            if any(len(times) > BUSY_WRITES for times in self._written.values()):
                # What was put off may be due.
                self._changed.set()

    async def _take(self) -> None:
        levels, schemas = await _all(self._levels), await _all(self._schemas)
        content = [[obj["metadata"].get("uid"), obj.get("spec")] for obj in (*levels, *schemas)]
        if (taken := msgspec.json.encode(content)) != self._taken:
            self._control.configure(levels, schemas)
            self._taken = taken
        names = {limits.name for obj in levels if (limits := limits_of(obj))}
        known = [(schema, obj) for obj in schemas if (schema := schema_of(obj))]
        due = [(schema.name, wanted) for schema, obj in known if (wanted := _condition(schema, obj, names))]
        # All at once: the store then commits them together.
        async with asyncio.TaskGroup() as tasks:
            for name, wanted in due:
                if not self._is_busy(name):
                    tasks.create_task(self._tell(name, wanted))

    def _is_busy(self, name: str) -> bool:
        now = self._clock.monotonic()
        times = [at for at in self._written.get(name, ()) if at > now - BUSY_SECONDS]
        self._written[name] = times
        if len(times) <= BUSY_WRITES:
            times.append(now)
            return False
        return True

    async def _tell(self, name: str, condition: Mapping[str, str]) -> None:
        registry = self._schemas
        told = {**condition, "lastTransitionTime": rfc3339(self._clock.now())}
        row = registry.info
        config = {
            "apiVersion": row.api_version,
            "kind": row.kind,
            "metadata": {"name": name},
            "status": {"conditions": [told]},
        }
        author = replace(SELF, manager=MANAGER, subresource="status", applies=True)
        status = registry.subresource("status")
        try:
            body = msgspec.json.encode(config)
            await registry.apply(Key("", name), body, author, force=True, subresource=status)
        except NotFound:
            # Deleted meanwhile: the event that says so is on its way.
            return


async def _all(registry: Registry) -> Sequence[Object]:
    page = await registry.cache.list(at_least=0)
    return await registry.objects([item.wire for item in page.items])


def _condition(schema: Schema, obj: Object, levels: Collection[str]) -> dict[str, str] | None:
    """What is to be written, without its time; None where it is there."""
    level = schema.level
    if level in levels:
        verdict = ("False", "Found", f'{_ABOUT} "{level}" and it exists')
    else:
        verdict = ("True", "NotFound", f'{_ABOUT} "{level}" but there is no such object')
    conditions = (obj.get("status") or {}).get("conditions") or ()
    for entry in conditions:
        said = (entry.get("status"), entry.get("reason"), entry.get("message"))
        if entry.get("type") == DANGLING and said == verdict:
            return None
    return dict(zip(("type", "status", "reason", "message"), (DANGLING, *verdict), strict=True))
