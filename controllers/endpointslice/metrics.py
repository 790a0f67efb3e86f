"""Metrics of EndpointSlices, under the names, labels and buckets of upstream's endpointslice/metrics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from prometheus_client import Gauge, Histogram

from kplane.api.resource import Key
from kplane.api.types import EndpointSlice

from .endpoints import Desired
from .packing import Packing, identity

_PREFIX = "endpoint_slice_controller_"
_DOUBLING = tuple(2.0 * 2**power for power in range(15))
_SPECIFIC = "ImplementationSpecific"
"""How upstream's gauge names each `trafficDistribution` but PreferClose."""
_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""What client_golang takes where no buckets are named."""

_ADDED = Histogram(
    f"{_PREFIX}endpoints_added_per_sync", "Number of endpoints added on each Service sync", buckets=_DOUBLING
)
_REMOVED = Histogram(
    f"{_PREFIX}endpoints_removed_per_sync",
    "Number of endpoints removed on each Service sync",
    buckets=_DOUBLING,
)
_DESIRED = Gauge(f"{_PREFIX}endpoints_desired", "Number of endpoints desired")
_SLICES = Gauge(f"{_PREFIX}num_endpoint_slices", "Number of EndpointSlices")
_DESIRED_SLICES = Gauge(
    f"{_PREFIX}desired_endpoint_slices",
    "Number of EndpointSlices that would exist with perfect endpoint allocation",
)
# Gauges that only grow: the client library would end a counter's name in _total, and these have none.
_CHANGES = Gauge(f"{_PREFIX}changes", "Number of EndpointSlice changes", ["operation"])
_SYNCS = Gauge(f"{_PREFIX}syncs", "Number of EndpointSlice syncs", ["result"])
_CHANGED = Histogram(
    f"{_PREFIX}endpointslices_changed_per_sync",
    "Number of EndpointSlices changed on each Service sync",
    ["topology", "traffic_distribution"],
    buckets=_SECONDS,
)
_DISTRIBUTED = Gauge(
    f"{_PREFIX}services_count_by_traffic_distribution",
    "Number of Services using some specific trafficDistribution",
    ["traffic_distribution"],
)


@dataclass(frozen=True)
class Size:
    """Of one Service."""

    endpoints: int = 0
    slices: int = 0
    fewest: int = 0
    """So many slices would do."""
    distribution: str = ""
    """Its `trafficDistribution`, as far as it is in force."""


class Sizes:
    """The sums over all Services."""

    def __init__(self) -> None:
        self._known: dict[Key, Size] = {}
        for gauge in (_DESIRED, _SLICES, _DESIRED_SLICES):
            gauge.set(0)
        _DISTRIBUTED.clear()

    def set(self, key: Key, size: Size | None) -> None:
        """None: the Service is gone."""
        old, new = self._known.pop(key, Size()), size or Size()
        if size is not None:
            self._known[key] = size
        _DESIRED.inc(new.endpoints - old.endpoints)
        _SLICES.inc(new.slices - old.slices)
        _DESIRED_SLICES.inc(new.fewest - old.fewest)
        for distribution, step in ((old.distribution, -1), (new.distribution, 1)):
            if distribution:
                label = distribution if distribution == "PreferClose" else _SPECIFIC
                _DISTRIBUTED.labels(label).inc(step)


def size(
    wanted: Mapping[str, Desired],
    packings: Iterable[Packing],
    existing: Sequence[EndpointSlice],
    maximum: int,
    distribution: str,
) -> Size:
    """Of a Service whose slices are packed so."""
    endpoints = sum(len(some) for desired in wanted.values() for some in desired.values())
    growth = sum(
        sum(filling.slice is None for filling in packing.write) - len(packing.delete) for packing in packings
    )
    fewest = sum(_fewest(desired, maximum) for desired in wanted.values())
    return Size(endpoints, len(existing) + growth, fewest, distribution)


def _fewest(desired: Desired, maximum: int) -> int:
    """How many slices the endpoints of one address family fill; one, where there are none."""
    return max(sum(-(-len(endpoints) // maximum) for endpoints in desired.values()), 1)


def count_sync(result: str) -> None:
    """`result`: success, stale or error."""
    _SYNCS.labels(result).inc()


def count_change(operation: str) -> None:
    """`operation`: create, update or delete, which the server has carried out."""
    _CHANGES.labels(operation).inc()


def count_changed(packing: Packing, topology: str, distribution: str) -> None:
    """How many slices of one address family a sync has changed. `topology`: Auto or Disabled."""
    _CHANGED.labels(topology, distribution).observe(len(packing.write) + len(packing.delete))


def count_endpoints(wanted: Desired, existing: Iterable[EndpointSlice]) -> None:
    """How many endpoints of one address family come and go, all ports together."""
    old = {
        (frozenset(entry.ports or ()), identity(endpoint))
        for entry in existing
        for endpoint in entry.endpoints or ()
    }
    new = {(ports, identity(endpoint)) for ports, endpoints in wanted.items() for endpoint in endpoints}
    _ADDED.observe(len(new - old))
    _REMOVED.observe(len(old - new))
