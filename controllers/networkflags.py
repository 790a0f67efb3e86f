"""Flags about the cluster's networks, under upstream's names, and their checks.

Elsewhere: giving out ranges (nodeipam/), which subclasses of flags there are otherwise (config.py).
"""

from __future__ import annotations

from argparse import ArgumentParser
from ipaddress import ip_network
from typing import Any

from kplane.runtime.process import Fatal, flag_bool, flag_duration

from .nodeipam.ranges import Network


def add_flags(parser: ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--allocate-node-cidrs", type=flag_bool, nargs="?", const=True, default=False,
        help="give each Node a range of Pod addresses, out of --cluster-cidr",
    )  # fmt: skip
    add("--cluster-cidr", default="", help="networks of Pods, one of each family, with commas between them")
    add("--service-cluster-ip-range", default="", help="networks of Services, never given to Nodes")
    add("--node-cidr-mask-size", type=int, default=0, help="bits of a Node's range; 24, or 64 for IPv6")
    add("--node-cidr-mask-size-ipv4", type=int, default=0)
    add("--node-cidr-mask-size-ipv6", type=int, default=0)
    add("--mirroring-max-endpoints-per-subset", type=int, default=1000)
    for what, text in (
        ("endpoint", "time for which changes of Pods are gathered before Endpoints are written"),
        ("endpointslice", "the same for EndpointSlices"),
        ("mirroring-endpointslice", "the same for EndpointSlices that mirror Endpoints"),
    ):
        add(f"--{what}-updates-batch-period", type=flag_duration, default=0.0, help=text)


def settle(options: dict[str, Any]) -> None:
    """Replace texts by networks in `options`. Raises Fatal for what makes no sense."""
    options["cluster_cidrs"] = _networks("--cluster-cidr", options.pop("cluster_cidr"))
    options["service_cidrs"] = _networks(
        "--service-cluster-ip-range", options.pop("service_cluster_ip_range")
    )
    if not 1 <= options["mirroring_max_endpoints_per_subset"] <= 1000:
        raise Fatal("--mirroring-max-endpoints-per-subset must be from 1 to 1000")
    if not options["allocate_node_cidrs"]:
        return
    if not options["cluster_cidrs"]:
        raise Fatal("--cluster-cidr must be set to a valid CIDR range if --allocate-node-cidrs is true")
    sizes = {4: options["node_cidr_mask_size_ipv4"], 6: options["node_cidr_mask_size_ipv6"]}
    both = len(options["cluster_cidrs"]) > 1
    if both and options["node_cidr_mask_size"]:
        raise Fatal(
            "usage of --node-cidr-mask-size is not allowed with dual-stack clusters; use "
            "--node-cidr-mask-size-ipv4 and --node-cidr-mask-size-ipv6"
        )
    for network in options["cluster_cidrs"]:
        default = 24 if network.version == 4 else 64
        size = sizes[network.version] or options["node_cidr_mask_size"] or default
        if not network.prefixlen <= size <= network.max_prefixlen:
            raise Fatal(f"the node CIDR mask size {size} does not fit into the cluster CIDR {network}")
        if network.version == 6 and size - network.prefixlen > 16:
            raise Fatal("New CIDR set failed; the node CIDR size is too big")


def _networks(flag: str, text: str) -> tuple[Network, ...]:
    try:
        found = tuple(ip_network(part.strip(), strict=False) for part in text.split(",") if part.strip())
    except ValueError as error:
        raise Fatal(f"invalid {flag}: {error}") from error
    if len({network.version for network in found}) < len(found):
        raise Fatal(f"{flag}: at most one network of each address family")
    return found
