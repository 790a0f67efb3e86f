"""The admission chain: plug-ins that may change a write (`admit`) or refuse it (`validate`).

Mutating plug-ins run before the strategy prepares the object, validating ones after its validation, so that
the latter see exactly what would be stored. A mutating plug-in may ask for a second round, in which others
see what it changed (`Attributes.reinvocation`).

A plug-in says what it handles; the chain works out once for every sort of request which plug-ins see it, so
that a request pays for those alone. Most plug-ins of most requests have nothing to wait for: then they are
plain functions, since a coroutine for each of them costs more than what they do.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, NamedTuple, Protocol, TypeAlias, runtime_checkable

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


class Sort(NamedTuple):
    """What requests have in common that the same plug-ins see."""

    operation: Operation
    group: str
    plural: str
    subresource: str


@dataclass(frozen=True)
class Handles:
    """The requests that a plug-in sees; see `on`."""

    operations: frozenset[Operation]
    places: frozenset[tuple[str, str, str]]
    """By group, plural and subresource; none: everything."""

    def covers(self, sort: Sort) -> bool:
        if sort.operation not in self.operations:
            return False
        _, group, plural, subresource = sort
        return not self.places or not self.places.isdisjoint(
            ((group, plural, subresource), (group, plural, "*"))
        )


def on(*operations: Operation, to: Sequence[str] = ()) -> Handles:
    """Operations (none: all), and what they are done to: `pods`, `ingresses.networking.k8s.io`,
    `pods/resize`, `pods/*` for the subresources as well as the resource itself; nothing: everything."""
    return Handles(frozenset(operations or Operation), frozenset(map(_place, to)))


def _place(text: str) -> tuple[str, str, str]:
    resource, _, subresource = text.partition("/")
    plural, _, group = resource.partition(".")
    return group, plural, subresource


class Plugin(Protocol):
    """One admission plug-in; it is a Mutator, a Validator, or both."""

    name: str
    handles: Handles


Waiting: TypeAlias = Awaitable[None] | None
"""What a plug-in needs somebody to await before it is done; None: it is done."""


@runtime_checkable
class Mutator(Plugin, Protocol):
    def admit(self, attributes: Attributes) -> Waiting:
        """Change `attributes.object` in place. Raises an ApiError to refuse."""


@runtime_checkable
class Validator(Plugin, Protocol):
    def validate(self, attributes: Attributes) -> Waiting:
        """Change nothing. Raises an ApiError to refuse."""


Work = Callable[[Attributes], Waiting]

SORTS = 4096
"""Of which the chain remembers the plug-ins; custom resources come and go."""


class Step:
    """One phase of admission for one sort of request: what the plug-ins that see it do, in their order."""

    def __init__(self, works: Sequence[Work]) -> None:
        self._works = tuple(works)

    async def run(self, attributes: Attributes) -> None:
        for work in self._works:
            waiting = work(attributes)
            if waiting is not None:
                await waiting


class Chain:
    """The plug-ins in their order."""

    def __init__(self, plugins: Sequence[Plugin] = ()) -> None:
        self._plugins = tuple(plugins)
        self._mutators = tuple(plugin for plugin in plugins if isinstance(plugin, Mutator))
        self._validators = tuple(plugin for plugin in plugins if isinstance(plugin, Validator))
        self._steps: dict[Sort, tuple[Step, Step]] = {}

    @property
    def plugins(self) -> Sequence[Plugin]:
        return self._plugins

    async def admit(self, attributes: Attributes) -> None:
        step, _ = self._steps_of(attributes)
        await step.run(attributes)
        again = attributes.reinvocation
        if again.wanted:
            again.running = True
            await step.run(attributes)

    async def validate(self, attributes: Attributes) -> None:
        _, step = self._steps_of(attributes)
        await step.run(attributes)

    def _steps_of(self, attributes: Attributes) -> tuple[Step, Step]:
        info = attributes.info
        sort = Sort(attributes.operation, info.group, info.plural, attributes.subresource)
        steps = self._steps.get(sort)
        if steps is None:
            if len(self._steps) >= SORTS:
                self._steps.clear()
            steps = self._steps[sort] = self._admitting(sort), self._validating(sort)
        return steps

    def _admitting(self, sort: Sort) -> Step:
        return Step([plugin.admit for plugin in self._mutators if plugin.handles.covers(sort)])

    def _validating(self, sort: Sort) -> Step:
        return Step([plugin.validate for plugin in self._validators if plugin.handles.covers(sort)])
