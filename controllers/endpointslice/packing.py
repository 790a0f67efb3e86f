"""Packing: distribute endpoints over slices with as few writes as possible. No I/O.

Slices that need no change are left alone, even if fewer slices would do: every written slice goes to every
node of the cluster. Hints are left out of account here: they are given afterwards (hints.py).

Invariant: each desired endpoint is in exactly one slice afterwards; no slice exceeds the maximum.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

import msgspec

from kplane.api.types import EndpointSlice
from kplane.api.types.discovery import Endpoint

from .endpoints import Desired, Ports

Identity: TypeAlias = tuple[tuple[str, ...], str, str, str]


@dataclass
class Filling:
    """A slice as it should be: an existing one to rewrite, or a new one where `slice` is None."""

    slice: EndpointSlice | None
    ports: Ports
    endpoints: list[Endpoint]


@dataclass
class Packing:
    write: list[Filling] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)


def pack(
    desired: Desired, existing: Sequence[EndpointSlice], labels: Mapping[str, str], maximum: int
) -> Packing:
    """What to write and delete so that the slices (of one address family) hold exactly `desired`."""
    packing = Packing()
    by_ports: dict[Ports, list[EndpointSlice]] = {}
    for entry in existing:
        by_ports.setdefault(frozenset(entry.ports or ()), []).append(entry)
    for ports, slices in by_ports.items():
        if ports not in desired:
            packing.delete += slices
    for ports, endpoints in desired.items():
        _pack_ports(packing, ports, endpoints, by_ports.get(ports, []), labels, maximum)
    _keep_placeholder(packing, existing, labels)
    return _reuse(packing)


def _pack_ports(
    packing: Packing,
    ports: Ports,
    endpoints: Iterable[Endpoint],
    existing: Sequence[EndpointSlice],
    labels: Mapping[str, str],
    maximum: int,
) -> None:
    missing = {identity(endpoint): endpoint for endpoint in endpoints}
    changed: list[Filling] = []
    unchanged: list[Filling] = []
    for entry in existing:
        have = [_without_hints(endpoint) for endpoint in entry.endpoints or ()]
        kept = [found for old in have if (found := missing.pop(identity(old), None))]
        filling = Filling(entry, ports, kept)
        if kept == have and entry.metadata.labels == labels and len(kept) <= maximum:
            unchanged.append(filling)
        elif kept:
            changed.append(filling)
        else:
            packing.delete.append(entry)
    waiting = list(missing.values())
    # Slices that are written anyway take the rest first, the fullest before the others.
    for filling in sorted(changed, key=lambda filling: -len(filling.endpoints)):
        _fill(filling, waiting, maximum)
    while waiting:
        filling = _roomy(unchanged, len(waiting), maximum) or Filling(None, ports, [])
        _fill(filling, waiting, maximum)
        changed.append(filling)
    packing.write += changed


def identity(endpoint: Endpoint) -> Identity:
    """What makes it the same endpoint, whatever its conditions."""
    target = endpoint.target_ref
    who = (target.namespace, target.name) if target else ("", "")
    return endpoint.addresses, endpoint.hostname or "", *who


def _without_hints(endpoint: Endpoint) -> Endpoint:
    return endpoint if endpoint.hints is None else msgspec.structs.replace(endpoint, hints=None)


def unchanged(packing: Packing, existing: Iterable[EndpointSlice]) -> list[EndpointSlice]:
    """The slices that the packing leaves alone."""
    touched = {filling.slice.metadata.name for filling in packing.write if filling.slice}
    touched |= {entry.metadata.name for entry in packing.delete}
    return [entry for entry in existing if entry.metadata.name not in touched]


def worth_writing(packing: Packing, labels: Mapping[str, str]) -> Packing:
    """The packing without rewrites that would change nothing."""
    return Packing([filling for filling in packing.write if _differs(filling, labels)], packing.delete)


def _differs(filling: Filling, labels: Mapping[str, str]) -> bool:
    entry = filling.slice
    return (
        entry is None
        or list(entry.endpoints or ()) != filling.endpoints
        or frozenset(entry.ports or ()) != filling.ports
        or entry.metadata.labels != labels
    )


def _fill(filling: Filling, waiting: list[Endpoint], maximum: int) -> None:
    """Move endpoints from `waiting` into the slice while there is room; what is too many moves out."""
    room = maximum - len(filling.endpoints)
    if room < 0:
        waiting += filling.endpoints[maximum:]
        del filling.endpoints[maximum:]
        return
    filling.endpoints += waiting[:room]
    del waiting[:room]


def _roomy(unchanged: list[Filling], count: int, maximum: int) -> Filling | None:
    """The untouched slice that all `count` endpoints fit into most tightly, taken out of the list."""
    fitting = [filling for filling in unchanged if len(filling.endpoints) + count <= maximum]
    if not fitting:
        return None
    best = max(fitting, key=lambda filling: len(filling.endpoints))
    unchanged.remove(best)
    return best


def _keep_placeholder(packing: Packing, existing: Sequence[EndpointSlice], labels: Mapping[str, str]) -> None:
    """A Service without endpoints has one empty slice, so that readers know that it was looked at."""
    if packing.write or len(existing) > len(packing.delete):
        return
    for entry in packing.delete:
        if not entry.endpoints and not entry.ports and entry.metadata.labels == labels:
            packing.delete.remove(entry)
            return
    packing.write.append(Filling(None, frozenset(), []))


def _reuse(packing: Packing) -> Packing:
    """Rewrite slices instead of deleting them and creating others."""
    for filling in packing.write:
        if filling.slice is None and packing.delete:
            filling.slice = packing.delete.pop()
    return packing
