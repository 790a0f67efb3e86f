"""The admission chain: plug-ins that may change a write (`admit`) or refuse it (`validate`).

Mutating plug-ins run before the strategy prepares the object, validating ones after its validation, so that
the latter see exactly what would be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..auth.user import User


class Operation(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


@dataclass(slots=True)
class Attributes:
    """One write, as plug-ins see it. `object` is None for deletions, `old` for creations."""

    operation: Operation
    info: ResourceInfo
    subresource: str
    namespace: str
    name: str
    object: Object | None
    old: Object | None
    user: User
    dry_run: bool
    warn: Callable[[str], None]
    """Adds a `Warning:` header to the response."""

    @property
    def shown_name(self) -> str:
        """The name for error messages: that of the object, or what it is to be generated from."""
        if self.name or self.object is None:
            return self.name
        metadata = self.object.get("metadata") or {}
        return metadata.get("name") or metadata.get("generateName") or ""


class Plugin(Protocol):
    """One admission plug-in. Both methods raise an ApiError to refuse."""

    name: str

    async def admit(self, attributes: Attributes) -> None:
        """Change `attributes.object` in place."""

    async def validate(self, attributes: Attributes) -> None:
        """Change nothing."""


class Chain:
    """The plug-ins in their order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)

    async def admit(self, attributes: Attributes) -> None:
        for plugin in self._plugins:
            await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        for plugin in self._plugins:
            await plugin.validate(attributes)
