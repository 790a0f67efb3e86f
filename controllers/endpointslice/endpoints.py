"""From Pods to endpoints: which address, ports and conditions a Pod shows behind a Service. No I/O."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

from kplane.api.types import Node, Pod, Service
from kplane.api.types.discovery import Endpoint, EndpointConditions, EndpointPort, ObjectReference

from ..services import addresses, belongs, canonical, family, hostname, is_headless, target_port

ZONE_LABEL = "topology.kubernetes.io/zone"

Ports: TypeAlias = frozenset[EndpointPort]
Desired: TypeAlias = dict[Ports, list[Endpoint]]
"""Endpoints by the set of ports that they offer: named target ports can differ from Pod to Pod."""


def desired(
    service: Service, pods: Sequence[Pod], node_of: Callable[[str], Node | None], address_type: str
) -> tuple[Desired, list[tuple[str, str]]]:
    """The endpoints of one address family, and the Pods whose nodes are not known (yet), with these."""
    found: Desired = {}
    unknown: list[tuple[str, str]] = []
    for pod in pods:
        if not belongs(pod, terminating_too=True):
            continue
        node = node_of(pod.spec.node_name)
        if node is None and not service.spec.publish_not_ready_addresses:
            unknown.append((pod.metadata.name, pod.spec.node_name))
            continue
        endpoint = endpoint_of(service, pod, node, address_type)
        if endpoint.addresses:
            found.setdefault(ports_of(service, pod), []).append(endpoint)
    return found, unknown


def ports_of(service: Service, pod: Pod) -> Ports:
    """The Service's ports as this Pod offers them."""
    numbers = ((port, target_port(pod, port)) for port in service.spec.ports)
    return frozenset(
        EndpointPort(name=port.name, protocol=port.protocol, port=number, app_protocol=port.app_protocol)
        for port, number in numbers
        if number is not None
    )


def endpoint_of(service: Service, pod: Pod, node: Node | None, address_type: str) -> Endpoint:
    terminating = pod.metadata.deletion_timestamp is not None
    ready = service.spec.publish_not_ready_addresses or (pod.ready and not terminating)
    return Endpoint(
        addresses=addresses_of(pod, address_type),
        conditions=EndpointConditions(ready=ready, serving=pod.ready, terminating=terminating),
        hostname=hostname(pod, service) or None,
        node_name=pod.spec.node_name or None,
        target_ref=ObjectReference(
            kind="Pod", namespace=pod.metadata.namespace, name=pod.metadata.name, uid=pod.metadata.uid
        ),
        zone=(node.metadata.labels.get(ZONE_LABEL) or None) if node else None,
    )


def addresses_of(pod: Pod, address_type: str) -> tuple[str, ...]:
    """The Pod's addresses of a family, in the one form that the API takes today."""
    forms = [found for text in addresses(pod) if (found := canonical(text)) is not None]
    return tuple(text for family, text in forms if family == address_type)


def address_types(service: Service) -> list[str]:
    """The address families that this Service has slices for."""
    if service.spec.ip_families:
        return list(service.spec.ip_families)
    if is_headless(service):
        return ["IPv4", "IPv6"]
    return [family(service.spec.cluster_ip)]
