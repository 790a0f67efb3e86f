"""The proxy's metrics, under upstream's names."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram

DURATION = Histogram(
    "kubeproxy_sync_proxy_rules_duration_seconds",
    "SyncProxyRules latency in seconds",
    buckets=tuple(0.001 * 2**power for power in range(15)),
)
LAST_TIMESTAMP = Gauge(
    "kubeproxy_sync_proxy_rules_last_timestamp_seconds",
    "The last time proxy rules were successfully synced",
)
FAILURES = Counter(
    "kubeproxy_sync_proxy_rules_nftables_sync_failures_total",
    "Cumulative proxy nftables sync failures",
)
SERVICE_CHANGES = Counter(
    "kubeproxy_sync_proxy_rules_service_changes_total",
    "Cumulative proxy rules Service changes",
)
ENDPOINT_CHANGES = Counter(
    "kubeproxy_sync_proxy_rules_endpoint_changes_total",
    "Cumulative proxy rules Endpoint changes",
)


def synced(seconds: float, timestamp: float) -> None:
    DURATION.observe(seconds)
    LAST_TIMESTAMP.set(timestamp)
