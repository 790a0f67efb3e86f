"""A pod's resolver configuration, by its dnsPolicy. Pure, but for reading the host's resolv.conf.

Source: the kubelet's `network/dns`: at most 3 name servers, 32 search domains of 2048 characters together.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from .config import KubeletConfig
from .pod import Pod
from .runtime.interface import Dns

MAX_SERVERS = 3
MAX_SEARCHES = 32


def parse(text: str) -> Dns:
    """resolv.conf; the last `search` line counts."""
    servers: list[str] = []
    searches: list[str] = []
    options: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if not words or words[0].startswith(("#", ";")):
            continue
        if words[0] == "nameserver" and len(words) > 1:
            servers.append(words[1])
        elif words[0] == "search":
            searches = [word.rstrip(".") or word for word in words[1:]]
        elif words[0] == "options":
            options = words[1:]
    return Dns(tuple(servers), tuple(searches), tuple(options))


def host(path: Path) -> Dns:
    """The node's own configuration; nothing where the file is missing."""
    try:
        return parse(path.read_text())
    except FileNotFoundError:
        return Dns()


def for_pod(pod: Pod, config: KubeletConfig, node: Dns) -> Dns:
    """The configuration of one pod; `node` is what `host` returned."""
    base = _by_policy(pod, config, node)
    extra = pod.spec.dns_config
    options = _merged_options(
        base.options,
        [f"{entry.name}:{entry.value}" if entry.value else entry.name for entry in extra.options],
    )
    return Dns(
        _unique([*base.servers, *extra.nameservers])[:MAX_SERVERS],
        _unique([*base.searches, *extra.searches])[:MAX_SEARCHES],
        options,
    )


def _by_policy(pod: Pod, config: KubeletConfig, node: Dns) -> Dns:
    policy = pod.spec.dns_policy
    if policy == "None":
        return Dns()
    in_cluster = policy == "ClusterFirstWithHostNet" or (
        policy == "ClusterFirst" and not pod.spec.host_network
    )
    if not in_cluster or not config.cluster_dns:
        return node
    domain = config.cluster_domain
    searches = [f"{pod.metadata.namespace}.svc.{domain}", f"svc.{domain}", domain, *node.searches]
    return Dns(tuple(config.cluster_dns), tuple(searches), ("ndots:5",))


def _unique(values: Iterable[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(values))


def _merged_options(base: Iterable[str], extra: Iterable[str]) -> tuple[str, ...]:
    """One entry per option name; the pod's own win."""
    merged = {option.partition(":")[0]: option for option in base}
    merged |= {option.partition(":")[0]: option for option in extra}
    return tuple(merged.values())
