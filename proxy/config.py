"""Configuration of the proxy: its flags, under upstream's names."""

from __future__ import annotations

import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from pathlib import Path

from kplane.runtime.process import Fatal, FlagParser, flag_bool, flag_duration

from .plan import PRIMARY


@dataclass(frozen=True)
class Address:
    """Where a server listens."""

    ip: str
    port: int


@dataclass(frozen=True)
class Config:
    node_name: str
    kubeconfig: Path | None = None
    cluster_cidr: str = ""
    masquerade_all: bool = False
    node_port_addresses: Sequence[str] = (PRIMARY,)
    min_sync_period: float = 1.0
    healthz: Address = Address("0.0.0.0", 10256)  # noqa: S104 - upstream's default
    metrics: Address = Address("127.0.0.1", 10249)
    cleanup: bool = False
    verbosity: int = 0


def parse(argv: Sequence[str] | None) -> Config:
    """Flags to Config. Raises Fatal for what makes no sense."""
    options = vars(_parser().parse_args(argv))
    del options["proxy_mode"]  # nftables is the only one
    options["node_name"] = options["node_name"] or socket.gethostname().lower()
    for cidr in (entry for entry in options["cluster_cidr"].split(",") if entry):
        _network(cidr, "--cluster-cidr")
    addresses = [entry for text in options["node_port_addresses"] for entry in text.split(",") if entry]
    if PRIMARY not in addresses:
        for cidr in addresses:
            _network(cidr, "--nodeport-addresses")
    options["node_port_addresses"] = tuple(addresses) or (PRIMARY,)
    return Config(**options)


def _parser() -> FlagParser:
    parser = FlagParser("kplane proxy", "Makes Services work on a node, through nftables.")
    add = parser.add_argument
    add("--kubeconfig", type=Path, help="how to reach the API server")
    add("--hostname-override", dest="node_name", default="", help="name of this node")
    add("--cluster-cidr", default="", help="addresses of Pods; other clients get the node's source address")
    add("--masquerade-all", type=flag_bool, nargs="?", const=True, default=False)
    add(
        "--nodeport-addresses", dest="node_port_addresses", action="append", default=[],
        help="CIDRs of this node at which NodePorts answer, or 'primary' for the node's own addresses",
    )  # fmt: skip
    add("--nftables-min-sync-period", dest="min_sync_period", type=flag_duration, default=1.0)
    add("--healthz-bind-address", dest="healthz", type=_address(10256), default=Config.healthz)
    add("--metrics-bind-address", dest="metrics", type=_address(10249), default=Config.metrics)
    add("--proxy-mode", choices=["", "nftables"], default="nftables")
    add("--cleanup", type=flag_bool, nargs="?", const=True, default=False, help="remove all rules and exit")
    add("--v", dest="verbosity", type=int, default=0, help="how much to log")
    return parser


def _address(default_port: int) -> Callable[[str], Address]:
    """A parser of `IP:port`, `[IP]:port`, or an IP alone."""

    def parse_address(text: str) -> Address:
        host, colon, port = text.rpartition(":")
        if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
            host, port = text, str(default_port)
        try:
            return Address(str(ip_address(host.strip("[]"))), int(port))
        except ValueError as error:
            raise Fatal(f'"{text}" is not an address such as 127.0.0.1:{default_port}') from error

    return parse_address


def _network(text: str, flag: str) -> None:
    try:
        ip_network(text, strict=False)
    except ValueError as error:
        raise Fatal(f'{flag}: "{text}" is not a CIDR such as 10.244.0.0/16') from error
