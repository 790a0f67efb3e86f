"""What becomes of an event: a new Event, a higher count on an old one, or nothing. client-go's correlator.

Three steps: many different messages about one object and reason are combined into one; a source that floods
one object is cut off; what is the same as before is counted. Pure: time comes as an argument.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from kplane.api.resource import Object
from kplane.client.backoff import TokenBucket

V = TypeVar("V")

SIMILAR_EVENTS = 10
"""So many different messages within WINDOW are told one by one; further ones are combined."""

WINDOW = 600.0
SPAM_BURST = 25
SPAM_RATE = 1 / 300
REMEMBERED = 4096
"""Objects and events that are remembered; the least recently used are forgotten."""

COMBINED = "(combined from similar events): "
_IDENTITY = ("kind", "namespace", "name", "uid", "apiVersion")
"""Of an involvedObject."""


@dataclass(slots=True)
class Seen:
    """An Event that repeats are counted towards."""

    name: str
    first: str
    count: int = 0
    created: bool = False
    """Whether the server has it."""


@dataclass(slots=True)
class _Group:
    last: float = 0.0
    messages: set[Hashable] = field(default_factory=set)


class _Recent(Generic[V]):
    """A dict that forgets what was not used for longest."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._entries: OrderedDict[Hashable, V] = OrderedDict()

    def get(self, key: Hashable, make: Callable[[], V]) -> V:
        if key not in self._entries:
            self._entries[key] = make()
            if len(self._entries) > self._size:
                self._entries.popitem(last=False)
        self._entries.move_to_end(key)
        return self._entries[key]


class Correlator:
    """The memory of one recorder."""

    def __init__(self) -> None:
        self._groups: _Recent[_Group] = _Recent(REMEMBERED)
        self._buckets: _Recent[TokenBucket] = _Recent(REMEMBERED)
        self._seen: _Recent[Seen] = _Recent(REMEMBERED)

    def correlate(self, event: Object, now: float) -> Seen | None:
        """The record that `event` counts towards, its count raised; None to drop it. The event's message
        is changed where it was combined."""
        identity: Hashable = (_subject(event), event["type"], event["reason"])
        combined = self._combine(event, identity, now)
        bucket = self._buckets.get(_subject(event), lambda: TokenBucket(SPAM_RATE, SPAM_BURST, now))
        if not bucket.take(now):
            return None
        told = None if combined else (event["involvedObject"].get("fieldPath"), event["message"])
        record = self._seen.get(
            (identity, told),
            lambda: Seen(event["metadata"]["name"], event["firstTimestamp"]),
        )
        record.count += 1
        return record

    def _combine(self, event: Object, identity: Hashable, now: float) -> bool:
        group = self._groups.get(identity, _Group)
        if now - group.last > WINDOW:
            group.messages.clear()
        group.last = now
        group.messages.add(event["message"])
        if len(group.messages) < SIMILAR_EVENTS:
            return False
        # Bounded: the newest message is enough to know that there are many.
        group.messages.pop()
        event["message"] = COMBINED + event["message"]
        return True


def _subject(event: Object) -> Hashable:
    """Who tells of which object. Not in which state: another resourceVersion is no other object."""
    source, about = event["source"], event["involvedObject"]
    return (source.get("component"), source.get("host"), *[about.get(name) for name in _IDENTITY])
