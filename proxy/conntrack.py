"""Flows of connectionless protocols that the kernel must forget after a change.

TCP connections to a removed endpoint end by themselves. UDP has no end: a client that keeps sending from one
port would go on to the endpoint that is gone, or to none although there is one now. An endpoint that still
serves keeps its flows, also while it terminates, and where hints have come to prefer another.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence

from .nft import CommandFailed, Commands
from .plan import Ruleset, ServiceRules

log = logging.getLogger(__name__)

NOTHING_FOUND = "0 flow entries have been deleted"


def stale_flows(old: Ruleset, new: Ruleset) -> Sequence[Sequence[str]]:
    """What to delete, each as conntrack's arguments."""
    before = {(rules.name, rules.cluster_ip): rules for rules in old.services if rules.protocol == "udp"}
    after = {(rules.name, rules.cluster_ip): rules for rules in new.services if rules.protocol == "udp"}
    found: dict[Sequence[str], None] = {}
    for name, was in before.items():
        now = after.get(name)
        found |= dict.fromkeys(_to_removed_targets(was, now))
    for name, now in after.items():
        earlier = before.get(name)
        if now.has_endpoints and (earlier is None or not earlier.has_endpoints):
            found |= dict.fromkeys(_to_addresses(now))
    return list(found)


def _to_removed_targets(was: ServiceRules, now: ServiceRules | None) -> Iterator[Sequence[str]]:
    left = {(target.ip, target.port) for target in now.serving} if now is not None else set()
    for target in was.serving:
        if (target.ip, target.port) not in left:
            for flow in _to_addresses(was):
                yield (*flow, "--dst-nat", target.ip)


def _to_addresses(rules: ServiceRules) -> Iterator[tuple[str, ...]]:
    """Flows to the addresses of a Service port."""
    family = ("--family", "ipv6") if ":" in rules.cluster_ip else ()
    for ip in (rules.cluster_ip, *rules.outer_ips):
        yield (*family, "--proto", "udp", "--orig-dst", ip, "--dport", str(rules.port))
    if rules.node_port:
        yield (*family, "--proto", "udp", "--dport", str(rules.node_port))


async def forget(flows: Sequence[Sequence[str]], commands: Commands) -> None:
    """Delete flows. Failure is not fatal: they expire by themselves when the client pauses."""
    for flow in flows:
        try:
            await commands.run(["conntrack", "-D", *flow])
        except CommandFailed as error:
            if NOTHING_FOUND not in str(error):
                log.warning("stale flows kept flow=%s why=%s", " ".join(flow), error)
