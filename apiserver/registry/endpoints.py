"""Endpoints and EndpointSlices: where a Service's traffic goes."""

from __future__ import annotations

from collections.abc import Iterator
from ipaddress import ip_address

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .addressforms import address_fault, ip_fault
from .immutable import unchanged
from .kindwarnings import endpoints_warnings, slice_warnings
from .strategy import Strategy

_PROTOCOLS = ("SCTP", "TCP", "UDP")
_MAX_HINTS = 16
_ADDRESS_TYPES = ("FQDN", "IPv4", "IPv6")


class EndpointsStrategy(Strategy):
    immutable_spec_generation = True
    allow_create_on_update = True
    warns_always = True

    def warnings(self, obj: Object) -> Iterator[str]:
        yield from endpoints_warnings(obj)

    def default(self, obj: Object) -> None:
        for subset in obj.get("subsets") or ():
            for port in subset.get("ports") or ():
                port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        for index, subset in enumerate(obj.get("subsets") or ()):
            here = path.subsets[index]
            ready, unready = subset.get("addresses") or [], subset.get("notReadyAddresses") or []
            if not ready and not unready:
                yield here.required("must specify `addresses` or `notReadyAddresses`")
            for name, listed in (("addresses", ready), ("notReadyAddresses", unready)):
                for position, address in enumerate(listed):
                    yield from _validate_address(address, here.child(name)[position])
            ports = subset.get("ports") or []
            for position, port in enumerate(ports):
                yield from _validate_endpoint_port(port, len(ports) > 1, here.ports[position])


class EndpointSliceStrategy(Strategy):
    labels_count = True

    def warnings(self, obj: Object) -> Iterator[str]:
        if obj.get("addressType") == "FQDN":
            yield "spec.addressType: FQDN endpoints are deprecated"
        yield from slice_warnings(obj)

    def update_warnings(self, new: Object, old: Object) -> Iterator[str]:
        yield from slice_warnings(new)

    def prepare_create(self, obj: Object) -> None:
        _drop_topology(obj)

    def prepare_update(self, new: Object, old: Object) -> None:
        if new.get("endpoints") != old.get("endpoints"):
            _drop_topology(new)

    def default(self, obj: Object) -> None:
        for port in obj.get("ports") or ():
            port.setdefault("name", "")
            port["protocol"] = port.get("protocol") or "TCP"

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        kind = obj.get("addressType", "")
        if not kind:
            yield path.addressType.required()
        elif kind not in _ADDRESS_TYPES:
            yield path.addressType.not_supported(kind, _ADDRESS_TYPES)
        endpoints, ports = obj.get("endpoints") or [], obj.get("ports") or []
        if len(endpoints) > 1000:
            yield path.endpoints.too_many(len(endpoints), 1000)
        for index, endpoint in enumerate(endpoints):
            yield from _validate_endpoint(endpoint, kind, path.endpoints[index])
        if len(ports) > 20000:
            yield path.ports.too_many(len(ports), 20000)
        yield from _validate_slice_ports(ports, path.ports)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("addressType"), old.get("addressType"), path.addressType)


def _drop_topology(endpoints: Object) -> None:
    """A field of the first version, which this one does not write."""
    for endpoint in endpoints.get("endpoints") or ():
        endpoint.pop("deprecatedTopology", None)


def _validate_address(address: Object, path: Path) -> Iterator[FieldError]:
    ip = address.get("ip", "")
    if fault := ip_fault(ip):
        yield address_fault(ip, fault, path.ip)
    else:
        yield from validate_not_special(ip, path.ip)
    if hostname := address.get("hostname"):
        for text in names.dns_label(hostname):
            yield path.hostname.invalid(hostname, text)
    if node := address.get("nodeName"):
        for text in names.dns_subdomain(node):
            yield path.nodeName.invalid(node, text)


def validate_not_special(ip: str, path: Path) -> Iterator[FieldError]:
    """Addresses that mean this machine or this link cannot be endpoints."""
    address = ip_address(ip)
    if address.is_unspecified:
        yield path.invalid(ip, f"may not be unspecified ({ip})")
    if address.is_loopback:
        yield path.invalid(ip, "may not be in the loopback range (127.0.0.0/8, ::1/128)")
    if address.is_link_local:
        yield path.invalid(ip, "may not be in the link-local range (169.254.0.0/16, fe80::/10)")
    if address.is_multicast and ip.startswith(("224.0.0.", "ff02")):
        yield path.invalid(ip, "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)")


def _validate_endpoint_port(port: Object, need_name: bool, path: Path) -> Iterator[FieldError]:
    name = port.get("name", "")
    if need_name and not name:
        yield path.name.required()
    elif name:
        for text in names.dns_label(name):
            yield path.name.invalid(name, text)
    for text in names.port_number(port.get("port", 0)):
        yield path.port.invalid(port.get("port", 0), text)
    if port.get("protocol") not in _PROTOCOLS:
        yield path.protocol.not_supported(port.get("protocol", ""), _PROTOCOLS)


def _validate_endpoint(endpoint: Object, kind: str, path: Path) -> Iterator[FieldError]:
    addresses = endpoint.get("addresses") or []
    if not addresses:
        yield path.addresses.required("must contain at least 1 address")
    elif len(addresses) > 100:
        yield path.addresses.too_many(len(addresses), 100)
    for index, address in enumerate(addresses):
        yield from _validate_slice_address(address, kind, path.addresses[index])
    if node := endpoint.get("nodeName"):
        for text in names.dns_subdomain(node):
            yield path.nodeName.invalid(node, text)
    if hostname := endpoint.get("hostname"):
        for text in names.dns_label(hostname):
            yield path.hostname.invalid(hostname, text)
    if hints := endpoint.get("hints"):
        yield from _validate_hints(hints, path.hints)


def _validate_hints(hints: Object, path: Path) -> Iterator[FieldError]:
    """For which zones and nodes an endpoint is meant."""
    for field, rule in (("forZones", names.label_value), ("forNodes", names.dns_subdomain)):
        listed, taken, here = hints.get(field) or [], set(), path.child(field)
        if len(listed) > _MAX_HINTS:
            yield here.too_many(len(listed), _MAX_HINTS)
            continue
        for index, entry in enumerate(listed):
            name = entry.get("name", "")
            if name in taken:
                yield here[index].name.duplicate(name)
            taken.add(name)
            for text in rule(name):
                yield here[index].name.invalid(name, text)


def _validate_slice_address(address: str, kind: str, path: Path) -> Iterator[FieldError]:
    if kind == "FQDN":
        faults = names.dns_subdomain(address)
        for text in faults:
            yield path.invalid(address, text)
        if not faults and "." not in address:
            yield path.invalid(address, "should be a domain with at least two segments separated by dots")
        return
    if fault := ip_fault(address):
        yield address_fault(address, fault, path)
    elif kind == "IPv4" and ":" in address:
        yield path.invalid(address, "must be an IPv4 address")
    elif kind == "IPv6" and ":" not in address:
        yield path.invalid(address, "must be an IPv6 address")
    else:
        yield from validate_not_special(address, path)


def _validate_slice_ports(ports: list[Object], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        here, name = path[index], port.get("name", "")
        for text in names.dns_label(name) if name else ():
            yield here.name.invalid(name, text)
        if name in taken:
            yield here.name.duplicate(name)
        taken.add(name)
        if port.get("protocol") not in _PROTOCOLS:
            yield here.protocol.not_supported(port.get("protocol", ""), _PROTOCOLS)
        if protocol := port.get("appProtocol"):
            for text in names.qualified_name(protocol):
                yield here.appProtocol.invalid(protocol, text)
