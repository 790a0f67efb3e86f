"""What the ServiceCIDR objects say about where cluster addresses come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from ipaddress import ip_network

from kplane.api.resource import Object

from ..storage import codec
from .addresses import Network
from .generic import Registry

DEFAULT = "kubernetes"
"""The one that the server's own flags make."""


class ServiceCIDRs:
    """Those of this moment."""

    def __init__(self, registry: Callable[[str, str, str], Registry]) -> None:
        self._registry = registry

    async def ready(self) -> Sequence[Network]:
        """The networks that new addresses may come from; the default ones first."""
        return networks(obj for obj in await self._all() if is_ready(obj))

    async def known(self) -> Sequence[Network]:
        """The networks that addresses may be in."""
        return networks(await self._all())

    async def _all(self) -> list[Object]:
        cache = self._registry("networking.k8s.io", "v1", "servicecidrs").cache
        return [codec.decode(item.wire) for item in (await cache.list()).items]


def networks(objects: Iterable[Object]) -> list[Network]:
    ordered = sorted(objects, key=lambda obj: obj["metadata"]["name"] != DEFAULT)
    texts = (text for obj in ordered for text in (obj.get("spec") or {}).get("cidrs") or ())
    # The same network may be in several objects.
    return [ip_network(text, strict=False) for text in dict.fromkeys(texts)]


def is_ready(obj: Object) -> bool:
    """One that nobody has judged yet is: the controller that judges may not run."""
    if obj["metadata"].get("deletionTimestamp"):
        return False
    conditions = (obj.get("status") or {}).get("conditions") or ()
    ready = next((entry for entry in conditions if entry.get("type") == "Ready"), None)
    return ready is None or ready.get("status") == "True"
