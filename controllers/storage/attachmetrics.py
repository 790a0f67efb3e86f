"""Metrics of attached volumes, under upstream's names; the totals are counted whenever somebody looks."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Iterable, Iterator

from prometheus_client import REGISTRY
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from kplane.api.types.storage import PersistentVolume

from .metrics import plugin_name

FORCED: Tally[str] = Tally({"out-of-service": 0, "timeout": 0})
"""Volumes that were taken from a Node whose kubelet still held them, by reason."""

Volumes = Callable[[], Iterable[PersistentVolume]]


class AttachedCollector(Collector):
    """Of the controller that came last: a process that loses its leadership and regains it has new caches."""

    def __init__(self) -> None:
        self._states: dict[str, Volumes] = {}

    def watch(self, desired: Volumes, actual: Volumes) -> None:
        self._states = {"desired_state_of_world": desired, "actual_state_of_world": actual}

    def collect(self) -> Iterator[GaugeMetricFamily]:
        family = GaugeMetricFamily(
            "attachdetach_controller_total_volumes", "Number of volumes in A/D Controller",
            labels=["plugin_name", "state"],
        )  # fmt: skip
        for state, volumes in self._states.items():
            for plugin, number in Tally(plugin_name(volume) for volume in volumes()).items():
                family.add_metric([plugin, state], number)
        yield family
        yield _forced()


def _forced() -> GaugeMetricFamily:
    """A counter as far as anybody cares; the library would give one another name than upstream's."""
    family = GaugeMetricFamily(
        "attach_detach_controller_attachdetach_controller_forced_detaches",
        "Number of times the A/D Controller performed a forced detach", labels=["reason"],
    )  # fmt: skip
    for reason, number in FORCED.items():
        family.add_metric([reason], number)
    return family


COLLECTOR = AttachedCollector()
REGISTRY.register(COLLECTOR)
