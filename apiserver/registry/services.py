"""Services: types, ports, traffic policies. Addresses and node ports are claimed in `allocators.py`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from ipaddress import ip_address

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .addressforms import address_fault, cidr_fault, ip_fault, validate_ip
from .endpoints import validate_not_special
from .kindwarnings import service_status_warnings, service_warnings
from .labels import validate_labels
from .podspec.probes import validate_port
from .status import StatusStrategy
from .strategy import STATUS

TYPES = ("ClusterIP", "ExternalName", "LoadBalancer", "NodePort")
_PROTOCOLS = ("SCTP", "TCP", "UDP")
_POLICIES = ("Cluster", "Local")
_AFFINITIES = ("ClientIP", "None")
_FAMILIES = ("IPv4", "IPv6")
_FAMILY_POLICIES = ("PreferDualStack", "RequireDualStack", "SingleStack")
_DISTRIBUTIONS = ("PreferClose", "PreferSameZone", "PreferSameNode")
_AFFINITY_SECONDS, _MAX_AFFINITY_SECONDS = 10800, 86400
_MAY_NOT_CHANGE = "may not change once set"


class ServiceStrategy(StatusStrategy):
    name_rule = staticmethod(names.dns_1035_label)
    immutable_spec_generation = True
    allow_create_on_update = True
    empty_status = {"loadBalancer": {}}  # noqa: RUF012
    selectable = ("spec.clusterIP", "spec.type")

    warns_always = True
    subresources = (replace(STATUS, warnings=service_status_warnings),)

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from service_warnings(obj)

    def default(self, obj: Object) -> None:
        spec = obj.setdefault("spec", {})
        kind = spec["type"] = spec.get("type") or "ClusterIP"
        _default_affinity(spec)
        for port in spec.get("ports") or ():
            port.setdefault("port", 0)
            port["protocol"] = port.get("protocol") or "TCP"
            if port.get("targetPort") in (None, 0, ""):
                port["targetPort"] = port.get("port", 0)
        if _is_external(spec):
            spec["externalTrafficPolicy"] = spec.get("externalTrafficPolicy") or "Cluster"
        if kind != "ExternalName":
            spec["internalTrafficPolicy"] = spec.get("internalTrafficPolicy") or "Cluster"
        if kind == "LoadBalancer":
            spec.setdefault("allocateLoadBalancerNodePorts", True)

    def prepare_create(self, obj: Object) -> None:
        super().prepare_create(obj)
        _pair_addresses(obj["spec"], {})

    def prepare_update(self, new: Object, old: Object) -> None:
        now, was = new["spec"], old["spec"]
        _carry_over(now, was)
        _pair_addresses(now, was)
        _drop_unneeded(now, was)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        spec, here = obj["spec"], path.spec
        yield from _validate_type(spec, here)
        yield from _validate_ports(spec, here)
        yield from validate_labels(spec.get("selector") or {}, here.selector)
        yield from _validate_affinity(spec, here)
        yield from _validate_addresses(spec, here)
        yield from _validate_balancer(spec, here)
        yield from _validate_traffic(spec, here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new["spec"], old["spec"]
        if "ExternalName" in (now["type"], was["type"]):
            return
        balanced = now["type"] == was["type"] == "LoadBalancer"
        if balanced and was.get("loadBalancerClass") != now.get("loadBalancerClass"):
            yield path.spec.loadBalancerClass.invalid(now.get("loadBalancerClass"), _MAY_NOT_CHANGE)
        checked = needs_health_check(was) and needs_health_check(now)
        if checked and was.get("healthCheckNodePort") != now.get("healthCheckNodePort"):
            yield path.spec.healthCheckNodePort.forbidden("field is immutable")

    def validate_status(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        here = path.status.loadBalancer.ingress
        entries = ((new.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
        if entries and new["spec"]["type"] != "LoadBalancer":
            yield here.forbidden('may only be used when `spec.type` is "LoadBalancer"')
        for index, entry in enumerate(entries):
            if entry.get("ip"):
                yield from validate_ip(entry["ip"], here[index].ip)
            for text in names.dns_subdomain(entry["hostname"]) if entry.get("hostname") else ():
                yield here[index].hostname.invalid(entry["hostname"], text)

    def fields(self, obj: Object) -> Mapping[str, str]:
        spec = obj.get("spec") or {}
        return {"spec.clusterIP": spec.get("clusterIP", ""), "spec.type": spec.get("type", "")}


def _default_affinity(spec: Object) -> None:
    spec["sessionAffinity"] = spec.get("sessionAffinity") or "None"
    if spec["sessionAffinity"] == "None":
        spec.pop("sessionAffinityConfig", None)
    elif spec["sessionAffinity"] == "ClientIP":
        config = spec.setdefault("sessionAffinityConfig", {})
        config.setdefault("clientIP", {}).setdefault("timeoutSeconds", _AFFINITY_SECONDS)


def _carry_over(now: Object, was: Object) -> None:
    """An update that leaves out what the Service holds keeps it (upstream's patchAllocatedValues)."""
    if "ExternalName" not in (now["type"], was.get("type")):
        now["clusterIP"] = now.get("clusterIP") or was.get("clusterIP", "")
        if not now.get("clusterIPs") and now["clusterIP"] == was.get("clusterIP"):
            now["clusterIPs"] = list(was.get("clusterIPs") or [])
        for name in ("clusterIP", "clusterIPs"):
            if not now[name] if name in now else False:
                del now[name]
    if has_node_ports(now) and has_node_ports(was):
        _carry_ports(now.get("ports") or [], was.get("ports") or [])
    if needs_health_check(now) and needs_health_check(was) and was.get("healthCheckNodePort"):
        now["healthCheckNodePort"] = now.get("healthCheckNodePort") or was["healthCheckNodePort"]


def _carry_ports(now: list[Object], was: list[Object]) -> None:
    """By the ports' names; what else the client changed of a port does not matter."""
    used = {port.get("nodePort") for port in was} & {port.get("nodePort") for port in now}
    known = {port.get("name", ""): port.get("nodePort") for port in was}
    for port in now:
        before = known.get(port.get("name", ""))
        if not port.get("nodePort") and before and before not in used:
            port["nodePort"] = before


def _pair_addresses(now: Object, was: Object) -> None:
    """Clients may know `clusterIP` alone: `clusterIPs` follows it where they left that as it was."""
    one, before = now.get("clusterIP", ""), was.get("clusterIP", "")
    if not was:
        if one and not now.get("clusterIPs"):
            now["clusterIPs"] = [one]
        return
    if one == before or (now.get("clusterIPs") or []) != (was.get("clusterIPs") or []):
        return
    now.pop("clusterIPs", None)
    if one:
        now["clusterIPs"] = [one]


def _drop_unneeded(now: Object, was: Object) -> None:
    """What the old type needed and the new one does not goes, unless the client asks for it anew."""
    if now["type"] == "ExternalName" != was["type"]:
        _drop_if_same(
            now, was, "clusterIP", "clusterIPs", "ipFamilies", "ipFamilyPolicy", "internalTrafficPolicy"
        )
    if has_node_ports(was) and not has_node_ports(now):
        held = {port.get("nodePort") for port in was.get("ports") or ()}
        for port in now.get("ports") or ():
            if port.get("nodePort") in held:
                port.pop("nodePort", None)
    if _is_external(was) and not _is_external(now):
        _drop_if_same(now, was, "externalTrafficPolicy")
    if needs_health_check(was) and not needs_health_check(now):
        _drop_if_same(now, was, "healthCheckNodePort")
    if was["type"] == "LoadBalancer" != now["type"]:
        _drop_if_same(now, was, "allocateLoadBalancerNodePorts", "loadBalancerClass")


def _drop_if_same(now: Object, was: Object, *fields: str) -> None:
    for name in fields:
        if now.get(name) == was.get(name):
            now.pop(name, None)


def has_node_ports(spec: Object) -> bool:
    return spec.get("type") in ("NodePort", "LoadBalancer")


def _is_external(spec: Object) -> bool:
    """Whether it can be reached from outside of the cluster."""
    return has_node_ports(spec) or (spec["type"] == "ClusterIP" and bool(spec.get("externalIPs")))


def needs_health_check(spec: Object) -> bool:
    return spec.get("type") == "LoadBalancer" and spec.get("externalTrafficPolicy") == "Local"


def _is_headless(spec: Object) -> bool:
    return "None" in (spec.get("clusterIPs") or [])[:1]


def _validate_type(spec: Object, path: Path) -> Iterator[FieldError]:
    kind = spec["type"]
    if not spec.get("ports") and not _is_headless(spec) and kind != "ExternalName":
        yield path.ports.required()
    if kind in ("LoadBalancer", "NodePort"):
        if _is_headless(spec):
            yield path.clusterIPs[0].invalid("None", f"may not be set to 'None' for {kind} services")
    elif kind == "ExternalName":
        for name in ("clusterIPs", "ipFamilies", "ipFamilyPolicy"):
            if spec.get(name):
                yield path.child(name).forbidden("may not be set for ExternalName services")
        name = spec.get("externalName", "").removesuffix(".")
        if not name:
            yield path.externalName.required()
        for text in names.dns_subdomain(name) if name else ():
            yield path.externalName.invalid(name, text)
    elif kind not in TYPES:
        yield path.type.not_supported(kind, TYPES)


def _validate_ports(spec: Object, path: Path) -> Iterator[FieldError]:
    ports = spec.get("ports") or []
    taken: set[str] = set()
    for index, port in enumerate(ports):
        yield from _validate_port(port, len(ports) > 1, taken, path.ports[index])
    if spec["type"] == "ClusterIP":
        for index, port in enumerate(ports):
            if port.get("nodePort"):
                yield path.ports[index].nodePort.forbidden("may not be used when `type` is 'ClusterIP'")
    yield from _validate_duplicates(ports, path)


def _validate_port(port: Object, need_name: bool, taken: set[str], path: Path) -> Iterator[FieldError]:
    name = port.get("name", "")
    if need_name and not name:
        yield path.name.required()
    elif name:
        for text in names.dns_label(name):
            yield path.name.invalid(name, text)
        if name in taken:
            yield path.name.duplicate(name)
        taken.add(name)
    for text in names.port_number(port.get("port", 0)):
        yield path.port.invalid(port.get("port", 0), text)
    if port["protocol"] not in _PROTOCOLS:
        yield path.protocol.not_supported(port["protocol"], _PROTOCOLS)
    yield from validate_port(port["targetPort"], path.targetPort)
    if protocol := port.get("appProtocol"):
        for text in names.qualified_name(protocol):
            yield path.appProtocol.invalid(protocol, text)


def _validate_duplicates(ports: list[Object], path: Path) -> Iterator[FieldError]:
    numbers: set[tuple[str, int]] = set()
    node_ports: set[tuple[str, int]] = set()
    for index, port in enumerate(ports):
        node_port = (port["protocol"], port.get("nodePort", 0))
        if node_port[1] and node_port in node_ports:
            yield path.ports[index].nodePort.duplicate(node_port[1])
        node_ports.add(node_port)
        number = (port["protocol"], port.get("port", 0))
        if number in numbers:
            yield path.ports[index].duplicate({"port": number[1], "protocol": number[0]})
        numbers.add(number)


def _validate_affinity(spec: Object, path: Path) -> Iterator[FieldError]:
    affinity = spec["sessionAffinity"]
    if affinity not in _AFFINITIES:
        yield path.sessionAffinity.not_supported(affinity, _AFFINITIES)
    if affinity == "ClientIP":
        seconds = spec["sessionAffinityConfig"]["clientIP"]["timeoutSeconds"]
        if not 0 < seconds <= _MAX_AFFINITY_SECONDS:
            yield path.sessionAffinityConfig.clientIP.timeoutSeconds.invalid(
                seconds, f"must be greater than 0 and less than {_MAX_AFFINITY_SECONDS}"
            )


def _validate_addresses(spec: Object, path: Path) -> Iterator[FieldError]:
    if spec["type"] != "ExternalName":
        yield from _validate_families(spec, path)
        yield from _validate_cluster_addresses(spec, path)
    for index, address in enumerate(spec.get("externalIPs") or ()):
        if fault := ip_fault(address):
            yield address_fault(address, fault, path.externalIPs[index])
        else:
            yield from validate_not_special(address, path.externalIPs[index])


def _validate_families(spec: Object, path: Path) -> Iterator[FieldError]:
    one, addresses = spec.get("clusterIP", ""), spec.get("clusterIPs") or []
    if one and not addresses:
        yield path.clusterIPs.required()
    elif one and addresses[0] != one:
        yield path.clusterIPs.invalid(addresses, "first value must match `clusterIP`")
    elif addresses and not one:
        yield path.clusterIPs.invalid(addresses, "must be empty when `clusterIP` is not specified")
    seen: set[str] = set()
    for index, family in enumerate(spec.get("ipFamilies") or ()):
        if family not in _FAMILIES:
            yield path.ipFamilies[index].not_supported(family, _FAMILIES)
        if family in seen:
            yield path.ipFamilies[index].duplicate(family)
        seen.add(family)
    policy = spec.get("ipFamilyPolicy")
    if policy not in (None, *_FAMILY_POLICIES):
        yield path.ipFamilyPolicy.not_supported(policy, _FAMILY_POLICIES)


def _validate_cluster_addresses(spec: Object, path: Path) -> Iterator[FieldError]:
    addresses, wrong = spec.get("clusterIPs") or [], False
    for index, address in enumerate(addresses):
        if index == 0 and address == "None":
            if len(addresses) > 1:
                wrong = True
                yield path.clusterIPs.invalid(addresses, "'None' must be the first and only value")
            continue
        if fault := ip_fault(address):
            wrong = True
            yield address_fault(address, fault, path.clusterIPs[index])
    if len(addresses) > 2:
        yield path.clusterIPs.invalid(addresses, "may only hold up to 2 values")
    if wrong or _is_headless(spec):
        return
    versions = [ip_address(address).version for address in addresses]
    if len(versions) > 1 and sorted(versions) != [4, 6]:
        yield path.clusterIPs.invalid(addresses, "may specify no more than one IP for each IP family")
        return
    for index, (version, family) in enumerate(zip(versions, spec.get("ipFamilies") or (), strict=False)):
        if family != f"IPv{version}" and family in _FAMILIES:
            kind = "an IPv4" if family == "IPv4" else "an IPv6"
            text = f"expected {kind} value as indicated by `ipFamilies[{index}]`"
            yield path.clusterIPs[index].invalid(addresses[index], text)


def _validate_balancer(spec: Object, path: Path) -> Iterator[FieldError]:
    balanced = spec["type"] == "LoadBalancer"
    only = "may only be used when `type` is 'LoadBalancer'"
    ranges = spec.get("loadBalancerSourceRanges") or []
    if ranges and not balanced:
        yield path.LoadBalancerSourceRanges.forbidden(only)
    for index, network in enumerate(ranges):
        # Spaces around them are forgiven.
        if fault := cidr_fault(network.strip()):
            yield address_fault(network, fault, path.LoadBalancerSourceRanges[index])
    if spec.get("allocateLoadBalancerNodePorts") is not None and not balanced:
        yield path.allocateLoadBalancerNodePorts.forbidden(only)
    if name := spec.get("loadBalancerClass"):
        if not balanced:
            yield path.loadBalancerClass.forbidden(only)
        for text in names.qualified_name(name):
            yield path.loadBalancerClass.invalid(name, text)


def _validate_traffic(spec: Object, path: Path) -> Iterator[FieldError]:
    external, internal = spec.get("externalTrafficPolicy"), spec.get("internalTrafficPolicy")
    if not _is_external(spec):
        if external:
            yield path.externalTrafficPolicy.invalid(
                external, "may only be set for externally-accessible services"
            )
    elif external not in _POLICIES:
        yield path.externalTrafficPolicy.not_supported(external, _POLICIES)
    if internal is not None and internal not in _POLICIES:
        yield path.internalTrafficPolicy.not_supported(internal, _POLICIES)
    check = spec.get("healthCheckNodePort")
    if check and not needs_health_check(spec):
        yield path.healthCheckNodePort.invalid(
            check,
            "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'",
        )
    distribution = spec.get("trafficDistribution")
    if distribution is not None and distribution not in _DISTRIBUTIONS:
        yield path.trafficDistribution.not_supported(distribution, _DISTRIBUTIONS)
