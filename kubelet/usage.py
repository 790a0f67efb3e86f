"""What Pods and their node use: CPU time and memory, as the runtime and the kernel count them.

Reads: the runtime's statistics, /proc. Elsewhere: the forms in which it is told (server/usage.py).
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from kplane.api.clock import Clock

from .pod import Pod
from .runtime.interface import ContainerStats, Runtime

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Amount:
    """`cpu` in nanoseconds since the start, memory in bytes, `at` in nanoseconds since the epoch."""

    cpu: int
    working_set: int
    at: int
    memory: int = 0
    rss: int = 0


@dataclass(frozen=True)
class ContainerUsage:
    name: str
    amount: Amount
    started: datetime | None
    writable: int
    """Bytes of its writable layer."""


@dataclass(frozen=True)
class PodUsage:
    pod: Pod
    containers: Sequence[ContainerUsage] = field(default_factory=list)

    @property
    def total(self) -> Amount | None:
        """Of all containers; None where none runs."""
        amounts = [entry.amount for entry in self.containers]
        if not amounts:
            return None
        return Amount(
            cpu=sum(amount.cpu for amount in amounts),
            working_set=sum(amount.working_set for amount in amounts),
            at=max(amount.at for amount in amounts),
            memory=sum(amount.memory for amount in amounts),
            rss=sum(amount.rss for amount in amounts),
        )


@dataclass(frozen=True)
class Member:
    """One node of this process. Hollow ones share a process, and none of them is the machine."""

    name: str
    runtime: Runtime
    pods: Callable[[], Iterable[Pod]]


class Usage:
    """What the nodes of this process use."""

    def __init__(self, members: Callable[[], Iterable[Member]], clock: Clock, *, hollow: bool) -> None:
        self._members = members
        self._clock = clock
        self._hollow = hollow

    async def pods(self) -> Sequence[PodUsage]:
        """Of every Pod that runs here. Raises RuntimeFailure."""
        found: list[PodUsage] = []
        for member in list(self._members()):
            by_uid: dict[str, list[ContainerStats]] = {}
            for entry in await member.runtime.stats():
                by_uid.setdefault(entry.pod_uid, []).append(entry)
            found += [pod_usage(pod, by_uid.get(pod.metadata.uid, ())) for pod in member.pods()]
        return found

    def node(self) -> tuple[str, Amount] | None:
        """The machine's name and use; None where this process stands for hollow nodes."""
        if self._hollow:
            return None
        [member] = self._members()
        return member.name, machine_usage(self._clock)


def pod_usage(pod: Pod, stats: Iterable[ContainerStats]) -> PodUsage:
    started = {
        status["name"]: status.get("state", {}).get("running", {}).get("startedAt")
        for kind in ("containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses")
        for status in pod.status.get(kind, ())
    }
    return PodUsage(pod, [_container(entry, started.get(entry.name)) for entry in stats])


def _container(entry: ContainerStats, started: str | None) -> ContainerUsage:
    amount = Amount(
        entry.cpu_nanoseconds, entry.memory_working_set, entry.timestamp, entry.memory_usage, entry.memory_rss
    )
    moment = datetime.fromisoformat(started) if started else None
    return ContainerUsage(entry.name, amount, moment, entry.writable_layer_bytes)


def machine_usage(clock: Clock, proc: Path = Path("/proc")) -> Amount:
    """Of the whole machine: CPU time that was not idle, and memory that could not be given back at once."""
    ticks = [int(text) for text in (proc / "stat").read_text().split("\n", 1)[0].split()[1:9]]
    # user nice system idle iowait irq softirq steal; guest time is part of user's.
    busy = sum(ticks) - ticks[3] - ticks[4] - ticks[7]
    memory = _memory(proc / "meminfo")
    used = memory["MemTotal"] - memory["MemFree"]
    return Amount(
        cpu=busy * NANOSECONDS // os.sysconf("SC_CLK_TCK"),
        working_set=max(used - memory.get("Inactive(file)", 0), 0),
        at=int(clock.now().timestamp() * NANOSECONDS),
        memory=used,
        rss=memory.get("AnonPages", 0),
    )


def _memory(path: Path) -> dict[str, int]:
    """Bytes by name."""
    found = {}
    for line in path.read_text().splitlines():
        name, _, rest = line.partition(":")
        found[name] = int(rest.split()[0]) * (1024 if rest.endswith("kB") else 1)
    return found
