"""The parameters of a binding: objects of the policy's paramKind, built-in or custom, from the watch caches.

Rules and texts: apiserver `admission/plugin/policy/generic` (`CollectParams`).
Invariant: objects from here are shared; nobody changes them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ...registry.generic import Registry
from ...storage import codec
from ...storage.cache import Item, Selection
from .source import ParamKind, ParamRef

REMEMBERED = 1024
NOT_FOUND = "no params found for policy binding with `Deny` parameterNotFoundAction"
CLUSTER_SCOPED_REQUEST = (
    "cannot use namespaced paramRef in policy binding that matches cluster-scoped resources"
)
CLUSTER_SCOPED_KIND = "paramRef.namespace must not be provided for a cluster-scoped `paramKind`"


class Misconfigured(Exception):
    """A policy or a binding cannot be evaluated as it is; the text is upstream's."""


class Params:
    """Finds parameters, and keeps them decoded as long as they do not change."""

    def __init__(self, registry: Callable[[ResourceInfo], Registry]) -> None:
        self._registry = registry
        self._decoded: dict[tuple[str, str], tuple[int, Object]] = {}
        """By API version and key, with the revision."""
        self._selected: dict[tuple[str, str, ParamRef], tuple[Registry, int, Sequence[Object]]] = {}

    async def collect(
        self, kind: ParamKind | None, row: ResourceInfo | None, ref: ParamRef | None, namespace: str
    ) -> Sequence[Object | None]:
        """One after the other, the policy is evaluated with each; `row` is the resource of `kind`,
        `namespace` the request's. Without parameters, that is once with none. Raises Misconfigured."""
        if kind is None or ref is None:
            return (None,)
        if row is None or not row.storage_prefix:
            # Of reviews and their like, nothing is kept that could be a parameter.
            version = f"{kind.group}/{kind.version}" if kind.group else kind.version
            shown = f"&ParamKind{{APIVersion:{version},Kind:{kind.kind},}}"
            raise Misconfigured(f"paramKind kind `{shown}` not yet synced to use for admission")
        namespace = _namespace(row, ref, namespace)
        registry = self._registry(row)
        if ref.selector is not None:
            found = await self._select(registry, namespace, ref)
        else:
            found = await self._get(registry, namespace, ref.name)
        if not found and ref.required:
            raise Misconfigured(NOT_FOUND)
        return found

    async def _get(self, registry: Registry, namespace: str, name: str) -> Sequence[Object]:
        cache = registry.cache
        # One that the cache does not know may have been made a moment ago.
        item = await cache.get(namespace, name, at_least=0) or await cache.get(namespace, name)
        return [] if item is None else [await self._decode(registry, item)]

    async def _select(self, registry: Registry, namespace: str, ref: ParamRef) -> Sequence[Object]:
        cache, selector = registry.cache, ref.selector
        assert selector is not None
        await cache.fresh(0)
        key = registry.info.api_version, namespace, ref
        known = self._selected.get(key)
        if known is not None and known[0] is registry and known[1] == cache.changes:
            return known[2]
        selection = Selection(namespace, predicate=lambda item: selector.matches(item.labels))
        listed = await cache.list(selection, at_least=0)
        changes = cache.changes
        found = [await self._decode(registry, item) for item in listed.items]
        if len(self._selected) >= REMEMBERED:
            self._selected.clear()
        self._selected[key] = registry, changes, found
        return found

    async def _decode(self, registry: Registry, item: Item) -> Object:
        key = registry.info.api_version, item.key
        known = self._decoded.get(key)
        if known is not None and known[0] == item.revision:
            return known[1]
        obj = codec.decode(await registry.served(item.wire))
        if len(self._decoded) >= REMEMBERED:
            self._decoded.clear()
        self._decoded[key] = item.revision, obj
        return obj


def _namespace(row: ResourceInfo, ref: ParamRef, namespace: str) -> str:
    """Where to look. Raises Misconfigured."""
    if not row.namespaced:
        if ref.namespace:
            raise Misconfigured(CLUSTER_SCOPED_KIND)
        return ""
    if not ref.namespace and not namespace:
        raise Misconfigured(CLUSTER_SCOPED_REQUEST)
    return ref.namespace or namespace
