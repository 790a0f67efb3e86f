"""How addresses and networks may be written: what is refused, and what is only warned of. Verdicts are
cached: the same few addresses come again and again.

Fields that are older than 1.33 refuse leading zeros, IPv4 inside IPv6 and, in networks, bits beyond the
prefix (KEP-4858), and warn of IPv6 that is not written as RFC 5952 demands. Wording: apimachinery
`util/validation/ip.go`, `apis/core/validation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any, TypeAlias

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

Address: TypeAlias = IPv4Address | IPv6Address
Network: TypeAlias = IPv4Network | IPv6Network

NOT_IP = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"
NOT_CIDR = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"
_is_dotted = re.compile(r"[0-9]+(\.[0-9]+){3}", re.ASCII).fullmatch
_is_prefix = re.compile("[0-9]+", re.ASCII).fullmatch


@lru_cache(maxsize=4096)
def parsed_ip(text: str) -> Address | None:
    """Also of one with leading zeros; None: no address."""
    if _is_dotted(text):
        text = ".".join(str(int(part)) for part in text.split(".") if len(part) < 10)
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return None if getattr(address, "scope_id", None) else address


@lru_cache(maxsize=4096)
def parsed_cidr(text: str) -> tuple[Address, Network] | None:
    """The address that was written, and its network; None: no network."""
    start, slash, length = text.partition("/")
    address = parsed_ip(start)
    if address is None or not slash or not _is_prefix(length) or len(length) > 9:
        return None
    try:
        return address, ip_network(f"{address}/{int(length)}", strict=False)
    except ValueError:
        return None


@lru_cache(maxsize=4096)
def ip_fault(text: str) -> str:
    """What is wrong with an address; empty: nothing."""
    address = parsed_ip(text)
    if address is None:
        return NOT_IP
    if _has_zeros(text):
        return "must not have leading 0s"
    return "must not be an IPv4-mapped IPv6 address" if _is_mapped(address) else ""


@lru_cache(maxsize=4096)
def cidr_fault(text: str) -> str:
    """What is wrong with a network; empty: nothing."""
    parsed = parsed_cidr(text)
    if parsed is None:
        return NOT_CIDR
    address, network = parsed
    start, _, length = text.partition("/")
    if _has_zeros(start) or length != str(network.prefixlen):
        return "must not have leading 0s in IP or prefix length"
    if _is_mapped(address):
        return "must not have an IPv4-mapped IPv6 address"
    if address != network.network_address:
        return "must not have bits set beyond the prefix length"
    return ""


@dataclass(frozen=True, slots=True)
class AddressFault(FieldError):
    """A fault that an object may keep that had it when the rule was made."""

    address: str = ""


def address_fault(text: str, fault: str, path: Path) -> AddressFault:
    found = path.invalid(text, fault)
    return AddressFault(found.field, found.reason, found.text, text)


def validate_ip(text: str, path: Path) -> Iterator[FieldError]:
    if fault := ip_fault(text):
        yield address_fault(text, fault, path)


def validate_cidr(text: str, path: Path) -> Iterator[FieldError]:
    if fault := cidr_fault(text):
        yield address_fault(text, fault, path)


def without_old(faults: Iterable[FieldError], old: Object) -> Iterator[FieldError]:
    """Those of a change: an address that the same part of the object held before may stay as it is."""
    known: dict[str, frozenset[str]] = {}
    for fault in faults:
        if isinstance(fault, AddressFault):
            part = re.split(r"[.\[]", fault.field, maxsplit=1)[0]
            if part not in known:
                known[part] = frozenset(_texts(old.get(part)))
            if fault.address in known[part]:
                continue
        yield fault


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for entry in value.values() if isinstance(value, dict) else value:
            yield from _texts(entry)


def ip_warnings(addresses: Iterable[str], path: Path) -> Iterator[str]:
    """Of a list of addresses."""
    for index, text in enumerate(addresses):
        if ":" in text:
            yield from ip_warning(text, path[index])


def ip_warning(text: str, path: Path) -> Iterator[str]:
    """Of what `validate_ip` accepts, and of older objects."""
    address = parsed_ip(text)
    if address is None or str(address) == text:
        return
    if _has_zeros(text) or _is_mapped(address):
        plain = getattr(address, "ipv4_mapped", None) or address
        yield (
            f'{path}: non-standard IP address "{text}" will be considered invalid in a future Kubernetes'
            f' release: use "{plain}"'
        )
    else:
        yield f'{path}: IPv6 address "{text}" should be in RFC 5952 canonical format ("{address}")'


def cidr_warnings(text: str, path: Path) -> Iterator[str]:
    """Of what `validate_cidr` accepts, and of older objects."""
    parsed = parsed_cidr(text)
    if parsed is None or str(parsed[1]) == text:
        return
    address, network = parsed
    start, _, length = text.partition("/")
    ambiguous = address != network.network_address
    if ambiguous:
        yield (
            f'{path}: CIDR value "{text}" is ambiguous in this context (should be "{network}" or '
            f'"{address}/{network.max_prefixlen}"?)'
        )
    if _has_zeros(start) or _is_mapped(address) or length != str(network.prefixlen):
        yield (
            f'{path}: non-standard CIDR value "{text}" will be considered invalid in a future Kubernetes'
            f' release: use "{network}"'
        )
    elif not ambiguous:
        yield f'{path}: IPv6 CIDR value "{text}" should be in RFC 5952 canonical format ("{network}")'


def _has_zeros(text: str) -> bool:
    return bool(_is_dotted(text)) and any(len(part) > 1 and part[0] == "0" for part in text.split("."))


def _is_mapped(address: Address) -> bool:
    return getattr(address, "ipv4_mapped", None) is not None
