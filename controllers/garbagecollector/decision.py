"""What to do with an object, given what became of its owners. No I/O."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, TypeAlias

from kplane.api.types import OwnerReference, PartialObjectMetadata

from .graph import FOREGROUND, ORPHAN, Node

Policy: TypeAlias = Literal["Background", "Foreground", "Orphan"]


class Fate(Enum):
    """What became of an owner."""

    SOLID = "exists"
    DANGLING = "does not exist"
    WAITING = "is being deleted, and waits for its dependents"


@dataclass(frozen=True)
class Keep:
    """It has an owner, or never had one."""


@dataclass(frozen=True)
class DropOwners:
    """It has an owner; the references to others only hold up the latter."""

    uids: Sequence[str]


@dataclass(frozen=True)
class Delete:
    """It has lost its owners. `unblock` first: it is part of a circle whose members wait for each other."""

    policy: Policy
    unblock: bool = False


Decision: TypeAlias = Keep | DropOwners | Delete


def decide(node: Node, latest: PartialObjectMetadata, fates: Mapping[str, Fate]) -> Decision:
    """`fates` tells of each owner in `latest`, by uid."""
    owners: Sequence[OwnerReference] = latest.metadata.owner_references
    if not owners:
        return Keep()
    if any(fate is Fate.SOLID for fate in fates.values()):
        useless = [uid for uid, fate in fates.items() if fate is not Fate.SOLID]
        return DropOwners(useless) if useless else Keep()
    if node.dependents and any(fate is Fate.WAITING for fate in fates.values()):
        circle = any(dependent.waits_for_dependents for dependent in node.dependents)
        return Delete("Foreground", unblock=circle)
    return Delete(_policy(latest.metadata.finalizers))


def _policy(finalizers: Sequence[str]) -> Policy:
    """An object that is to go keeps to what its finalizers say about its own dependents."""
    if ORPHAN in finalizers:
        return "Orphan"
    return "Foreground" if FOREGROUND in finalizers else "Background"
