"""Metrics of device taint eviction, under upstream's names. Owns nothing else."""

from __future__ import annotations

from prometheus_client import Counter, Histogram

evicted_pods = Counter(
    "device_taint_eviction_controller_pod_deletions_total",
    "Total number of Pods deleted by DeviceTaintEvictionController since its start.",
)
eviction_seconds = Histogram(
    "device_taint_eviction_controller_pod_deletion_duration_seconds",
    "Latency, in seconds, between the time when a device taint effect has been activated and a Pod's "
    "deletion via DeviceTaintEvictionController.",
    buckets=(0.005, 0.025, 0.1, 0.5, 1, 2.5, 10, 30, 60, 120, 180, 240),
)
