"""The newest known state of objects that a controller writes itself.

The cache lags behind own writes; a decision on the older state would only meet a Conflict. What the server
answered to a write stands in until the cache has caught up. TrackedWrites does the same for children that are
created and deleted.

Invariant: an answer is never older than the cached object it stands in for.
"""

from __future__ import annotations

from typing import Generic, TypeVar

from kplane.api.resource import Key
from kplane.api.types import View
from kplane.client.informer import Informer

V = TypeVar("V", bound=View)


class Latest(Generic[V]):
    """Answers to own writes, until `informer` shows them."""

    def __init__(self, informer: Informer[V]) -> None:
        self._informer = informer
        self._written: dict[Key, V] = {}
        informer.on_change(self._seen)

    def of(self, cached: V) -> V:
        """The object as it is, as far as this process knows."""
        return self._written.get(cached.key, cached)

    def get(self, key: Key) -> V | None:
        """The object of this key, also if this process created it and the cache does not have it yet."""
        return self._written.get(key) or self._informer.get(key)

    def created(self, answer: V) -> None:
        """Remember an object that this process has just created."""
        if self._informer.get(answer.key) is None:
            self._written[answer.key] = answer

    def forget(self, key: Key) -> None:
        """The server says that the object is not what was remembered."""
        self._written.pop(key, None)

    def wrote(self, answer: V) -> V:
        """Remember what the server answered to an update or a patch."""
        cached = self._informer.get(answer.key)
        if cached is not None and _revision(cached) < _revision(answer):
            self._written[answer.key] = answer
        return answer

    def _seen(self, old: V | None, new: V | None) -> None:
        changed = new if new is not None else old
        if changed is None:
            return
        written = self._written.get(changed.key)
        if written is not None and (new is None or _revision(new) >= _revision(written)):
            del self._written[changed.key]


def _revision(obj: View) -> int:
    """Revisions are comparable as numbers (KEP-5504)."""
    return int(obj.metadata.resource_version)
