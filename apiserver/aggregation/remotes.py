"""The APIServices as requests see them: which groups and versions other servers serve.

Reads: the watch cache of APIServices, again only after it has changed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from kplane.api.resource import Object

from ..registry.apiservices import AVAILABLE
from ..storage import codec
from ..storage.cache import WatchCache


@dataclass(frozen=True)
class Remote:
    """An APIService with a Service behind it."""

    name: str
    uid: str
    group: str
    version: str
    group_priority: int
    version_priority: int
    namespace: str
    service: str
    port: int
    bundle: str
    """caBundle: base64 of PEM, empty for the system's authorities."""
    insecure: bool
    available: bool

    @property
    def server_name(self) -> str:
        """What its certificate must be valid for."""
        return f"{self.service}.{self.namespace}.svc"

    @property
    def root(self) -> str:
        """The path of its discovery, which every aggregated server has."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"


def read(obj: Object) -> Remote | None:
    """None for an APIService that this server serves itself."""
    spec, metadata = obj["spec"], obj["metadata"]
    service = spec.get("service")
    if not service:
        return None
    return Remote(
        metadata["name"],
        metadata["uid"],
        spec.get("group") or "",
        spec["version"],
        spec["groupPriorityMinimum"],
        spec["versionPriority"],
        service["namespace"],
        service["name"],
        service.get("port") or 443,
        spec.get("caBundle") or "",
        bool(spec.get("insecureSkipTLSVerify")),
        (condition_of(obj) or {}).get("status") == "True",
    )


def condition_of(obj: Object) -> Object | None:
    """The Available condition."""
    conditions = (obj.get("status") or {}).get("conditions") or ()
    return next((entry for entry in conditions if entry.get("type") == AVAILABLE), None)


class Remotes:
    """Every remote APIService, by group and version."""

    def __init__(self, cache: WatchCache) -> None:
        self._cache = cache
        self._seen = -1
        self.generation = 0
        """Counts changes, for those who cache what they derive from this."""
        self._found: Mapping[tuple[str, str], Remote] = {}

    def known(self) -> Mapping[tuple[str, str], Remote]:
        """As of the last `refresh`."""
        return self._found

    async def refresh(self) -> Mapping[tuple[str, str], Remote]:
        """As of now. Raises TooManyRequests until the cache is loaded."""
        if self._seen != self._cache.changes:
            listed = await self._cache.list(at_least=0)
            self._seen = self._cache.changes
            remotes = (read(codec.decode(item.wire)) for item in listed.items)
            self.generation += 1
            self._found = {(remote.group, remote.version): remote for remote in remotes if remote}
        return self._found
