"""Metrics of node lifecycle, under upstream's names. Owns nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from prometheus_client import Counter, Gauge, Histogram

_SIZE = Gauge("node_collector_zone_size", "Gauge measuring number of registered Nodes per zones.", ["zone"])
_HEALTH = Gauge(
    "node_collector_zone_health", "Gauge measuring percentage of healthy nodes per zone.", ["zone"]
)
_UNHEALTHY = Gauge(
    "node_collector_unhealthy_nodes_in_zone", "Gauge measuring number of not Ready Nodes per zones.", ["zone"]
)
_GIVEN_UP = Counter(
    "node_collector_evictions_total",
    "Number of Node evictions that happened since current instance of NodeController started.",
    ["zone"],
)
node_seconds = Histogram(
    "node_collector_update_node_health_duration_seconds",
    "Duration in seconds for NodeController to update the health of a single node.",
    buckets=tuple(0.001 * 4**power for power in range(8)),
)
all_nodes_seconds = Histogram(
    "node_collector_update_all_nodes_health_duration_seconds",
    "Duration in seconds for NodeController to update the health of all nodes.",
    buckets=tuple(0.01 * 4**power for power in range(8)),
)
evicted_pods = Counter(
    "taint_eviction_controller_pod_deletions_total",
    "Total number of Pods deleted by TaintEvictionController since its start.",
)
eviction_seconds = Histogram(
    "taint_eviction_controller_pod_deletion_duration_seconds",
    "Latency, in seconds, between the time when a taint effect has been activated for the Pod and its "
    "deletion via TaintEvictionController.",
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
)


def observe_zones(readiness: Mapping[str, Sequence[bool]]) -> None:
    """Note the size and health of each zone; those that are gone are not shown any more."""
    for gauge in (_SIZE, _HEALTH, _UNHEALTHY):
        gauge.clear()
    for zone, nodes in readiness.items():
        ready = sum(nodes)
        _GIVEN_UP.labels(zone)  # Shown before it counts.
        _SIZE.labels(zone).set(len(nodes))
        _HEALTH.labels(zone).set(100 * ready / len(nodes))
        _UNHEALTHY.labels(zone).set(len(nodes) - ready)


def gave_up(zone: str) -> None:
    """Count a node whose Pods are moved away."""
    _GIVEN_UP.labels(zone).inc()
