"""The admission chain: plug-ins that may change a write (`admit`) or refuse it (`validate`).

Mutating plug-ins run before the strategy prepares the object, validating ones after its validation, so that
the latter see exactly what would be stored. A mutating plug-in may ask for a second round, in which others
see what it changed (`Attributes.reinvocation`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..auth.user import User


class Operation(StrEnum):
    CREATE = "CREATE"
    UPDATE = "UPDATE"
    DELETE = "DELETE"
    CONNECT = "CONNECT"


def unchanged(obj: Object) -> None:
    """The defaults of kinds that have none."""


def unrecorded(key: str, value: str) -> None:
    """Where audit annotations go while nobody keeps an audit log."""


@dataclass(slots=True)
class Reinvocation:
    """Whether the mutating plug-ins run a second time, and what they must remember until then."""

    wanted: bool = False
    """Set by a plug-in of the first round that changed the object."""
    running: bool = False
    """Whether this is the second round; there is no third."""
    kept: dict[str, Any] = field(default_factory=dict)
    """By the name of the plug-in."""


@dataclass(slots=True)
class Attributes:
    """One write, or one connection (CONNECT), as plug-ins see it. `object` is None for deletions, `old` for
    creations. What is written through a subresource with a kind of its own (Scale, Eviction, Binding) has
    that kind in `kind`, and `info` is still the resource's row."""

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
    kind: ResourceInfo | None = None
    """The row of the object's kind; None where it is that of `info`."""
    asked: Mapping[str, Any] | None = None
    """The options of the request (fieldManager, dryRun, gracePeriodSeconds, …), without their kind."""
    default: Callable[[Object], None] = unchanged
    """Fills in the defaults of an object of this kind, in place; for plug-ins that replace objects."""
    annotate: Callable[[str, str], None] = unrecorded
    """Adds an annotation to the audit event of this request: key and value."""
    reinvocation: Reinvocation = field(default_factory=Reinvocation)

    @property
    def shape(self) -> ResourceInfo:
        """The row of the object's kind."""
        return self.kind or self.info

    @property
    def options(self) -> Object | None:
        """The options object of the operation: CreateOptions, UpdateOptions (for a patch, too) or
        DeleteOptions; a connection has none."""
        if self.operation is Operation.CONNECT:
            return None
        kind = f"{self.operation.capitalize()}Options"
        return {"kind": kind, "apiVersion": "meta.k8s.io/v1", **(self.asked or {})}

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

    @property
    def plugins(self) -> Sequence[Plugin]:
        return self._plugins

    async def admit(self, attributes: Attributes) -> None:
        await self._admit(attributes)
        again = attributes.reinvocation
        if again.wanted:
            again.running = True
            await self._admit(attributes)

    async def _admit(self, attributes: Attributes) -> None:
        for plugin in self._plugins:
            await plugin.admit(attributes)

    async def validate(self, attributes: Attributes) -> None:
        for plugin in self._plugins:
            await plugin.validate(attributes)
