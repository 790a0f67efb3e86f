"""Rates: what is used now, from the last two measurements of each container and node. No I/O, no clock.

Invariant: a rate is never negative, and never spans a restart of its container.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from .exposition import ContainerKey, Point, Reading

K = TypeVar("K")

YOUNGEST = 10.0
"""Seconds that a container must have run before its start counts as a measurement, as upstream."""


@dataclass(frozen=True)
class Use:
    """CPU in cores, memory in bytes, over the `window` seconds before `at`."""

    cpu: float
    memory: int
    at: float
    window: float


class Usage:
    """The newest measurements and those before them."""

    def __init__(self) -> None:
        self._nodes: dict[str, tuple[Point, Point | None]] = {}
        self._containers: dict[ContainerKey, tuple[Point, Point | None]] = {}

    def take(self, nodes: Mapping[str, Point], readings: Iterable[Reading]) -> None:
        """A new round of measurements; whoever is in none of them is forgotten."""
        found: dict[ContainerKey, Point] = {}
        for reading in readings:
            found |= reading.containers
        self._nodes = _advanced(self._nodes, nodes)
        self._containers = _advanced(self._containers, found)

    @property
    def points(self) -> Mapping[str, int]:
        """How many measurements are kept, by kind."""
        return {"node": _kept(self._nodes), "container": _kept(self._containers)}

    @property
    def ready(self) -> bool:
        """Whether anything can be told."""
        return any(_use(*pair) is not None for pair in self._containers.values()) or any(
            _use(*pair) is not None for pair in self._nodes.values()
        )

    def node(self, name: str) -> Use | None:
        pair = self._nodes.get(name)
        return _use(*pair) if pair else None

    def container(self, key: ContainerKey) -> Use | None:
        pair = self._containers.get(key)
        return _use(*pair) if pair else None


def _kept(pairs: Mapping[K, tuple[Point, Point | None]]) -> int:
    return sum(1 if before is None else 2 for _, before in pairs.values())


def _advanced(
    old: Mapping[K, tuple[Point, Point | None]], new: Mapping[K, Point]
) -> dict[K, tuple[Point, Point | None]]:
    advanced: dict[K, tuple[Point, Point | None]] = {}
    for key, point in new.items():
        last, before = old.get(key, (None, None))
        if last is not None and last.at == point.at:
            advanced[key] = (point, before)  # Told again, not measured again.
        else:
            advanced[key] = (point, last)
    return advanced


def _use(last: Point, before: Point | None) -> Use | None:
    """None while a rate cannot be told."""
    restarted = before is not None and (last.started != before.started or last.cpu < before.cpu)
    if before is None or restarted or last.at <= before.at:
        if not last.started or last.at - last.started < YOUNGEST:
            return None
        before = Point(last.started, 0.0, 0)
    window = last.at - before.at
    return Use((last.cpu - before.cpu) / window, last.memory, last.at, window)
