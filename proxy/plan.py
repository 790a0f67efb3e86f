"""The plan: which connections go where on this node. A plain function of Services, EndpointSlices and node.

Reads: Service and EndpointSlice views. Makes: a Ruleset, a value that backends carry out and tests look at.
Elsewhere: which endpoints take part (endpoints.py), how the kernel is told (nftables.py).

Invariant: equal input gives an equal Ruleset, in the same order, so that nothing changes where nothing did.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import collapse_addresses, ip_network

from kplane.api.resource import Key
from kplane.api.types import EndpointSlice, Node
from kplane.api.types.core import ServicePort

from .endpoints import Place, Target, candidates, chosen
from .views import ProxiedService

ZONE_LABEL = "topology.kubernetes.io/zone"
SERVICE_NAME = "kubernetes.io/service-name"
DEFAULT_AFFINITY_SECONDS = 10800
PRIMARY = "primary"
"""The value of `--nodeport-addresses` that means the node's own addresses."""


@dataclass(frozen=True, slots=True)
class ServiceRules:
    """One port of one Service, in one address family."""

    name: str
    """`namespace/name/protocol/port name`."""
    protocol: str
    """In lower case, as nftables spells it."""
    cluster_ip: str
    port: int
    node_port: int
    external_ips: tuple[str, ...]
    load_balancer_ips: tuple[str, ...]
    source_ranges: tuple[str, ...]
    """Who may use the load balancer's addresses; everybody if empty."""
    cluster: tuple[Target, ...]
    """Where traffic goes that may go anywhere; near this node where endpoints have hints."""
    local: tuple[Target, ...]
    """Where traffic goes that must stay on this node."""
    serving: tuple[Target, ...]
    """All that still serve, whether they are chosen or not: what they have begun, they may end."""
    internal_local: bool
    external_local: bool
    affinity_seconds: int
    """How long a client stays with its endpoint; 0 for no affinity."""

    @property
    def external(self) -> bool:
        """Whether it can be reached from outside the cluster."""
        return bool(self.node_port or self.outer_ips)

    @property
    def outer_ips(self) -> tuple[str, ...]:
        """Every address beside the ClusterIP."""
        return self.external_ips + self.load_balancer_ips

    @property
    def has_endpoints(self) -> bool:
        return bool(self.cluster or self.local)


@dataclass(frozen=True, slots=True)
class HealthCheck:
    """What load balancers are told about a Service, in one address family."""

    service: Key
    port: int
    """Of the node; where they ask."""
    local_ready: int
    """How many ready endpoints are on this node."""


@dataclass(frozen=True, slots=True)
class FamilyRules:
    services: tuple[ServiceRules, ...] = ()
    node_port_addresses: tuple[str, ...] = ()
    """Addresses or CIDRs of this node at which NodePorts answer."""
    health_checks: tuple[HealthCheck, ...] = ()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """All that this node does about Services."""

    ipv4: FamilyRules = FamilyRules()
    ipv6: FamilyRules = FamilyRules()

    @property
    def services(self) -> Iterator[ServiceRules]:
        yield from self.ipv4.services
        yield from self.ipv6.services


def plan(
    services: Iterable[ProxiedService],
    slices: Iterable[EndpointSlice],
    node: Node | None,
    node_name: str,
    node_port_addresses: Sequence[str] = (PRIMARY,),
) -> Ruleset:
    """What this node has to do."""
    by_service = _by_service(slices)
    place = Place(node_name, node.metadata.labels.get(ZONE_LABEL, "") if node else "")
    ordered = sorted((entry for entry in services if _has_address(entry)), key=lambda entry: entry.key)
    ports = [
        rules
        for service in ordered
        for port in service.spec.ports
        for rules in _service_port(service, port, by_service.get(service.key, ()), place)
    ]
    addresses = _node_addresses(node, node_port_addresses)
    return Ruleset(
        *(
            FamilyRules(
                tuple(rules for rules in ports if _version(rules.cluster_ip) == version),
                _networks(version, addresses),
                tuple(_health_checks(version, ordered, by_service, node_name)),
            )
            for version in (4, 6)
        )
    )


def _health_checks(
    version: int,
    services: Iterable[ProxiedService],
    slices: Mapping[Key, Sequence[EndpointSlice]],
    node: str,
) -> Iterator[HealthCheck]:
    """An endpoint counts once, however many of its ports are ready."""
    for service in services:
        spec = service.spec
        local = spec.type == "LoadBalancer" and spec.external_traffic_policy == "Local"
        families = {_version(ip) for ip in spec.cluster_ips or (spec.cluster_ip,)}
        if not (local and spec.health_check_node_port and version in families):
            continue
        ready = {
            found.target.ip
            for port in spec.ports
            for found in candidates(slices.get(service.key, ()), port, version, node)
            if found.ready and found.target.local
        }
        yield HealthCheck(service.key, spec.health_check_node_port, len(ready))


def _by_service(slices: Iterable[EndpointSlice]) -> Mapping[Key, Sequence[EndpointSlice]]:
    found: dict[Key, list[EndpointSlice]] = {}
    for entry in slices:
        name = entry.metadata.labels.get(SERVICE_NAME, "")
        found.setdefault(Key(entry.metadata.namespace, name), []).append(entry)
    return found


def _has_address(service: ProxiedService) -> bool:
    """Headless and ExternalName Services are DNS' business."""
    return service.spec.type != "ExternalName" and service.spec.cluster_ip not in ("", "None")


def _service_port(
    service: ProxiedService, port: ServicePort, slices: Sequence[EndpointSlice], place: Place
) -> Iterator[ServiceRules]:
    """The rules of a port, one for each address family of its Service."""
    spec = service.spec
    for cluster_ip in spec.cluster_ips or (spec.cluster_ip,):
        version = _version(cluster_ip)
        found = candidates(slices, port, version, place.node)
        yield ServiceRules(
            name=f"{service.key}/{port.protocol.lower()}/{port.name}",
            protocol=port.protocol.lower(),
            cluster_ip=cluster_ip,
            port=port.port,
            node_port=port.node_port,
            external_ips=_of_version(version, spec.external_ips),
            load_balancer_ips=_of_version(version, _load_balancer_ips(service)),
            source_ranges=_networks(version, spec.load_balancer_source_ranges or ()),
            cluster=chosen(found, place),
            local=chosen([entry for entry in found if entry.target.local]),
            serving=tuple(sorted(entry.target for entry in found if entry.ready or entry.serving)),
            internal_local=spec.internal_traffic_policy == "Local",
            external_local=spec.external_traffic_policy == "Local",
            affinity_seconds=_affinity_seconds(service),
        )


def _load_balancer_ips(service: ProxiedService) -> Sequence[str]:
    ingress = service.status.load_balancer.ingress or ()
    return [entry.ip for entry in ingress if entry.ip and entry.ip_mode != "Proxy"]


def _of_version(version: int, addresses: Iterable[str]) -> tuple[str, ...]:
    """Those of the addresses that belong to a family, each once. What is no address (older API servers let
    such things in) belongs to none."""
    return tuple(entry for entry in dict.fromkeys(addresses) if _version(entry) == version)


def _networks(version: int, texts: Iterable[str]) -> tuple[str, ...]:
    """Addresses and CIDRs of a family, without overlaps: nftables takes no two that hold the same address."""
    mine = [ip_network(text.strip(), strict=False) for text in texts if _version(text) == version]
    merged = collapse_addresses(mine)  # type: ignore[type-var]
    return tuple(str(entry).removesuffix(f"/{entry.max_prefixlen}") for entry in merged)


def _version(text: str) -> int:
    """4 or 6; 0 for what is neither an address nor a CIDR."""
    try:
        return ip_network(text.strip(), strict=False).version
    except ValueError:
        return 0


def _affinity_seconds(service: ProxiedService) -> int:
    if service.spec.session_affinity != "ClientIP":
        return 0
    config = service.spec.session_affinity_config
    seconds = config.client_ip.timeout_seconds if config and config.client_ip else None
    return seconds or DEFAULT_AFFINITY_SECONDS


def _node_addresses(node: Node | None, wanted: Sequence[str]) -> Sequence[str]:
    if PRIMARY not in wanted:
        return wanted
    if node is None:
        return ()
    return [entry.address for entry in node.status.addresses if entry.type == "InternalIP"]
