"""Which endpoints of a Service port take part. Plain functions. Rules: KEP-1669, upstream `topology.go`.

Ready endpoints take part: those that hints mean for this node, else those for its zone, else all. Hints count
only where every ready endpoint has one, and only for traffic that may go anywhere.

Where no endpoint is ready, those which are terminating but still serve take part, so that a rollout of a
Service's last Pods drops nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from kplane.api.types import EndpointSlice
from kplane.api.types.core import ServicePort
from kplane.api.types.discovery import Endpoint

FAMILIES = {4: "IPv4", 6: "IPv6"}


@dataclass(frozen=True, slots=True, order=True)
class Target:
    """Where a connection can be sent."""

    ip: str
    port: int
    local: bool = False
    """Whether it is on this node."""


@dataclass(frozen=True, slots=True)
class Candidate:
    target: Target
    ready: bool
    serving: bool
    terminating: bool
    nodes: frozenset[str] = frozenset()
    zones: frozenset[str] = frozenset()
    """For which it is meant."""


@dataclass(frozen=True, slots=True)
class Place:
    """Where this proxy runs."""

    node: str
    zone: str = ""
    """Empty if unknown."""


def candidates(
    slices: Iterable[EndpointSlice], port: ServicePort, version: int, node: str
) -> Sequence[Candidate]:
    """Every endpoint of the port in an address family; each address once."""
    found: dict[Target, Candidate] = {}
    for entry in slices:
        if entry.address_type != FAMILIES.get(version):
            continue
        for number in _target_ports(entry, port):
            for endpoint in entry.endpoints or ():
                candidate = _candidate(endpoint, number, node)
                if candidate is not None:
                    # While an endpoint moves between slices it is in both, with the better state in one.
                    known = found.get(candidate.target)
                    if known is None or (candidate.ready and not known.ready):
                        found[candidate.target] = candidate
    return list(found.values())


def chosen(found: Sequence[Candidate], place: Place | None = None) -> tuple[Target, ...]:
    """The targets that traffic is spread over, near `place` where hints say so."""
    ready = [entry for entry in found if entry.ready]
    if place is not None:
        ready = _near(ready, place)
    return tuple(sorted(entry.target for entry in ready or _last_resort(found)))


def _last_resort(found: Sequence[Candidate]) -> list[Candidate]:
    return [entry for entry in found if entry.serving and entry.terminating]


def _near(ready: Sequence[Candidate], place: Place) -> list[Candidate]:
    if all(entry.nodes for entry in ready) and (
        here := [entry for entry in ready if place.node in entry.nodes]
    ):
        return here
    if all(entry.zones for entry in ready) and (
        here := [entry for entry in ready if place.zone in entry.zones]
    ):
        return here
    return list(ready)


def _target_ports(entry: EndpointSlice, port: ServicePort) -> Iterator[int]:
    for offered in entry.ports or ():
        named = (offered.name or "") == port.name
        if named and (offered.protocol or "TCP") == port.protocol and offered.port:
            yield offered.port


def _candidate(endpoint: Endpoint, port: int, node: str) -> Candidate | None:
    if not endpoint.addresses:
        return None
    # The API: of an endpoint's addresses only the first is used.
    target = Target(endpoint.addresses[0], port, endpoint.node_name == node)
    conditions = endpoint.conditions
    ready = conditions.ready is not False
    serving = conditions.serving if conditions.serving is not None else ready
    hints = endpoint.hints
    return Candidate(
        target,
        ready,
        serving,
        bool(conditions.terminating),
        nodes=frozenset(entry.name for entry in (hints.for_nodes if hints else None) or ()),
        zones=frozenset(entry.name for entry in (hints.for_zones if hints else None) or ()),
    )
