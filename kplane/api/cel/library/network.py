"""`ip('…')` and `cidr('…')`. Strict, as Go's `net/netip`: no zones, no leading zeros, no mapped addresses."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from typing import Any, TypeAlias

from .. import charges
from ..errors import EvaluationError
from ..named import CIDR, IP
from ..overload import (
    ONE,
    TRAVERSAL,
    Charge,
    Estimated,
    Operand,
    Overload,
    Range,
    function,
    method,
    traversal,
)
from ..types import BOOL, INT, STRING
from ..values import Opaque

Address: TypeAlias = ipaddress.IPv4Address | ipaddress.IPv6Address
_Interface: TypeAlias = ipaddress.IPv4Interface | ipaddress.IPv6Interface


class Ip(Opaque):
    __slots__ = ("address",)
    type_name = IP.name

    def __init__(self, address: Address) -> None:
        self.address = address

    @property
    def size(self) -> int:
        return self.address.max_prefixlen // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Ip) and self.address == other.address

    def __hash__(self) -> int:
        return hash(self.address)

    def __str__(self) -> str:
        return str(self.address)


class Cidr(Opaque):
    """A network; keeps the bits of the host part, until `masked()`."""

    __slots__ = ("interface",)
    type_name = CIDR.name

    def __init__(self, interface: _Interface) -> None:
        self.interface = interface

    @property
    def size(self) -> int:
        return (self.interface.network.prefixlen + 7) // 8

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Cidr) and self.interface == other.interface

    def __hash__(self) -> int:
        return hash(self.interface)

    def __str__(self) -> str:
        return str(self.interface)


def _address(text: str) -> Address:
    """Raises ValueError, worded as upstream's."""
    if "%" in text:
        raise ValueError(f'IP address "{text}" with zone value is not allowed')
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        fault = f'IP Address "{text}" parse error during conversion from string'
        raise ValueError(f'{fault}: ParseAddr("{text}"): unable to parse IP') from None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        raise ValueError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return address


def _network(text: str) -> _Interface:
    base, slash, bits = text.partition("/")
    plain = bits.isascii() and bits.isdecimal() and (bits == "0" or not bits.startswith("0"))
    fault = f'network address parse error during conversion from string: netip.ParsePrefix("{text}")'
    if not slash or not plain or len(bits) > 3:
        raise ValueError(f"{fault}: no '/'" if not slash else f'{fault}: bad bits after slash: "{bits}"')
    try:
        _address(base)
        return ipaddress.ip_interface(text)
    except ValueError as error:
        raise ValueError(
            f"{fault}: {error}" if "parse error" not in str(error) else f"{fault}: unable to parse IP"
        ) from None


def _parsed(parse: Callable[[str], Any], wrap: Callable[[Any], Any]) -> Callable[[str], Any]:
    def run(text: str) -> Any:
        try:
            return wrap(parse(text))
        except ValueError as error:
            raise EvaluationError(str(error)) from None

    return run


def _accepts(parse: Callable[[str], Any]) -> Callable[[str], bool]:
    def run(text: str) -> bool:
        try:
            parse(text)
        except ValueError:
            return False
        return True

    return run


def _is_canonical(text: str) -> bool:
    ip: Ip = _ip(text)
    return str(ip.address) == text


def _is_global(ip: Ip) -> bool:
    """Go's IsGlobalUnicast: private addresses are global, too."""
    address = ip.address
    broadcast = address == ipaddress.ip_address("255.255.255.255")
    special = address.is_unspecified or address.is_loopback or address.is_multicast or _link_local(ip)
    return not special and not broadcast


def _link_local(ip: Ip) -> bool:
    return ip.address.is_link_local and not ip.address.is_multicast


def _link_local_multicast(ip: Ip) -> bool:
    address = ip.address
    if isinstance(address, ipaddress.IPv4Address):
        return address in ipaddress.ip_network("224.0.0.0/24")
    return address.packed[0] == 0xFF and address.packed[1] & 0x0F == 2


def _contains_ip(cidr: Cidr, other: Any) -> bool:
    address = (_ip(other) if isinstance(other, str) else other).address
    network = cidr.interface.network
    return bool(address.version == network.version and address in network)


def _contains_cidr(cidr: Cidr, other: Any) -> bool:
    found = (_cidr(other) if isinstance(other, str) else other).interface
    network = cidr.interface.network
    if found.version != network.version or found.network.prefixlen < network.prefixlen:
        return False
    return bool(found.ip in network)


def _masked(cidr: Cidr) -> Cidr:
    return Cidr(ipaddress.ip_interface(str(cidr.interface.network)))


_ip = _parsed(_address, Ip)
_cidr = _parsed(_network, Cidr)
_BYTES = Range(4, 16)


def _containment(whole: bool) -> Charge:
    """Comparing the prefixes; with another network also masking it; and parsing what is given as a string."""

    def estimate(operands: Any) -> Estimated:
        cost = _BYTES.plus(_BYTES).factor(TRAVERSAL)
        if whole:
            cost = cost.plus(_BYTES.factor(TRAVERSAL)).plus(ONE)
        return Estimated(cost.plus(_parsing(operands[1])))

    def price(cidr: Cidr, other: Any) -> int:
        cost = -(-2 * cidr.size // 10)
        if whole:
            cost += traversal(cidr) + 1
        return cost + (traversal(other) if isinstance(other, str) else 0)

    return Charge(estimate, price)


def _parsing(operand: Operand) -> Range:
    return operand.size.factor(TRAVERSAL) if operand.type.kind == "string" else Range(0, 0)


OVERLOADS: list[Overload] = [
    function("ip", (STRING,), IP, _ip, charges.reads()),
    function("isIP", (STRING,), BOOL, _accepts(_address), charges.reads()),
    function("ip.isCanonical", (STRING,), BOOL, _is_canonical, charges.reads(factor=2)),
    method("family", (IP,), INT, lambda ip: ip.address.version),
    method("isUnspecified", (IP,), BOOL, lambda ip: ip.address.is_unspecified),
    method("isLoopback", (IP,), BOOL, lambda ip: ip.address.is_loopback),
    method("isLinkLocalMulticast", (IP,), BOOL, _link_local_multicast),
    method("isLinkLocalUnicast", (IP,), BOOL, _link_local),
    method("isGlobalUnicast", (IP,), BOOL, _is_global),
    function("string", (IP,), STRING, str),
    function("cidr", (STRING,), CIDR, _cidr, charges.reads()),
    function("isCIDR", (STRING,), BOOL, _accepts(_network), charges.reads()),
    *(method("containsIP", (CIDR, kind), BOOL, _contains_ip, _containment(False)) for kind in (IP, STRING)),
    *(
        method("containsCIDR", (CIDR, kind), BOOL, _contains_cidr, _containment(True))
        for kind in (CIDR, STRING)
    ),
    method("ip", (CIDR,), IP, lambda cidr: Ip(cidr.interface.ip)),
    method("masked", (CIDR,), CIDR, _masked),
    method("prefixLength", (CIDR,), INT, lambda cidr: cidr.interface.network.prefixlen),
    function("string", (CIDR,), STRING, str),
]
