"""Metrics of mirroring, under the names, labels and buckets of upstream's endpointslicemirroring/metrics."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from prometheus_client import Gauge, Histogram

from kplane.api.resource import Key
from kplane.api.types import EndpointSlice
from kplane.api.types.discovery import Endpoint

from .mirror import Group, Mirror, identity, shown

_PREFIX = "endpoint_slice_mirroring_controller_"
_DOUBLING = tuple(2.0 * 2**power for power in range(15))


def _per_sync(name: str, text: str) -> Histogram:
    return Histogram(f"{_PREFIX}{name}_per_sync", text, buckets=_DOUBLING)


_ADDED = _per_sync("endpoints_added", "Number of endpoints added on each Endpoints sync")
_UPDATED = _per_sync("endpoints_updated", "Number of endpoints updated on each Endpoints sync")
_REMOVED = _per_sync("endpoints_removed", "Number of endpoints removed on each Endpoints sync")
_SKIPPED = _per_sync(
    "addresses_skipped",
    "Number of addresses skipped on each Endpoints sync due to being invalid or exceeding"
    " MaxEndpointsPerSubset",
)
DURATION = Histogram(
    f"{_PREFIX}endpoints_sync_duration",
    "Duration of syncEndpoints() in seconds",
    buckets=tuple(0.001 * 2**power for power in range(15)),
)
_DESIRED = Gauge(f"{_PREFIX}endpoints_desired", "Number of endpoints desired")
_SLICES = Gauge(f"{_PREFIX}num_endpoint_slices", "Number of EndpointSlices")
_DESIRED_SLICES = Gauge(
    f"{_PREFIX}desired_endpoint_slices",
    "Number of EndpointSlices that would exist with perfect endpoint allocation",
)
# A gauge that only grows: the client library would end a counter's name in _total, and this has none.
_CHANGES = Gauge(f"{_PREFIX}changes", "Number of EndpointSlice changes", ["operation"])


@dataclass(frozen=True)
class Size:
    """Of one Endpoints object."""

    endpoints: int = 0
    slices: int = 0
    """As many as there should be: one for each combination of ports and family."""


class Sizes:
    """The sums over all Endpoints."""

    def __init__(self) -> None:
        self._known: dict[Key, Size] = {}
        for gauge in (_DESIRED, _SLICES, _DESIRED_SLICES):
            gauge.set(0)

    def set(self, key: Key, wanted: Mirror | None) -> None:
        """None: these Endpoints are not mirrored (any more)."""
        old, new = self._known.pop(key, Size()), Size()
        if wanted is not None:
            count = sum(len(endpoints) for endpoints in wanted.groups.values())
            new = self._known[key] = Size(count, len(wanted.groups))
        _DESIRED.inc(new.endpoints - old.endpoints)
        _SLICES.inc(new.slices - old.slices)
        _DESIRED_SLICES.inc(new.slices - old.slices)


def count(wanted: Mirror, existing: Iterable[EndpointSlice]) -> None:
    """What a sync finds to change."""
    old = {
        (group, identity(endpoint)): endpoint
        for group, endpoints in _by_group(existing)
        for endpoint in endpoints
    }
    new = {
        (group, identity(endpoint)): endpoint
        for group, endpoints in wanted.groups.items()
        for endpoint in endpoints
    }
    _ADDED.observe(len(new.keys() - old.keys()))
    _REMOVED.observe(len(old.keys() - new.keys()))
    _UPDATED.observe(sum(shown(old[known]) != shown(new[known]) for known in old.keys() & new.keys()))
    _SKIPPED.observe(wanted.skipped)


def _by_group(existing: Iterable[EndpointSlice]) -> Iterable[tuple[Group, Iterable[Endpoint]]]:
    for entry in existing:
        yield (frozenset(entry.ports or ()), entry.address_type), entry.endpoints or ()


def count_change(operation: str) -> None:
    """`operation`: create, update or delete, which the server has carried out."""
    _CHANGES.labels(operation).inc()
