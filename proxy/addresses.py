"""The addresses of this machine, from /proc/net: which of them are in given networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from pathlib import Path

PROC = Path("/proc/net")
_LOCAL = re.compile(r"\|-- (\S+)\n\s+/32 host LOCAL")


def local_addresses(proc: Path = PROC) -> Sequence[str]:
    """All of them, each once; none of a family that the kernel does not have."""
    found = dict.fromkeys(_LOCAL.findall(_text(proc / "fib_trie")))
    for line in _text(proc / "if_inet6").splitlines():
        found[str(IPv6Address(int(line.split()[0], 16)))] = None
    return list(found)


def listening_at(wanted: Iterable[str], version: int, local: Sequence[str]) -> Sequence[str]:
    """The addresses to listen at for addresses and networks of a family; the unspecified one for all."""
    found: dict[str, None] = {}
    for text in wanted:
        network = ip_network(text)
        if network.version != version:
            continue
        if network.prefixlen == 0:
            return [str(network.network_address)]
        found |= dict.fromkeys(_within(network, local))
    return list(found)


def _within(network: IPv4Network | IPv6Network, local: Sequence[str]) -> list[str]:
    if network.prefixlen == network.max_prefixlen:
        return [str(network.network_address)]
    return [address for address in local if ip_address(address) in network]


def _text(path: Path) -> str:
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
