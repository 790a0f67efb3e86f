"""Tracking of one's own writes that the informer cache has not shown yet.

A controller that has created or deleted children must not count them from the cache before the cache has
caught up: it would create twice. `TrackedWrites` remembers what was written per owner key and tells how
long to wait.

A created child is settled when the cache holds it or has seen its revision (then it came and went). A
deleted one is settled when the cache no longer holds that object, or holds it as being deleted. A create
whose answer was lost may have happened: it is settled when the cache has had time to show it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from kplane.api.clock import Clock
from kplane.api.errors import Conflict, NotFound, ServerTimeout, Timeout, Unreachable
from kplane.api.resource import Key, Object
from kplane.api.types.meta import key_of
from kplane.client.codec import revision_of, uid_of
from kplane.client.informer import Informer
from kplane.client.rest import Client

T = TypeVar("T")

UNCERTAIN_SECONDS = 5.0
"""How long a create without an answer keeps its owner waiting."""


@dataclass(frozen=True, slots=True)
class _Write:
    """One write that has not been seen, until `deadline` (monotonic)."""

    seen: Callable[[], bool]
    deadline: float


class TrackedWrites(Generic[T]):
    """Creates and deletes children of type T on behalf of owners."""

    def __init__(self, client: Client, children: Informer[T], clock: Clock, *, timeout: float = 300) -> None:
        self._client = client
        self._children = children
        self._clock = clock
        self._timeout = timeout
        self._writes: dict[Key, list[_Write]] = {}

    def unsettled(self, owner: Key) -> float | None:
        """None if the cache shows all writes made for this owner. Otherwise seconds after which to look
        again at the latest; a change of a child normally wakes the owner much earlier. A write that is not
        seen for `timeout` seconds is forgotten."""
        now = self._clock.monotonic()
        writes = self._writes.get(owner, ())
        open_writes = [write for write in writes if write.deadline > now and not write.seen()]
        if not open_writes:
            self.forget(owner)
            return None
        self._writes[owner] = open_writes
        return min(write.deadline for write in open_writes) - now

    async def create(self, owner: Key, body: Object, namespace: str = "") -> T:
        try:
            child = await self._client.create(self._children.resource, body, namespace)
        except (Unreachable, Timeout, ServerTimeout):
            self._remember(owner, lambda: False, UNCERTAIN_SECONDS)
            raise
        written: Any = child
        key, revision = key_of(written), revision_of(child)
        self._remember(owner, lambda: self._shows(key, uid_of(child)) or self._reached(revision))
        return child

    async def delete(self, owner: Key, child: Any) -> bool:
        """Delete with a uid precondition. An object that is gone already is no failure; whether it was there
        is the answer."""
        key, uid, there = key_of(child), uid_of(child), False
        # Conflict: another object has taken its name, so the one we meant is gone. The cache still shows it,
        # and must not be counted from until it does not.
        with suppress(NotFound, Conflict):
            await self._client.delete(self._children.resource, key.name, key.namespace, uid=uid)
            there = True
        self._remember(owner, lambda: not self._shows(key, uid) or self._deleting(key))
        return there

    def forget(self, owner: Key) -> None:
        """The owner is gone."""
        self._writes.pop(owner, None)

    def _remember(self, owner: Key, seen: Callable[[], bool], timeout: float | None = None) -> None:
        write = _Write(seen, self._clock.monotonic() + (timeout or self._timeout))
        self._writes.setdefault(owner, []).append(write)

    def _shows(self, key: Key, uid: str) -> bool:
        cached = self._children.get(key)
        return cached is not None and uid_of(cached) == uid

    def _deleting(self, key: Key) -> bool:
        cached: Any = self._children.get(key)
        if isinstance(cached, dict):
            return "deletionTimestamp" in cached["metadata"]
        return cached is not None and cached.metadata.deletion_timestamp is not None

    def _reached(self, revision: str) -> bool:
        seen = self._children.resource_version
        return seen.isdigit() and revision.isdigit() and int(seen) >= int(revision)
