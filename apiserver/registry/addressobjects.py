"""IPAddresses and ServiceCIDRs: which addresses Services have, and where they come from.

Their meaning is in `addresses.py` and `servicecidrs.py`; these are the rules of what may be written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from ipaddress import ip_address, ip_network

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.names import Faults
from kplane.api.resource import Object

from .immutable import IMMUTABLE, unchanged
from .networking import CIDR, is_network
from .status import StatusStrategy
from .strategy import Strategy


def canonical_ip(value: str) -> Faults:
    """An address in the one form in which it is printed: the name of an IPAddress."""
    if faults := names.ip(value):
        return faults
    form = str(ip_address(value))
    return () if form == value else (f'must be in canonical form ("{form}")',)


class IPAddressStrategy(Strategy):
    name_rule = staticmethod(canonical_ip)
    selectable = ("spec.parentRef.name",)
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        parent = (obj.get("spec") or {}).get("parentRef")
        here = path.spec.parentRef
        if parent is None:
            yield here.required()
            return
        for text in names.dns_subdomain(parent["group"]) if parent.get("group") else ():
            yield here.group.invalid(parent["group"], text)
        for name in ("resource", "name", "namespace"):
            value = parent.get(name, "")
            if not value and name != "namespace":
                yield here.child(name).required()
            for text in names.path_segment(value):
                yield here.child(name).invalid(value, text)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new["spec"].get("parentRef"), old["spec"].get("parentRef")
        yield from unchanged(now, was, path.spec.parentRef)

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.parentRef.name": ((obj.get("spec") or {}).get("parentRef") or {}).get("name", "")}


class ServiceCIDRStrategy(StatusStrategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        obj.setdefault("spec", {})

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        networks, here = (obj.get("spec") or {}).get("cidrs") or [], path.spec.cidrs
        if not networks:
            yield here.required("at least one CIDR required")
        elif len(networks) > 2:
            yield here.invalid({"CIDRs": networks}, "may only hold up to 2 values")
        elif len(networks) == 2 and not _is_dual(networks):
            text = "may specify no more than one IP for each IP family, i.e 192.168.0.0/24 and 2001:db8::/64"
            yield here.invalid({"CIDRs": networks}, text)
        else:
            yield from _validate_networks(networks, here)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was, here = new["spec"].get("cidrs") or [], old["spec"].get("cidrs") or [], path.spec.cidrs
        # A cluster may get its second family later.
        grown = len(was) == 1 and len(now) == 2
        if len(now) != len(was) and not grown:
            yield here.invalid(now, IMMUTABLE)
            return
        for index, network in enumerate(was):
            if now[index] != network:
                yield here[index].invalid(now[index], IMMUTABLE)


def _is_dual(networks: Sequence[str]) -> bool:
    if not all(map(is_network, networks)):
        return False
    return {ip_network(text, strict=False).version for text in networks} == {4, 6}


def _validate_networks(networks: Sequence[str], path: Path) -> Iterator[FieldError]:
    for index, text in enumerate(networks):
        if not is_network(text):
            yield path[index].invalid(text, CIDR)
        elif (form := str(ip_network(text, strict=False))) != text:
            if ip_network(text, strict=False).network_address != ip_address(text.partition("/")[0]):
                why = "must not have bits set beyond the prefix length"
            else:
                why = f'must be in canonical form ("{form}")'
            yield path[index].invalid(text, why)
