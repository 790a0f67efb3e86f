"""A Backend in memory: it answers from the Ruleset what the kernel would do. `test_contract.py` holds it to
the kernel's behaviour."""

from __future__ import annotations

from kplane.proxy.backend import SyncFailed
from kplane.proxy.plan import Ruleset, ServiceRules

REFUSED, DROPPED = "refused", "dropped"


class FakeBackend:
    def __init__(self) -> None:
        self.rules = Ruleset()
        self.syncs = 0
        self.failures = 0
        """How many of the next syncs fail."""

    async def sync(self, rules: Ruleset) -> None:
        if self.failures:
            self.failures -= 1
            raise SyncFailed("the kernel said no")
        self.rules = rules
        self.syncs += 1

    async def cleanup(self) -> None:
        self.rules = Ruleset()

    def outcomes(self, address: str, port: int, *, inside: bool) -> set[str]:
        """Where TCP connections end, by a client inside the cluster or outside."""
        for rules in self.rules.services:
            if rules.protocol != "tcp":
                continue
            if (address, port) == (rules.cluster_ip, rules.port):
                return _ends(rules, stay=rules.internal_local)
            at_node = port == rules.node_port and address in self.rules.ipv4.node_port_addresses
            if at_node or (port == rules.port and address in rules.outer_ips):
                return _ends(rules, stay=rules.external_local and not inside)
        return {REFUSED}


def _ends(rules: ServiceRules, *, stay: bool) -> set[str]:
    targets = rules.local if stay else rules.cluster
    if targets:
        return {target.ip for target in targets}
    return {DROPPED if rules.has_endpoints else REFUSED}
