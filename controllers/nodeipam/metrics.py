"""Metrics of nodes' ranges, under upstream's names. Owns nothing else."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

_LABELS = ["clusterCIDR"]
_ALLOCATIONS = Counter(
    "node_ipam_controller_cidrset_cidrs_allocations_total",
    "Counter measuring total number of CIDR allocations.",
    _LABELS,
)
_RELEASES = Counter(
    "node_ipam_controller_cidrset_cidrs_releases_total",
    "Counter measuring total number of CIDR releases.",
    _LABELS,
)
# Misspelt upstream, and dashboards ask for it so.
_MOST = Gauge(
    "node_ipam_controller_cirdset_max_cidrs", "Maximum number of CIDRs that can be allocated.", _LABELS
)
_USAGE = Gauge(
    "node_ipam_controller_cidrset_usage_cidrs", "Gauge measuring percentage of allocated CIDRs.", _LABELS
)
_TRIES = Histogram(
    "node_ipam_controller_cidrset_allocation_tries_per_request",
    "Number of endpoints added on each Service sync",
    _LABELS,
    buckets=tuple(5.0**power for power in range(5)),
)


class RangeMetrics:
    """The series of one cluster CIDR, of `count` parts."""

    def __init__(self, network: str, count: int) -> None:
        self._count = count
        self._allocations, self._releases = _ALLOCATIONS.labels(network), _RELEASES.labels(network)
        self._usage, self._tries = _USAGE.labels(network), _TRIES.labels(network)
        _MOST.labels(network).set(count)

    def taken(self, parts: int, used: int, tries: int | None = None) -> None:
        """`used`: how many are somebody's now; `tries`: how many were looked at, where one was looked for."""
        self._allocations.inc(parts)
        self._usage.set(used / self._count)
        if tries is not None:
            self._tries.observe(tries)

    def released(self, parts: int, used: int) -> None:
        self._releases.inc(parts)
        self._usage.set(used / self._count)
