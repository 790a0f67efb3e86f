"""What admission plug-ins may ask the server: cached objects, time, randomness, permissions.

Invariant: objects from here are shared; nobody changes them.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from inspect import isawaitable
from typing import Any

from prometheus_client import CollectorRegistry

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import Forbidden, forbidden
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo

from ..auth.user import User
from ..http.requestinfo import RequestInfo
from ..storage import codec
from ..storage.cache import Selection, WatchCache
from .chain import Attributes

REMEMBERED = 4096
"""Decoded objects, and lists by namespace, that one reader keeps."""

Change = Callable[[Object], Object]
Allows = Callable[[User, RequestInfo], "bool | Awaitable[bool]"]


class Reader:
    """One resource's objects, from its watch cache, decoded once for each revision."""

    def __init__(self, cache: Callable[[], WatchCache]) -> None:
        self._find = cache
        self._found: WatchCache | None = None
        self._objects: dict[str, tuple[int, Object]] = {}
        self._known: dict[tuple[str, str], tuple[int, Object]] = {}
        """By namespace and name, with the count of the cache's changes."""
        self._lists: dict[str, tuple[int, Sequence[Object]]] = {}

    @property
    def _cache(self) -> WatchCache:
        if self._found is None:
            self._found = self._find()
        return self._found

    async def get(self, namespace: str, name: str) -> Object | None:
        """As the cache has it; one that it does not know may have been made a moment ago, so that is looked
        up with a consistent read."""
        found = await self.cached(namespace, name)
        if found is not None:
            return found
        item = await self._cache.get(namespace, name)
        return None if item is None else self._decoded(item.key, item.revision, item.wire)

    def known(self, namespace: str, name: str) -> Object | None:
        """What `get` would give, where nobody has to wait for that; None says nothing."""
        known = self._known.get((namespace, name))
        if known is None or self._found is None or known[0] != self._found.changes:
            return None
        return known[1]

    async def cached(self, namespace: str, name: str) -> Object | None:
        """As the cache has it now."""
        cache = self._cache
        item = await cache.get(namespace, name, at_least=0)
        if item is None:
            return None
        found = self._decoded(item.key, item.revision, item.wire)
        if len(self._known) >= REMEMBERED:
            self._known.clear()
        self._known[namespace, name] = (cache.changes, found)
        return found

    def known_list(self, namespace: str = "") -> Sequence[Object] | None:
        """What `list` would give, where nobody has to wait for that; None says nothing."""
        known = self._lists.get(namespace)
        if known is None or self._found is None or known[0] != self._found.changes:
            return None
        return known[1]

    async def list(self, namespace: str = "") -> Sequence[Object]:
        """All objects (of a namespace), by name. Decoded again only after a change of the resource."""
        cache = self._cache
        await cache.fresh(0)
        known = self._lists.get(namespace)
        if known is not None and known[0] == cache.changes:
            return known[1]
        changes = cache.changes
        listed = await cache.list(Selection(namespace=namespace), at_least=0)
        found = [self._decoded(item.key, item.revision, item.wire) for item in listed.items]
        if len(self._lists) >= REMEMBERED:
            self._lists.clear()
        self._lists[namespace] = (changes, found)
        return found

    def _decoded(self, key: str, revision: int, wire: bytes) -> Object:
        known = self._objects.get(key)
        if known is not None and known[0] == revision:
            return known[1]
        if len(self._objects) >= REMEMBERED:
            self._objects.clear()
        obj = codec.decode(wire)
        self._objects[key] = (revision, obj)
        return obj


async def _cannot_create(group: str, version: str, plural: str, obj: Object) -> None:
    """Where there is nothing to create it in."""


@dataclass(frozen=True)
class AdmissionContext:
    """A plug-in's surroundings."""

    cache: Callable[[str, str, str], WatchCache]
    """By group, version and plural."""
    amend: Callable[[ResourceInfo, Key, Change], Awaitable[Any]]
    """Changes an object as the server itself, by compare-and-swap: neither admission nor validation."""
    row: Callable[[str, str, str], ResourceInfo]
    namespace: Callable[[str], Awaitable[Object | None]]
    clock: Clock
    entropy: Entropy
    allows: Allows
    """Whether a user may do what the request describes."""
    not_ready_seconds: int = 300
    unreachable_seconds: int = 300
    configuration: Callable[[str], Object | None] = lambda name: None
    """A plug-in's part of `--admission-control-config-file`, by the plug-in's name."""
    kind: Callable[[str, str, str], ResourceInfo | None] = lambda *path: None
    """The row of a group, version and kind."""
    create: Callable[[str, str, str, Object], Awaitable[Any]] = _cannot_create
    """Creates a cluster-scoped object as the server itself: group, version, plural and what it says."""
    metrics: CollectorRegistry = field(default_factory=CollectorRegistry)
    """Where plug-ins count."""
    closing: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    """What plug-ins want done when the server closes."""
    _readers: dict[tuple[str, str, str], Reader] = field(default_factory=dict)

    def read(self, plural: str, group: str = "", version: str = "v1") -> Reader:
        """The reader of a resource; plug-ins share it."""
        key = (group, version, plural)
        if key not in self._readers:
            self._readers[key] = Reader(lambda: self.cache(*key))
        return self._readers[key]

    async def may(self, user: User, verb: str, group: str, resource: str, name: str) -> bool:
        """Whether the user may do that to a cluster-scoped object."""
        info = RequestInfo(verb, "", "", {}, group=group, version="*", resource=resource, name=name)
        return await self.decide(user, info)

    async def decide(self, user: User, info: RequestInfo) -> bool:
        """Whether the user may do what the request describes."""
        verdict = self.allows(user, info)
        return await verdict if isawaitable(verdict) else bool(verdict)


def refused(attributes: Attributes, why: str) -> Forbidden:
    """403 as upstream's plug-ins give it (`admission.NewForbidden`)."""
    info = attributes.info
    return forbidden(info.plural, info.group, attributes.shown_name or "Unknown", why)


def aggregate(texts: Sequence[str]) -> str:
    """Several faults in one message, each once, as upstream joins them."""
    once = list(dict.fromkeys(texts))
    return once[0] if len(once) == 1 else f"[{', '.join(once)}]"


def concerns(attributes: Attributes, plural: str, group: str = "") -> bool:
    """Whether the request is about this resource itself and none of its subresources."""
    info = attributes.info
    return info.plural == plural and info.group == group and not attributes.subresource
