"""What carries out a Ruleset: nftables, or anything that passes `tests/proxy/contract`."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Protocol

from .conntrack import forget, stale_flows
from .nft import CommandFailed, Commands
from .nftables import IPV4, IPV6, TABLE, Family, Options, render
from .plan import Ruleset
from .table import Table, delete, transaction

log = logging.getLogger(__name__)


class SyncFailed(Exception):
    """The rules could not be applied; the old ones are in force, whole."""


class Backend(Protocol):
    async def sync(self, rules: Ruleset) -> None:
        """Make the node behave as `rules` say, in one step. Raises SyncFailed."""

    async def cleanup(self) -> None:
        """Remove everything that `sync` has made. Raises SyncFailed."""


class Nftables:
    """Rules in the kernel. The first sync replaces whatever a predecessor left, later ones send differences.

    Invariant: `_applied` is what the kernel holds, or None if that is not known.
    """

    def __init__(
        self, commands: Commands, options: Options, families: Sequence[Family] = (IPV4, IPV6)
    ) -> None:
        self._commands = commands
        self._options = options
        self._families = families
        self._applied: dict[str, Table] | None = None
        self._rules = Ruleset()

    async def sync(self, rules: Ruleset) -> None:
        wanted = self._tables(rules)
        script = "\n".join(self._statements(wanted))
        if script:
            before, self._applied = self._applied, None
            await self._apply(script)
            log.info("rules applied full=%s bytes=%d", before is None, len(script))
        self._applied = wanted
        stale, self._rules = stale_flows(self._rules, rules), rules
        await forget(stale, self._commands)

    async def cleanup(self) -> None:
        self._applied = None
        statements = [line for family in self._families for line in delete(family.word, TABLE)]
        await self._apply("\n".join(statements))

    def _tables(self, rules: Ruleset) -> dict[str, Table]:
        parts = {IPV4.word: rules.ipv4, IPV6.word: rules.ipv6}
        return {
            family.word: render(parts[family.word], family, self._of_family(family))
            for family in self._families
        }

    def _of_family(self, family: Family) -> Options:
        """The options with that Pod CIDR of a dual-stack list which belongs to the family."""
        cidrs = [entry.strip() for entry in self._options.cluster_cidr.split(",") if entry.strip()]
        mine = next((entry for entry in cidrs if (":" in entry) is (family is IPV6)), "")
        return Options(mine, self._options.masquerade_all)

    def _statements(self, wanted: dict[str, Table]) -> Iterator[str]:
        for word, table in wanted.items():
            yield from transaction((self._applied or {}).get(word), table)

    async def _apply(self, script: str) -> None:
        try:
            await self._commands.nft(script + "\n")
        except CommandFailed as error:
            raise SyncFailed(str(error)) from error
