"""Objects that parts of the server itself need: who somebody is, where a Service leads, what a policy says.

From the watch caches, never from the store. Elsewhere: what clients read (`http/`).
"""

from __future__ import annotations

from collections.abc import Callable

from kplane.api.resource import Object

from .admission.matching import ADMISSION_GROUP
from .registry.generic import Registry
from .storage import codec
from .storage.cache import Item, Selection
from .webhooks.services import SERVICE_NAME_LABEL


class Reads:
    """`registry` finds the registry of a group, version and plural."""

    def __init__(self, registry: Callable[[str, str, str], Registry]) -> None:
        self._registry = registry

    async def namespace(self, name: str) -> Object | None:
        wire = await self.credential("namespaces", "", name)
        return codec.decode(wire) if wire else None

    async def credential(self, plural: str, namespace: str, name: str) -> bytes | None:
        """What the cache does not know may have been created a moment ago: then the cache catches up."""
        cache = self._registry("", "v1", plural).cache
        item = await cache.get(namespace, name, at_least=0) or await cache.get(namespace, name)
        return item.wire if item else None

    async def service(self, namespace: str, name: str) -> Object | None:
        item = await self._registry("", "v1", "services").cache.get(namespace, name, at_least=0)
        return codec.decode(item.wire) if item else None

    async def slices(self, namespace: str, service: str) -> list[Object]:
        """The EndpointSlices of a Service."""

        def belongs(item: Item) -> bool:
            return item.labels.get(SERVICE_NAME_LABEL) == service

        cache = self._registry("discovery.k8s.io", "v1", "endpointslices").cache
        listed = await cache.list(Selection(namespace=namespace, predicate=belongs), at_least=0)
        return [codec.decode(item.wire) for item in listed.items]

    async def policy(self, plural: str, name: str) -> Object | None:
        """An admission policy."""
        item = await self._registry(ADMISSION_GROUP, "v1", plural).cache.get("", name)
        return codec.decode(item.wire) if item else None

    async def wire(self, plural: str, namespace: str, name: str) -> bytes | None:
        """An object of the core group as it is now, as JSON."""
        item = await self._registry("", "v1", plural).cache.get(namespace, name)
        return item.wire if item else None

    async def object(self, plural: str, namespace: str, name: str) -> Object | None:
        wire = await self.wire(plural, namespace, name)
        return codec.decode(wire) if wire else None
