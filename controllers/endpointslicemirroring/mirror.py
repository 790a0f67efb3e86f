"""What Endpoints look like as EndpointSlices, and which slices have to change for that. No I/O.

Invariant: one slice for each combination of ports and address family; no other slice of ours.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import msgspec

from kplane.api.resource import Object
from kplane.api.types import Endpoints, EndpointSlice
from kplane.api.types.core import EndpointAddress, EndpointSubset
from kplane.api.types.discovery import Endpoint, EndpointConditions, EndpointPort

from ..adoption import controller_reference
from ..services import TRIGGER_TIME, parse_ip

MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by"
MANAGER = "endpointslicemirroring-controller.k8s.io"
SERVICE_LABEL = "kubernetes.io/service-name"
SKIP_LABEL = "endpointslice.kubernetes.io/skip-mirror"
LEADER = "control-plane.alpha.kubernetes.io/leader"
LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"

Group = tuple[frozenset[EndpointPort], str]
"""Ports and address family."""


@dataclass
class Mirror:
    """What the slices of some Endpoints should hold, and what of these cannot be shown."""

    groups: dict[Group, list[Endpoint]] = field(default_factory=dict)
    invalid: int = 0
    skipped: int = 0
    """Also those that are invalid."""


def mirrored(endpoints: Endpoints) -> bool:
    """Whether they are mirrored at all: records of leaders are none of anybody's endpoints."""
    meta = endpoints.metadata
    return meta.labels.get(SKIP_LABEL) != "true" and LEADER not in meta.annotations


def mirror(endpoints: Endpoints, most: int) -> Mirror:
    """`most` addresses of each subset are shown."""
    result = Mirror()
    for subset in endpoints.subsets or ():
        _mirror_subset(result, subset, most)
    for group, listed in result.groups.items():
        # An address may be named twice; slices show it once. Subsets with the same ports share a slice.
        once = list({identity(endpoint): endpoint for endpoint in listed}.values())
        result.groups[group] = once[:most]
    return result


def _mirror_subset(result: Mirror, subset: EndpointSubset, most: int) -> None:
    ports = frozenset(
        EndpointPort(name=port.name, port=port.port, protocol=port.protocol, app_protocol=port.app_protocol)
        for port in subset.ports or ()
    )
    ready, unready = subset.addresses or (), subset.not_ready_addresses or ()
    done = 0
    for address, is_ready in [*((entry, True) for entry in ready), *((entry, False) for entry in unready)]:
        if done >= most:
            break
        converted = _convert(address, is_ready)
        if converted is None:
            result.invalid += 1
            continue
        family, endpoint = converted
        result.groups.setdefault((ports, family), []).append(endpoint)
        done += 1
    result.skipped += len(ready) + len(unready) - done


def _convert(address: EndpointAddress, ready: bool) -> tuple[str, Endpoint] | None:
    if (parsed := parse_ip(address.ip)) is None:
        return None
    endpoint = Endpoint(
        addresses=(str(parsed),),
        conditions=EndpointConditions(ready=ready),
        hostname=address.hostname or None,
        node_name=address.node_name,
        target_ref=address.target_ref,
    )
    return f"IPv{parsed.version}", endpoint


def identity(endpoint: Endpoint) -> tuple[object, ...]:
    """What makes it the same endpoint, whatever its conditions."""
    target = endpoint.target_ref
    who = (target.namespace, target.name) if target else ("", "")
    return endpoint.addresses, endpoint.hostname, *who


@dataclass
class Changes:
    write: list[tuple[EndpointSlice | None, Group, list[Endpoint]]] = field(default_factory=list)
    delete: list[EndpointSlice] = field(default_factory=list)


def changes(
    groups: Mapping[Group, list[Endpoint]], existing: Sequence[EndpointSlice], endpoints: Endpoints
) -> Changes:
    """What to write and delete; slices of other ports are used again where their family allows it."""
    result = Changes()
    left: dict[Group, list[EndpointSlice]] = {}
    for entry in existing:
        left.setdefault((frozenset(entry.ports or ()), entry.address_type), []).append(entry)
    for group, wanted in groups.items():
        have = left.pop(group, [])
        result.delete += have[1:]
        if not have:
            result.write.append((None, group, wanted))
        elif not _shows(have[0], wanted, endpoints):
            result.write.append((have[0], group, wanted))
    result.delete += [entry for entries in left.values() for entry in entries]
    return _reuse(result)


def _shows(entry: EndpointSlice, wanted: Sequence[Endpoint], endpoints: Endpoints) -> bool:
    meta = entry.metadata
    owner = meta.controller
    return (
        # Slices of earlier Endpoints of this name would be collected as garbage: they must change hands.
        (owner is None or owner.name != endpoints.metadata.name or owner.uid == endpoints.metadata.uid)
        and set(map(shown, entry.endpoints or ())) == set(map(shown, wanted))
        and meta.labels == labels_of(endpoints)
        and _own_annotations(meta.annotations) == annotations_of(endpoints)
    )


def shown(endpoint: Endpoint) -> tuple[object, ...]:
    """All of it that Endpoints tell; a target's revision says nothing about the endpoint."""
    target = endpoint.target_ref and msgspec.structs.replace(endpoint.target_ref, resource_version="")
    return *identity(endpoint), endpoint.node_name, target, endpoint.conditions.ready


def _reuse(result: Changes) -> Changes:
    for position, (entry, group, wanted) in enumerate(result.write):
        spare = next((old for old in result.delete if old.address_type == group[1]), None)
        if entry is None and spare is not None:
            result.delete.remove(spare)
            result.write[position] = (spare, group, wanted)
    return result


def labels_of(endpoints: Endpoints) -> dict[str, str]:
    """The labels of the slices."""
    own = {SERVICE_LABEL: endpoints.metadata.name, MANAGED_BY_LABEL: MANAGER}
    return endpoints.metadata.labels | own


def annotations_of(endpoints: Endpoints) -> dict[str, str]:
    return _own_annotations(endpoints.metadata.annotations)


def _own_annotations(annotations: Mapping[str, str]) -> dict[str, str]:
    return {name: text for name, text in annotations.items() if name not in (TRIGGER_TIME, LAST_APPLIED)}


def body_of(endpoints: Endpoints, group: Group, wanted: Sequence[Endpoint]) -> Object:
    """The body of a slice; of a new one it lacks the name."""
    ports = sorted(group[0], key=lambda port: (port.name or "", port.port or 0))
    return {
        "metadata": {
            "labels": labels_of(endpoints),
            "annotations": annotations_of(endpoints),
            "ownerReferences": [controller_reference(endpoints)],
        },
        "endpoints": [msgspec.to_builtins(endpoint) for endpoint in wanted],
        "ports": [
            msgspec.to_builtins(port) | {"name": port.name or "", "protocol": port.protocol or "TCP"}
            for port in ports
        ],
    }
