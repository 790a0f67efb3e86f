"""What the metrics server measures of itself, under upstream's names."""

from __future__ import annotations

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Gauge, Histogram

_FRESHNESS = tuple(round(1.364**power, 6) for power in range(20))


class Metrics:
    """Make it once for a registry."""

    def __init__(self, registry: CollectorRegistry = REGISTRY) -> None:
        self.requests = Counter(
            "metrics_server_kubelet_request", "Number of requests sent to Kubelet API", ["success"],
            registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "metrics_server_kubelet_request_duration_seconds",
            "Duration of requests to Kubelet API in seconds", ["node"], registry=registry,
        )  # fmt: skip
        self.last_request = Gauge(
            "metrics_server_kubelet_last_request_time_seconds",
            "Time of last request performed to Kubelet API since unix epoch in seconds", ["node"],
            registry=registry,
        )  # fmt: skip
        self.ticks = Histogram(
            "metrics_server_manager_tick_duration_seconds",
            "The total time spent collecting and storing metrics in seconds.", registry=registry,
        )  # fmt: skip
        self.points = Gauge(
            "metrics_server_storage_points", "Number of metrics points stored.", ["type"], registry=registry
        )
        self.freshness = Histogram(
            "metrics_server_api_metric_freshness_seconds", "Freshness of metrics exported",
            buckets=_FRESHNESS, registry=registry,
        )  # fmt: skip

    def forget(self, node: str) -> None:
        """The node is there no more; it has been asked before."""
        self.seconds.remove(node)
        self.last_request.remove(node)
