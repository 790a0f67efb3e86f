"""The proxy's metrics, under upstream's names and labels.

One transaction sets the rules of all address families, so what is said of it holds for each of them.
"""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Iterable, Sequence
from datetime import datetime

from prometheus_client import Counter, Gauge, Histogram

from kplane.api.resource import Key
from kplane.api.types import EndpointSlice

from .plan import SERVICE_NAME, Ruleset, ServiceRules

FAMILIES = ("IPv4", "IPv6")
TRIGGER_TIME = "endpoints.kubernetes.io/last-change-trigger-time"
_PREFIX = "kubeproxy_sync_proxy_rules_"
_DOUBLING = tuple(0.001 * 2**power for power in range(15))
_LONG = (0, 0.25, 0.5, *range(1, 60), *range(60, 120, 5), *range(120, 301, 30))

_DURATION = Histogram(
    f"{_PREFIX}duration_seconds", "SyncProxyRules latency in seconds", ["ip_family"], buckets=_DOUBLING
)
_LAST = Gauge(
    f"{_PREFIX}last_timestamp_seconds", "The last time proxy rules were successfully synced", ["ip_family"]
)
_QUEUED = Gauge(
    f"{_PREFIX}last_queued_timestamp_seconds", "The last time a sync of proxy rules was queued", ["ip_family"]
)
_FAILURES = Counter(
    f"{_PREFIX}nftables_sync_failures_total", "Cumulative proxy nftables sync failures", ["ip_family"]
)
_NO_LOCAL = Gauge(
    f"{_PREFIX}no_local_endpoints_total",
    "Number of services with a Local traffic policy and no endpoints",
    ["ip_family", "traffic_policy"],
)
_PROGRAMMING = Histogram(
    "kubeproxy_network_programming_duration_seconds",
    "In Cluster Network Programming Latency in seconds",
    ["ip_family"],
    buckets=_LONG,
)
SERVICE_CHANGES = Counter(f"{_PREFIX}service_changes_total", "Cumulative proxy rules Service changes")
ENDPOINT_CHANGES = Counter(f"{_PREFIX}endpoint_changes_total", "Cumulative proxy rules Endpoint changes")
SERVICES_PENDING = Gauge(f"{_PREFIX}service_changes_pending", "Pending proxy rules Service changes")
ENDPOINTS_PENDING = Gauge(f"{_PREFIX}endpoint_changes_pending", "Pending proxy rules Endpoint changes")
HEALTHZ = Counter("kubeproxy_proxy_healthz_total", "Cumulative proxy healthz HTTP status", ["code"])
LIVEZ = Counter("kubeproxy_proxy_livez_total", "Cumulative proxy livez HTTP status", ["code"])


def queued(families: Iterable[str], timestamp: float) -> None:
    for family in families:
        _QUEUED.labels(family).set(timestamp)


def failed(families: Iterable[str]) -> None:
    for family in families:
        _FAILURES.labels(family).inc()


def synced(families: Sequence[str], rules: Ruleset, seconds: float, timestamp: float) -> None:
    for family, part in zip(FAMILIES, (rules.ipv4, rules.ipv6), strict=True):
        if family not in families:
            continue
        _DURATION.labels(family).observe(seconds)
        _LAST.labels(family).set(timestamp)
        lonely = Tally(policy for service in part.services for policy in _lonely(service))
        for policy in ("internal", "external"):
            _NO_LOCAL.labels(family, policy).set(lonely[policy])


def _lonely(service: ServiceRules) -> Iterable[str]:
    """The policies that keep traffic here, where there is no endpoint."""
    if service.local or not service.has_endpoints:
        return
    if service.internal_local:
        yield "internal"
    if service.external_local and service.external:
        yield "external"


class Programming:
    """How long it takes until a change of endpoints is in the rules: from the time that its slice tells.

    Changes from before `start` are left out: this proxy was not there to carry them out.
    """

    def __init__(self, start: datetime) -> None:
        self._start = start
        self._times: dict[Key, list[tuple[str, datetime]]] = {}

    def changed(self, old: EndpointSlice | None, new: EndpointSlice | None) -> None:
        if new is None:
            if old is not None:
                # It tells when it was written, not when it went.
                self._times.pop(_service(old), None)
            return
        if old is not None and (old.endpoints, old.ports) == (new.endpoints, new.ports):
            return
        moment = _moment(new.metadata.annotations.get(TRIGGER_TIME, ""))
        if moment is not None and moment > self._start:
            self._times.setdefault(_service(new), []).append((new.address_type, moment))

    def applied(self, families: Sequence[str], now: datetime) -> None:
        for times in self._times.values():
            for family, moment in times:
                if family in families:
                    _PROGRAMMING.labels(family).observe((now - moment).total_seconds())
        self._times.clear()


def _service(entry: EndpointSlice) -> Key:
    return Key(entry.metadata.namespace, entry.metadata.labels.get(SERVICE_NAME, ""))


def _moment(text: str) -> datetime | None:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None
