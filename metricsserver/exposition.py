"""Reading `/metrics/resource`: the samples of a kubelet's exposition text that tell of CPU and memory.

Lines that are not understood, and names that do not matter here, are passed over: kubelets of other versions
tell more. Times are seconds since the epoch, CPU is seconds of a core since the container started.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

_LINE = re.compile(r"(\w+)(?:\{([^}]*)\})? ([0-9.eE+-]+)(?: (\d+))?")
_LABEL = re.compile(r'(\w+)="((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Point:
    """One measurement."""

    at: float
    cpu: float
    memory: int
    started: float = 0.0
    """0 where the kubelet did not say."""


class ContainerKey(NamedTuple):
    namespace: str
    pod: str
    container: str


@dataclass
class Reading:
    """What one kubelet told."""

    node: Point | None = None
    containers: dict[ContainerKey, Point] = field(default_factory=dict)


class _Sample(NamedTuple):
    name: str
    labels: dict[str, str]
    value: float
    at: float


def read(text: str, now: float) -> Reading:
    """`now` stands for times that are not told."""
    parts: dict[ContainerKey | None, dict[str, _Sample]] = {}
    for sample in _samples(text, now):
        what, _, kind = sample.name.partition("_")
        if what == "node":
            parts.setdefault(None, {})[kind] = sample
        elif what == "container":
            labels = sample.labels
            key = ContainerKey(
                labels.get("namespace", ""), labels.get("pod", ""), labels.get("container", "")
            )
            parts.setdefault(key, {})[kind] = sample
    reading = Reading()
    for found, samples in parts.items():
        point = _point(samples)
        if point is not None and found is None:
            reading.node = point
        elif point is not None and found is not None:
            reading.containers[found] = point
    return reading


def _point(samples: dict[str, _Sample]) -> Point | None:
    cpu, memory = samples.get("cpu_usage_seconds_total"), samples.get("memory_working_set_bytes")
    if cpu is None or memory is None:
        return None
    started = samples.get("start_time_seconds")
    return Point(cpu.at, cpu.value, int(memory.value), started.value if started else 0.0)


def _samples(text: str, now: float) -> Iterator[_Sample]:
    for line in text.splitlines():
        found = _LINE.fullmatch(line.strip())
        if found is None:
            continue
        name, labels, value, milliseconds = found.groups()
        try:
            number = float(value)
        except ValueError:
            continue
        at = int(milliseconds) / 1000 if milliseconds else now
        yield _Sample(name, dict(_LABEL.findall(labels or "")), number, at)
