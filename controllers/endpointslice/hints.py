"""Hints: for which zones and nodes an endpoint is meant. Plain functions, a memory of allocations, no I/O.

Two ways to ask for them: `spec.trafficDistribution` (KEP-4444, KEP-3015: each endpoint for its own zone or
node), and the annotation `service.kubernetes.io/topology-mode: Auto` (KEP-2433: zones in proportion to their
CPU), which wins where both are there.

Invariant: afterwards either every ready endpoint has a hint, or none has; others never have one. (With
`trafficDistribution` those have none whose place is not known.)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, TypeAlias

import msgspec

from kplane.api.resource import Key
from kplane.api.types import EndpointSlice, Node, Service
from kplane.api.types.discovery import Endpoint, EndpointHints, ForNode, ForZone

from . import zones
from .packing import Filling, Packing, unchanged
from .zones import Allocation, Shares

TOPOLOGY_MODE = "service.kubernetes.io/topology-mode"
OLD_TOPOLOGY_MODE = "service.kubernetes.io/topology-aware-hints"
SAME_NODE = "PreferSameNode"
DISTRIBUTIONS = ("PreferClose", "PreferSameZone", SAME_NODE)

HintsOf: TypeAlias = Callable[[Endpoint], EndpointHints | None]


@dataclass(frozen=True)
class Notice:
    """Something to tell about a Service, as an Event."""

    kind: Literal["Normal", "Warning"]
    reason: str
    text: str


def automatic(service: Service) -> bool:
    """Whether the annotation asks for hints; its older name comes first."""
    annotations = service.metadata.annotations
    mode = annotations.get(OLD_TOPOLOGY_MODE, annotations.get(TOPOLOGY_MODE))
    return mode in ("Auto", "auto")


def distribution(service: Service) -> str:
    """The `trafficDistribution` that is in force; empty for none."""
    wanted = service.spec.traffic_distribution
    return wanted if wanted in DISTRIBUTIONS and not automatic(service) else ""


def distribute(packing: Packing, existing: Sequence[EndpointSlice], wanted: str) -> None:
    """Give each endpoint the hints that this `trafficDistribution` means; an empty one takes hints away."""
    _give(packing, existing, _near(node_too=wanted == SAME_NODE) if wanted else _none)


def _none(endpoint: Endpoint) -> None:
    return None


def _near(*, node_too: bool) -> HintsOf:
    def hints(endpoint: Endpoint) -> EndpointHints | None:
        return _place(endpoint.zone, endpoint.node_name if node_too else None)

    return hints


@lru_cache(maxsize=1 << 14)
def _place(zone: str | None, node: str | None) -> EndpointHints | None:
    if zone is None and node is None:
        return None
    return EndpointHints(
        for_zones=() if zone is None else (ForZone(name=zone),),
        for_nodes=() if node is None else (ForNode(name=node),),
    )


def _give(packing: Packing, existing: Sequence[EndpointSlice], hints_of: HintsOf) -> None:
    for entry in unchanged(packing, existing):
        endpoints = entry.endpoints or ()
        if any(endpoint.hints != _if_ready(endpoint, hints_of) for endpoint in endpoints):
            packing.write.append(_rewritten(entry))
    for filling in packing.write:
        filling.endpoints = [_hinted(end, _if_ready(end, hints_of)) for end in filling.endpoints]


def _if_ready(endpoint: Endpoint, hints_of: HintsOf) -> EndpointHints | None:
    return hints_of(endpoint) if endpoint.conditions.ready else None


def _hinted(endpoint: Endpoint, hints: EndpointHints | None) -> Endpoint:
    return endpoint if endpoint.hints == hints else msgspec.structs.replace(endpoint, hints=hints)


def _rewritten(entry: EndpointSlice) -> Filling:
    return Filling(entry, frozenset(entry.ports or ()), list(entry.endpoints or ()))


class Topology:
    """Which Services have hints by the annotation, and for which zones. Kept in memory only."""

    def __init__(self) -> None:
        self._shares: Shares | None = None
        self._allocated: dict[Key, dict[str, Mapping[str, int]]] = {}
        """Service -> address family -> zone -> endpoints."""
        self._enabled: set[Key] = set()
        self._refused: set[Key] = set()
        """Services that ask for hints and cannot have them."""

    @property
    def in_use(self) -> bool:
        """Whether any Service asks for such hints."""
        return bool(self._allocated or self._refused)

    def set_nodes(self, nodes: Iterable[Node]) -> list[Key]:
        """Take the nodes as they are; returns the Services to look at again."""
        before, self._shares = self._shares, zones.shares(nodes)
        keys = [
            key
            for key, families in self._allocated.items()
            if any(zones.overloaded(allocated, self._shares) for allocated in families.values())
        ]
        return keys if before == self._shares else [*keys, *self._refused]

    def hint(
        self, key: Key, family: str, packing: Packing, existing: Sequence[EndpointSlice]
    ) -> list[Notice]:
        """Add hints, changing as few slices as possible, or take them all away and tell why."""
        slices = unchanged(packing, existing)
        drafts = [filling.endpoints for filling in packing.write]
        drafts += [list(entry.endpoints or ()) for entry in slices]
        allocations = zones.allocate(self._shares, sum(len(_ready(draft)) for draft in drafts))
        if isinstance(allocations, str):
            return self._refuse(key, family, packing, existing, allocations)
        allocated = _keep(packing, slices, allocations)
        written = [end for filling in packing.write for end in _ready(filling.endpoints)]
        if not all(endpoint.zone for endpoint in written):
            text = "One or more endpoints do not have a zone specified"
            return self._refuse(key, family, packing, existing, text)
        _allocate(packing, allocations, allocated)
        enabled = key in self._enabled
        self._allocated.setdefault(key, {})[family] = allocated
        self._enabled.add(key)
        self._refused.discard(key)
        if enabled:
            return []
        return [
            _notice("Normal", "TopologyAwareHintsEnabled", "Topology Aware Hints has been enabled", family)
        ]

    def _refuse(
        self, key: Key, family: str, packing: Packing, existing: Sequence[EndpointSlice], why: str
    ) -> list[Notice]:
        self.remove(key, family)
        self._refused.add(key)
        _give(packing, existing, _none)
        return [_notice("Warning", "TopologyAwareHintsDisabled", why, family)]

    def end(self, key: Key, family: str) -> list[Notice]:
        """The Service does not ask for such hints (any more)."""
        enabled = key in self._enabled
        self.remove(key, family)
        self._refused.discard(key)
        text = "Topology Aware Hints has been disabled"
        return [_notice("Warning", "TopologyAwareHintsDisabled", text, family)] if enabled else []

    def remove(self, key: Key, family: str) -> None:
        """There are no hints in this family's slices."""
        families = self._allocated.get(key, {})
        families.pop(family, None)
        if not families:
            self._allocated.pop(key, None)
        self._enabled.discard(key)

    def forget(self, key: Key) -> None:
        """The Service is gone."""
        self._allocated.pop(key, None)
        self._enabled.discard(key)
        self._refused.discard(key)


def _notice(kind: Literal["Normal", "Warning"], reason: str, text: str, family: str) -> Notice:
    return Notice(kind, reason, f"{text}, addressType: {family}")


def _ready(endpoints: Iterable[Endpoint]) -> list[Endpoint]:
    return [endpoint for endpoint in endpoints if endpoint.conditions.ready]


def _keep(
    packing: Packing, slices: Iterable[EndpointSlice], allocations: Mapping[str, Allocation]
) -> Counter[str]:
    """Count the hints of slices that can stay as they are; the others are to be written."""
    allocated: Counter[str] = Counter()
    for entry in slices:
        have = _hints_of(entry, allocations)
        if have is None or any(
            allocated[zone] + number > allocations[zone].maximum for zone, number in have.items()
        ):
            packing.write.append(_rewritten(entry))
        else:
            allocated += have
    return allocated


def _hints_of(entry: EndpointSlice, allocations: Mapping[str, Allocation]) -> Counter[str] | None:
    """Hints by zone; None where one is missing, or for a zone that gets none, or stands where none may."""
    found: Counter[str] = Counter()
    for endpoint in entry.endpoints or ():
        hinted = [zone.name for zone in (endpoint.hints.for_zones if endpoint.hints else ()) or ()]
        if bool(hinted) != bool(endpoint.conditions.ready) or not allocations.keys() >= set(hinted):
            return None
        found.update(hinted)
    return found


def _allocate(packing: Packing, allocations: Mapping[str, Allocation], allocated: Counter[str]) -> None:
    """Hint the endpoints that are written: for their own zone, but where another zone needs them more.
    `allocated` holds the hints of slices that stay, and in the end all."""
    _give(packing, (), _near(node_too=False))
    ready = (end for filling in packing.write for end in _ready(filling.endpoints))
    allocated.update(end.zone for end in ready if end.zone)
    giving, receiving = zones.transfers(allocations, allocated)
    for filling in packing.write:
        for place, endpoint in enumerate(filling.endpoints):
            zone = endpoint.zone
            if not receiving or not endpoint.conditions.ready or zone is None or not giving[zone]:
                continue
            taker = next(iter(receiving))
            hints = EndpointHints(for_zones=(ForZone(name=taker),))
            filling.endpoints[place] = _hinted(endpoint, hints)
            giving[zone] -= 1
            receiving -= Counter({taker: 1})
            allocated[zone] -= 1
            allocated[taker] += 1
