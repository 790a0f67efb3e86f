"""What the fake API server stores: objects with revisions, their history, and the watches on it.

Stored objects are never changed in place: whoever changes one puts a changed copy.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeAlias

from kplane.api.errors import BadRequest, Expired, Unreachable
from kplane.api.resource import Key, Object
from kplane.api.selectors import FieldSelector, Selector, SelectorError, parse_fields, parse_labels
from kplane.client.codec import encode
from kplane.testing.weather import Weather

Table: TypeAlias = tuple[str, str]
"""Group and plural: objects are stored once, whatever version they were written in."""


class Change(NamedTuple):
    table: Table
    key: Key
    old: Object | None
    new: Object | None
    revision: int


@dataclass(frozen=True)
class Filter:
    """Which objects of a table a request is about."""

    table: Table
    namespace: str = ""
    labels: Selector = field(default_factory=Selector)
    fields: FieldSelector = field(default_factory=FieldSelector)

    @classmethod
    def of(cls, table: Table, namespace: str, query: Mapping[str, str]) -> Filter:
        """Raises BadRequest for selectors that cannot be read."""
        try:
            labels = parse_labels(query.get("labelSelector", ""))
            fields = parse_fields(query.get("fieldSelector", ""))
        except SelectorError as error:
            raise BadRequest(str(error)) from error
        return cls(table, namespace, labels, fields)

    def matches(self, obj: Object | None) -> bool:
        if obj is None or (self.namespace and obj["metadata"].get("namespace") != self.namespace):
            return False
        fields = {term.field: look_up(obj, term.field) for term in self.fields.requirements}
        return self.labels.matches(obj["metadata"].get("labels") or {}) and self.fields.matches(fields)


class Watch:
    """One watch; a Stream of the client's transport."""

    status = 200
    headers: Mapping[str, str] = {"content-type": "application/json"}

    def __init__(self, state: State, chosen: Filter) -> None:
        self._state = state
        self._chosen = chosen
        self._frames: deque[Object] = deque()
        self._wake = asyncio.Event()
        self._end: Unreachable | bool = False
        self.waiting = False
        """Whether the consumer has taken everything and waits for more."""

    @property
    def idle(self) -> bool:
        return self.waiting and not self._frames and not self._end

    def offer(self, change: Change) -> None:
        """Queue the event that `change` is to this watch, if it is one."""
        if change.table != self._chosen.table:
            return
        before, after = self._chosen.matches(change.old), self._chosen.matches(change.new)
        if after:
            self.push("MODIFIED" if before else "ADDED", change.new)
        elif before:
            assert change.old is not None
            last = change.new or change.old
            metadata = last["metadata"] | {"resourceVersion": str(change.revision)}
            self.push("DELETED", last | {"metadata": metadata})

    def push(self, kind: str, obj: Object | None) -> None:
        self._frames.append({"type": kind, "object": obj})
        self._wake.set()

    def end(self, error: Unreachable | None = None) -> None:
        """Close the stream, or break it with `error`. Events that were not read yet are lost."""
        self._end = error or True
        self._frames.clear()
        self._wake.set()

    def released(self) -> None:
        self._wake.set()

    async def lines(self) -> AsyncIterator[bytes]:
        while True:
            while not self._end and (self._state.held or not self._frames):
                self._wake.clear()
                self.waiting = True
                await self._wake.wait()
                self.waiting = False
            if isinstance(self._end, Unreachable):
                raise self._end
            if self._end:
                return
            async for frame in self._arriving():
                yield encode(frame)

    async def _arriving(self) -> AsyncIterator[Object]:
        if self._state.weather is None:
            yield self._frames.popleft()
            return
        await self._state.weather.delay()
        if self._end:
            return  # It broke in the meantime; what was under way is lost.
        for frame in self._state.weather.take(self._frames):
            yield frame

    async def chunks(self) -> AsyncIterator[bytes]:
        async for line in self.lines():
            yield line + b"\n"


class State:
    """Objects, newest revision, history, watches."""

    def __init__(self) -> None:
        self.revision = 1
        self.watches: dict[Watch, None] = {}
        """In the order in which they were opened, so that a seed replays a story."""
        self.held = False
        self.weather: Weather | None = None
        """What happens to events on their way; None: nothing."""
        self._tables: dict[Table, dict[Key, Object]] = {}
        self._history: list[Change] = []
        self._forgotten = 0

    def get(self, table: Table, key: Key) -> Object | None:
        return self._tables.get(table, {}).get(key)

    def select(self, chosen: Filter) -> list[Object]:
        """In the order of their keys, as a store returns them."""
        found = self._tables.get(chosen.table, {})
        return [found[key] for key in sorted(found) if chosen.matches(found[key])]

    def put(self, table: Table, key: Key, obj: Object) -> Object:
        """Store `obj` under the next revision, and return it as stored."""
        self.revision += 1
        stored = obj | {"metadata": obj["metadata"] | {"resourceVersion": str(self.revision)}}
        old = self.get(table, key)
        self._tables.setdefault(table, {})[key] = stored
        self._record(Change(table, key, old, stored, self.revision))
        return stored

    def remove(self, table: Table, key: Key) -> Object:
        """Remove the object and return its last state, under the revision of the deletion."""
        self.revision += 1
        old = self._tables[table].pop(key)
        self._record(Change(table, key, old, None, self.revision))
        return old | {"metadata": old["metadata"] | {"resourceVersion": str(self.revision)}}

    def watch(self, chosen: Filter, after: str) -> Watch:
        """Changes after a revision; from "" or "0", everything there is as ADDED first."""
        watch = Watch(self, chosen)
        if after in ("", "0"):
            for obj in self.select(chosen):
                watch.push("ADDED", obj)
        elif int(after) < self._forgotten:
            raise Expired(f"too old resource version: {after} ({self._forgotten})")
        else:
            for change in self._history:
                if change.revision > int(after):
                    watch.offer(change)
        self.watches[watch] = None
        return watch

    def history(self, table: Table) -> Sequence[Change]:
        """Everything that ever happened to the objects of a table, oldest first."""
        return [change for change in self._history if change.table == table]

    def compact(self) -> None:
        """Forget the history for clients: watches from a revision before this one get 410."""
        self._forgotten = self.revision

    def _record(self, change: Change) -> None:
        self._history.append(change)
        for watch in self.watches:
            watch.offer(change)


def look_up(obj: Object, path: str) -> str:
    """The field at a dotted path as a field selector sees it."""
    value: Any = obj
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)
