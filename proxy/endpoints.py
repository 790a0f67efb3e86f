"""Which endpoints of a Service port take part. Plain functions. Rules: KEP-1669, upstream `topology.go`.

Ready endpoints take part. Where there are none at all, those which are terminating but still serve do, so
that a rollout of a Service's last Pods drops nothing.
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
    last_resort: bool
    """Terminating, but still serving."""


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


def chosen(found: Sequence[Candidate]) -> tuple[Target, ...]:
    """The targets that traffic is spread over."""
    ready = [entry.target for entry in found if entry.ready]
    return tuple(sorted(ready or (entry.target for entry in found if entry.last_resort)))


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
    return Candidate(target, ready, serving and bool(conditions.terminating))
