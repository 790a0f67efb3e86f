"""What differs per resource: the base Strategy, whose every method does nothing.

A strategy is pure: no I/O, no clock. The generic registry alone fixes the order of a request:

    decode and schema check -> default -> record managers -> mutating admission
    -> prepare_create / prepare_update -> validate -> validating admission
    -> encode -> compare-and-swap -> respond

`default` and `prepare_*` change the object in place; `validate*` change nothing and report every fault.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from kplane.api import names
from kplane.api.field import ROOT, FieldError, Path
from kplane.api.names import NameRule
from kplane.api.resource import Object

from ..auth.user import User
from .podspec.warnings import pod_warnings


@dataclass(frozen=True)
class Subresource:
    """An object-shaped subresource, such as `status`: which part of the object a write to it may change."""

    name: str
    owns: tuple[str, ...]
    """Top-level fields that a write through this subresource takes from the request; everything else is
    kept as stored. Writes to the resource itself keep these fields as stored."""
    shares: tuple[str, ...] = ()
    """Top-level fields of which `restrict` leaves only a part to the request. Writes to the resource itself
    may change them too."""
    restrict: Callable[[Object, Object], None] | None = None
    """`restrict(new, old)` puts back, within the fields above, what this endpoint does not write."""
    validate: Callable[[Object, Object, Path], Iterator[FieldError]] | None = None
    """Faults of a write through this subresource; None: the strategy's `validate_status`."""
    warnings: Callable[[Object], Iterator[str]] | None = None
    """Texts for `Warning:` headers of such a write."""


STATUS = Subresource("status", ("status",))


def changed(new: Object, old: Object) -> bool:
    """Whether more than metadata and status differs: upstream counts a generation then."""
    return bool(new["metadata"].get("generation") != old["metadata"].get("generation"))


class Strategy:
    """Rules of one resource. Subclass and override what differs."""

    subresources: tuple[Subresource, ...] = ()
    """Subresources that read and write (part of) the object itself."""

    allow_create_on_update = False
    """Whether PUT and server-side apply may create."""

    graceful = False
    """Whether DELETE may leave the object terminating until it is deleted with grace period 0."""

    ttl: int = 0
    """Seconds that an object is kept after its last write; 0 for ever."""

    selectable: tuple[str, ...] = ()
    """Field selectors beyond metadata.name and metadata.namespace, e.g. `spec.nodeName`."""

    fields_read: tuple[str, ...] = ()
    """The paths that `fields` looks at, so that no more of each change is decoded; empty for all of it."""

    unselectable = "field label not supported: {field}"
    """What is said of other fields, where the kind has `selectable` ones."""

    aliases: Mapping[str, str] = MappingProxyType({})
    """Old names of selectable fields."""

    immutable_spec_generation = False
    """True for kinds without metadata.generation."""

    labels_count = False
    """Whether a change of labels alone counts a generation, too."""

    name_rule: NameRule = staticmethod(names.dns_subdomain)
    """What metadata.name must obey; `metadata.py` applies it."""

    pod_template: tuple[str, ...] = ()
    """Where the template is, of a kind that makes pods from one."""

    warns_updates = True
    """Whether changes warn as creation does; not where machines write often (pods)."""

    warns_always = False
    """Whether also those updates warn that change no more than metadata."""

    unconditional_update = True
    """Whether PUT without a resourceVersion is accepted."""

    orphans_by_default = False
    """Whether DELETE without a propagation policy leaves dependents behind (Jobs, ReplicationControllers)."""

    collectable = True
    """Whether the garbage collector handles its dependents; if not, DELETE ignores propagation policies."""

    def default(self, obj: Object) -> None:
        """Fill in upstream's defaults."""

    def prepare_create(self, obj: Object) -> None:
        """Drop what a client may not set (status), set what only the server sets."""

    def prepare_update(self, new: Object, old: Object) -> None:
        """Restore what this write may not change."""

    def prepare_status(self, new: Object, old: Object) -> None:
        """Restore what a write to an object-shaped subresource may not change."""

    def stamp(self, new: Object, old: Object | None, user: User, now: str) -> None:
        """Record who writes and when, where the kind does; `old` is None for a new object. Runs before
        `prepare_create`, and after the other `prepare_*`."""

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        """Every fault of a new object, beyond what the schema says."""
        yield from ()

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        """Faults of the new state of an object: those of a new one, unless old ones are tolerated."""
        yield from self.validate(new, path)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        """Faults of a change: immutable fields and forbidden transitions. `validate` runs as well."""
        yield from ()

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        """Faults of a write to the status subresource."""
        yield from ()

    def warnings(self, obj: Object) -> Iterator[str]:
        """Texts for `Warning:` headers of a write that creates the object."""
        template: Any = obj
        path = ROOT
        for name in self.pod_template:
            template, path = (template or {}).get(name), path.child(name)
        if self.pod_template and template:
            yield from pod_warnings(template, path)

    def early_warnings(self, obj: Object) -> Iterator[str]:
        """Texts about what `prepare_create` is going to change; they are told even of what is refused."""
        return iter(())

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        """Texts for a write that changed the object, not through a subresource."""
        if self.warns_always or (self.warns_updates and changed(new, old)):
            yield from self.warnings(new)

    def grace_period(self, obj: Object, asked: int | None) -> int:
        """Seconds of graceful deletion for a DELETE that asked for `asked`; 0 deletes at once."""
        return 0

    def mark_deleting(self, obj: Object) -> None:
        """What else changes when metadata.deletionTimestamp is set, e.g. a namespace's phase."""

    def blockers(self, obj: Object) -> Sequence[str]:
        """What must be gone before a deleted object goes away, besides metadata.finalizers; a kind that has
        any of its own (a namespace's spec.finalizers) is marked as deleting by the first DELETE."""
        return ()

    def fields(self, obj: Object) -> Mapping[str, str]:
        """Values of the `selectable` fields."""
        return {}
