"""What a write is made of: its author, its change, what it claims, and its result."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

from kplane.api.clock import Clock, Entropy
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..admission.chain import Chain, unrecorded
from ..auth.user import User
from ..storage.store import Store

Change: TypeAlias = Callable[[Object], Object]
"""From the object as it is (the callee's own copy) to the object as the client wants it."""

Claim: TypeAlias = Callable[[Object | None, Object | None, bool], AbstractAsyncContextManager[None]]
"""`claim(new, old, dry_run)`: claims what `new` needs and fills it in (raises ApiError where it cannot);
on leaving normally gives back what only `old` had, on an exception what was claimed."""


def no_claim(new: Object | None, old: Object | None, dry_run: bool) -> AbstractAsyncContextManager[None]:
    return nullcontext()


@dataclass(frozen=True, slots=True)
class Author:
    """Who writes, and how seriously."""

    user: User
    warn: Callable[[str], None]
    dry_run: bool = False
    manager: str | None = None
    """The field manager that the write is recorded for; None for what the server itself writes."""
    subresource: str = ""
    """The endpoint that was written to; empty for the object's own."""
    applies: bool = False
    """Whether the object that is written already says who manages its fields: it is applied."""
    options: Mapping[str, Any] | None = None
    """The request's options (dryRun, fieldManager, gracePeriodSeconds, …), for admission."""
    annotate: Callable[[str, str], None] = unrecorded
    """Adds an annotation to the audit event of the request: key and value."""


@dataclass(frozen=True, slots=True)
class View:
    """A subresource with a kind of its own through which the object is changed: `deployments/scale`. What
    admission sees is the view."""

    subresource: str
    kind: ResourceInfo
    show: Change
    """The view of an object."""
    apply: Callable[[Object, Object], Object]
    """(object, view) -> the object as the view wants it."""


@dataclass(frozen=True, slots=True)
class Backing:
    """What all registries of a server share."""

    store: Store
    admission: Chain
    clock: Clock
    entropy: Entropy


class Written(NamedTuple):
    """The object after a write, as wire bytes."""

    wire: bytes
    created: bool = False


class Removed(NamedTuple):
    """The object after DELETE, or as it was last; `gone` tells which."""

    wire: bytes
    gone: bool
