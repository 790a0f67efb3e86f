"""The layout of our nftables table: a Ruleset becomes a Table. Pure.

A packet's way: a hook jumps to `services`, one lookup in a verdict map finds the chain of its Service port
(by address, protocol and port, or by NodePort), and that chain rewrites the destination. So the work per
connection does not grow with the number of Services. What matched no chain but is addressed to a Service is
refused right after. Why it is laid out like this: docs/decisions/nftables.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from .endpoints import Target
from .plan import FamilyRules, ServiceRules
from .table import Chain, Set, Table

TABLE = "kplane-proxy"
MARK = "0x4000"
"""Set on packets whose source address must become the node's. The bit is upstream's."""

LONGEST_NAME = 127
REJECT = "goto reject-chain"
DROP = "drop"
MASQUERADE = f"meta mark set meta mark or {MARK}"


@dataclass(frozen=True)
class Family:
    """The words that differ between IPv4 and IPv6."""

    name: str
    """As the API spells it."""
    word: str
    address: str
    loopback: str


IPV4 = Family("IPv4", "ip", "ipv4_addr", "127.0.0.0/8")
IPV6 = Family("IPv6", "ip6", "ipv6_addr", "::1")


@dataclass(frozen=True, slots=True)
class Options:
    """`cluster_cidr`: the addresses of Pods, empty if unknown. Traffic to a ClusterIP that comes from other
    addresses gets the node's source address, so that the answer comes back. `masquerade_all`: all of it."""

    cluster_cidr: str = ""
    masquerade_all: bool = False


def render(rules: FamilyRules, family: Family, options: Options) -> Table:
    """The whole table of an address family."""
    draft = _Draft(family)
    draft.fixed(options)
    draft.put("nodeport-ips", *rules.node_port_addresses)
    for service in rules.services:
        _service(draft, service, options)
    return Table(family.word, TABLE, draft.sets, draft.chains, draft.elements)


@dataclass
class _Draft:
    """A table being written."""

    family: Family
    sets: dict[str, Set] = field(default_factory=dict)
    chains: dict[str, Chain] = field(default_factory=dict)
    elements: dict[str, dict[str, str]] = field(default_factory=dict)

    def put(self, name: str, *elements: str, verdict: str = "") -> None:
        """Elements of a set. The first Service to claim an address and port has it."""
        known = self.elements.setdefault(name, {})
        for element in elements:
            known.setdefault(element, verdict)

    def fixed(self, options: Options) -> None:
        """What does not depend on Services."""
        address = self.family.address
        by_address = Set("map", f"type {address} . inet_proto . inet_service : verdict ;")
        by_node_port = Set("map", "type inet_proto . inet_service : verdict ;")
        self.sets |= {
            "cluster-ips": Set("set", f"type {address} ;"),
            "nodeport-ips": Set("set", f"type {address} ; flags interval ;"),
            "hairpin": Set("set", f"type {address} . {address} ;"),
            "service-ips": by_address,
            "served-ports": Set("set", f"type {address} . inet_proto . inet_service ;"),
            "service-nodeports": by_node_port,
            "no-endpoint-services": by_address,
            "no-endpoint-nodeports": by_node_port,
            "firewalled": by_address,
        }
        self.chains |= {
            # ICMP errors are limited to about one a second per client; resets are not.
            "reject-chain": Chain(("meta l4proto tcp reject with tcp reset", "reject")),
            "services": Chain(tuple(self._dispatch(options))),
            "refusals": Chain(tuple(self._refuse())),
            "firewall": Chain((f"{self.family.word} daddr . meta l4proto . th dport vmap @firewalled",)),
            "nat-prerouting": Chain(("jump services",), "type nat hook prerouting priority -100 ;"),
            "nat-output": Chain(("jump services",), "type nat hook output priority -100 ;"),
            "nat-postrouting": Chain(tuple(self._masquerade()), "type nat hook postrouting priority 100 ;"),
            # Ahead of the rewriting of destinations: it decides by the load balancer's address.
            "firewall-prerouting": Chain(
                ("ct state new jump firewall",), "type filter hook prerouting priority -110 ;"
            ),
            "firewall-output": Chain(
                ("ct state new jump firewall",), "type filter hook output priority -110 ;"
            ),
            # Behind the rewriting of destinations: what still goes to a Service has found no endpoint.
            "filter-prerouting": Chain(
                ("ct state new jump refusals",), "type filter hook prerouting priority -90 ;"
            ),
            "filter-output": Chain(("ct state new jump refusals",), "type filter hook output priority -90 ;"),
        }

    def _dispatch(self, options: Options) -> Iterator[str]:
        word = self.family.word
        if options.masquerade_all:
            yield f"{word} daddr @cluster-ips {MASQUERADE}"
        elif options.cluster_cidr:
            yield f"{word} daddr @cluster-ips {word} saddr != {options.cluster_cidr} {MASQUERADE}"
        yield f"{word} daddr . meta l4proto . th dport vmap @service-ips"
        yield f"{self._to_node_port()} vmap @service-nodeports"

    def _refuse(self) -> Iterator[str]:
        word = self.family.word
        yield f"{word} daddr . meta l4proto . th dport vmap @no-endpoint-services"
        yield f"{self._to_node_port()} vmap @no-endpoint-nodeports"
        # A port with endpoints was missed by a packet on its way while the rules changed: the kernel reads
        # a rule and the map in it one after the other. Dropped, the client's next attempt finds it.
        yield f"{word} daddr . meta l4proto . th dport @served-ports drop"
        yield f"{word} daddr @cluster-ips {REJECT}"

    def _to_node_port(self) -> str:
        word = self.family.word
        return (
            f"fib daddr type local {word} daddr != {self.family.loopback} {word} daddr @nodeport-ips"
            " meta l4proto . th dport"
        )

    def _masquerade(self) -> Iterator[str]:
        word = self.family.word
        yield f"meta mark and {MARK} != 0 meta mark set meta mark xor {MARK} masquerade fully-random"
        # A Pod that reaches itself through its Service would not accept the answer from itself.
        yield f"ct status dnat {word} saddr . {word} daddr @hairpin masquerade fully-random"


def _service(draft: _Draft, service: ServiceRules, options: Options) -> None:
    draft.put("cluster-ips", service.cluster_ip)
    internal = service.local if service.internal_local else service.cluster
    if service.cluster and (service.external or not service.internal_local):
        _spread(draft, _name("cluster", service), service, service.cluster)
    if service.local and (service.internal_local or (service.external and service.external_local)):
        _spread(draft, _name("local", service), service, service.local)
    kind = "local" if service.internal_local else "cluster"
    address = f"{service.cluster_ip} . {service.protocol} . {service.port}"
    if internal:
        draft.put("service-ips", address, verdict=f"goto {_name(kind, service)}")
        draft.put("served-ports", address)
    else:
        draft.put("no-endpoint-services", address, verdict=_refusal(service))
    if service.external:
        _external(draft, service, options)
    if service.source_ranges:
        _firewall(draft, service)


def _external(draft: _Draft, service: ServiceRules, options: Options) -> None:
    """NodePort, external and load balancer addresses: one chain decides about policy and source address."""
    addresses = [f"{ip} . {service.protocol} . {service.port}" for ip in service.outer_ips]
    node_ports = [f"{service.protocol} . {service.node_port}"] if service.node_port else []
    if service.has_endpoints:
        name = _name("external", service)
        draft.chains[name] = Chain(tuple(_external_rules(service, draft.family, options)))
        draft.put("service-ips", *addresses, verdict=f"goto {name}")
        draft.put("served-ports", *addresses)
        draft.put("service-nodeports", *node_ports, verdict=f"goto {name}")
    if not (service.local if service.external_local else service.cluster):
        draft.put("no-endpoint-services", *addresses, verdict=_refusal(service))
        draft.put("no-endpoint-nodeports", *node_ports, verdict=_refusal(service))


def _external_rules(service: ServiceRules, family: Family, options: Options) -> Iterator[str]:
    cluster = f"goto {_name('cluster', service)}"
    if not service.external_local:
        yield MASQUERADE
        yield cluster
        return
    # The policy is about clients outside: Pods and this node itself reach every endpoint.
    if service.cluster:
        if options.cluster_cidr:
            yield f"{family.word} saddr {options.cluster_cidr} {cluster}"
        yield f"fib saddr type local {MASQUERADE} {cluster}"
    if service.local:
        yield f"goto {_name('local', service)}"


def _firewall(draft: _Draft, service: ServiceRules) -> None:
    """Only the source ranges may use the addresses of the load balancer."""
    name, word = _name("firewall", service), draft.family.word
    draft.chains[name] = Chain((f"{word} saddr {{ {', '.join(service.source_ranges)} }} return", DROP))
    for ip in service.load_balancer_ips:
        draft.put("firewalled", f"{ip} . {service.protocol} . {service.port}", verdict=f"goto {name}")


def _refusal(service: ServiceRules) -> str:
    """Nobody there at all: say so at once. Somebody elsewhere: drop, so that the client's network, which
    has been told by health checks, tries another node."""
    return DROP if service.has_endpoints else REJECT


def _spread(draft: _Draft, name: str, service: ServiceRules, targets: Sequence[Target]) -> None:
    """A chain that sends each connection to one of the targets."""
    draft.put("hairpin", *(f"{target.ip} . {target.ip}" for target in targets))
    if service.affinity_seconds:
        _spread_with_affinity(draft, name, service, targets)
        return
    family = draft.family
    if len(targets) == 1:
        draft.chains[name] = Chain((_rewrite(family, service, targets[0]),))
        return
    places = ", ".join(f"{number} : {target.ip} . {target.port}" for number, target in enumerate(targets))
    draft.chains[name] = Chain(
        (
            f"meta l4proto {service.protocol} dnat {family.word} addr . port to"
            f" numgen random mod {len(targets)} map {{ {places} }}",
        )
    )


def _spread_with_affinity(draft: _Draft, name: str, service: ServiceRules, targets: Sequence[Target]) -> None:
    """Each endpoint has a chain of its own, which remembers the client in a set with a time limit."""
    word, address = draft.family.word, draft.family.address
    rules, verdicts = [], []
    for number, target in enumerate(targets):
        chain, clients = (_name(kind, service, target) for kind in ("endpoint", "affinity"))
        timeout = f"timeout {service.affinity_seconds}s"
        draft.sets[clients] = Set("set", f"type {address} ; flags dynamic,timeout ; {timeout} ;")
        draft.chains[chain] = Chain(
            (f"update @{clients} {{ {word} saddr }}", _rewrite(draft.family, service, target))
        )
        rules.append(f"{word} saddr @{clients} goto {chain}")
        verdicts.append(f"{number} : goto {chain}")
    rules.append(f"numgen random mod {len(targets)} vmap {{ {', '.join(verdicts)} }}")
    draft.chains[name] = Chain(tuple(rules))


def _rewrite(family: Family, service: ServiceRules, target: Target) -> str:
    ip = f"[{target.ip}]" if family is IPV6 else target.ip
    return f"meta l4proto {service.protocol} dnat {family.word} to {ip}:{target.port}"


def _name(kind: str, service: ServiceRules, target: Target | None = None) -> str:
    """A name for a chain or set: unique by its hash, legible by the rest."""
    identity = service.name if target is None else f"{service.name}/{target.ip}/{target.port}"
    if kind == "affinity":
        # The time limit belongs to the set, and cannot be changed: another limit is another set.
        identity += f"/{service.affinity_seconds}"
    digest = hashlib.sha256(identity.encode()).hexdigest()[:12]
    return f"{kind}-{digest}-{service.name}"[:LONGEST_NAME]
