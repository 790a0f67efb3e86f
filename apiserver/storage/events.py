"""What a cache holds and what a change means: items, selections, transitions, and the events of watches.

Plain values; `cache.py` makes them and `watcher.py` queues them. Events are shared: however many watchers
see a change, its frame is encoded at most once for each event type.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, TypeAlias

import msgspec

from .codec import restamp

EventType: TypeAlias = Literal["ADDED", "MODIFIED", "DELETED"]


class Item(msgspec.Struct, frozen=True, gc=False):
    """A cached object: what selectors and lists need, and the bytes that go out."""

    key: str
    namespace: str
    revision: int
    wire: bytes
    """JSON with resourceVersion."""
    labels: Mapping[str, str]
    fields: Mapping[str, str]
    """Selectable fields other than metadata.name and metadata.namespace."""

    @property
    def name(self) -> str:
        return self.key.rpartition("/")[2]


@dataclass(frozen=True, slots=True)
class Selection:
    """Which objects of a resource a request is about. All parts must hold."""

    namespace: str = ""
    """Empty: every namespace."""
    name: str = ""
    """Empty: every name."""
    equals: Mapping[str, str] = field(default_factory=dict)
    """Selectable fields (not metadata.name, metadata.namespace) that must have these values. A watch with
    one, such as `spec.nodeName`, is woken only by objects with that value."""
    predicate: Callable[[Item], bool] | None = None
    """Whatever else must hold: label selectors, inequalities."""

    def matches(self, item: Item) -> bool:
        if self.namespace and item.namespace != self.namespace:
            return False
        if self.name and item.name != self.name:
            return False
        if any(item.fields.get(name, "") != value for name, value in self.equals.items()):
            return False
        return self.predicate is None or self.predicate(item)


class Event:
    """What a watcher receives. A DELETED event's item is the last state, stamped with the revision of the
    change that removed it from the selection."""

    __slots__ = ("_frame", "item", "revision", "type")

    def __init__(self, type: EventType, item: Item, revision: int) -> None:
        self.type = type
        self.item = item
        self.revision = revision
        self._frame: bytes | None = None

    @property
    def frame(self) -> bytes:
        """The event as a line of a JSON watch stream; the same bytes for every watcher."""
        if self._frame is None:
            self._frame = frame(self.type, self.item.wire)
        return self._frame


def frame(type: str, wire: bytes) -> bytes:
    """`{"type":"ADDED","object":…}` and a newline."""
    return b'{"type":"%s","object":%s}\n' % (type.encode(), wire)


class Transition:
    """One change of one object, and the events that it means to different watchers, made on demand."""

    __slots__ = ("_added", "_deleted", "_modified", "after", "before", "revision")

    def __init__(self, before: Item | None, after: Item | None, revision: int) -> None:
        self.before = before
        self.after = after
        self.revision = revision
        self._added: Event | None = None
        self._modified: Event | None = None
        self._deleted: Event | None = None

    def seen_by(self, selection: Selection) -> Event | None:
        """The event for this selection: an object that starts to match is ADDED to it, one that stops to
        match is DELETED from it."""
        was = self.before is not None and selection.matches(self.before)
        now = self.after is not None and selection.matches(self.after)
        if now:
            return self.modified if was else self.added
        return self.deleted if was else None

    @property
    def added(self) -> Event:
        if self._added is None:
            assert self.after is not None
            self._added = Event("ADDED", self.after, self.revision)
        return self._added

    @property
    def modified(self) -> Event:
        if self._modified is None:
            assert self.after is not None
            self._modified = Event("MODIFIED", self.after, self.revision)
        return self._modified

    @property
    def deleted(self) -> Event:
        if self._deleted is None:
            assert self.before is not None
            last = msgspec.structs.replace(
                self.before, revision=self.revision, wire=restamp(self.before.wire, self.revision)
            )
            self._deleted = Event("DELETED", last, self.revision)
        return self._deleted
