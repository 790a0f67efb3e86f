"""The cache inside an informer: objects by key, indexes over them, and the handlers that hear of changes.

Every change goes through `apply` or `replace`: the cache holds it first, then the handlers are told, so that
what they have heard always adds up to what the cache holds. No I/O, no tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeAlias, TypeVar

from kplane.api.resource import Key
from kplane.client.codec import revision_of, uid_of

T = TypeVar("T")

Handler: TypeAlias = Callable[[T | None, T | None], None]
"""Called with (old, new): (None, x) added, (x, y) changed, (x, None) deleted. After a re-list the
differences are delivered the same way."""

OWNER = "controller owner's uid"
"""Name of the built-in index behind `owned_by`; made when it is first asked for."""

NAMESPACE = "namespace"


class Index(Generic[T]):
    """Objects by the values that a function finds in them."""

    def __init__(self, values: Callable[[T], Iterable[str]]) -> None:
        self._values = values
        self._entries: dict[str, dict[Key, T]] = {}

    def get(self, value: str) -> Sequence[T]:
        return list(self._entries.get(value, {}).values())

    def put(self, key: Key, old: T | None, new: T | None) -> None:
        if old is not None:
            self._remove(key, old)
        if new is not None:
            for value in self._values(new):
                self._entries.setdefault(value, {})[key] = new

    def _remove(self, key: Key, old: T) -> None:
        for value in self._values(old):
            entry = self._entries.get(value, {})
            entry.pop(key, None)
            if not entry:
                self._entries.pop(value, None)


class Cache(Generic[T]):
    """Objects of one resource as far as they are known."""

    def __init__(self) -> None:
        self._objects: dict[Key, T] = {}
        self._indexes: dict[str, Index[T]] = {}
        self._handlers: list[Handler[T]] = []

    def get(self, key: Key) -> T | None:
        return self._objects.get(key)

    def list(self, namespace: str | None = None) -> Sequence[T]:
        if namespace is None:
            return [*self._objects.values()]
        if NAMESPACE not in self._indexes:
            self.add_index(NAMESPACE, namespace_of)
        return self._indexes[NAMESPACE].get(namespace)

    def add_index(self, name: str, values: Callable[[T], Iterable[str]]) -> None:
        index = self._indexes[name] = Index(values)
        for key, obj in self._objects.items():
            index.put(key, None, obj)

    def by_index(self, name: str, value: str) -> Sequence[T]:
        return self._indexes[name].get(value)

    def owned_by(self, uid: str) -> Sequence[T]:
        if OWNER not in self._indexes:
            self.add_index(OWNER, controller_uid)
        return self._indexes[OWNER].get(uid)

    def on_change(self, handler: Handler[T]) -> None:
        self._handlers.append(handler)
        for obj in [*self._objects.values()]:
            handler(None, obj)

    def off_change(self, handler: Handler[T]) -> None:
        """Call it no more."""
        self._handlers = [each for each in self._handlers if each != handler]

    def apply(self, key: Key, new: T | None) -> None:
        """Take the newest state of one object, None if it is gone. What is known already is no change."""
        old = self._objects.get(key)
        if old is None and new is None:
            return
        if old is not None and new is not None:
            if uid_of(old) != uid_of(new):
                # Deleted and made anew while nobody looked: two objects, so two changes.
                self.apply(key, None)
                self.apply(key, new)
                return
            if revision_of(old) == revision_of(new):
                return
        self._store(key, old, new)
        for handler in self._handlers:
            handler(old, new)

    def replace(self, objects: Mapping[Key, T]) -> None:
        """Take a whole new state; only the differences are delivered, deletions first."""
        for key in [key for key in self._objects if key not in objects]:
            self.apply(key, None)
        for key, obj in objects.items():
            self.apply(key, obj)

    def _store(self, key: Key, old: T | None, new: T | None) -> None:
        if new is None:
            del self._objects[key]
        else:
            self._objects[key] = new
        for index in self._indexes.values():
            index.put(key, old, new)


def namespace_of(obj: Any) -> tuple[str]:
    if isinstance(obj, dict):
        return (obj["metadata"].get("namespace", ""),)
    return (obj.metadata.namespace,)


def controller_uid(obj: Any) -> tuple[str, ...]:
    """The uid of the owner that manages an object, if it has one."""
    if not isinstance(obj, dict):
        owner = obj.metadata.controller
        return (owner.uid,) if owner else ()
    owners = obj["metadata"].get("ownerReferences") or ()
    return tuple(owner["uid"] for owner in owners if owner.get("controller"))
