"""The API server's request metrics, under upstream's names and labels."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .requestinfo import RequestInfo, is_true

_BUCKETS = (
    0.005, 0.025, 0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 1.0, 1.25, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, 20, 30, 45, 60,
)  # fmt: skip
_LABELS = ("verb", "dry_run", "group", "version", "resource", "subresource", "scope", "component")
_VERB_LABELS = {"create": "POST", "update": "PUT"}
_MUTATING = frozenset({"create", "update", "patch", "delete", "deletecollection", "post", "put"})
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"})


class RequestMetrics:
    """Counts requests in one registry. Label combinations are resolved once and kept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, "
            "resource, scope, component, and HTTP response code.",
            (*_LABELS, "code"),
            registry=registry,
        )
        self._duration = Histogram(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, "
            "resource, subresource, scope and component.",
            _LABELS,
            buckets=_BUCKETS,
            registry=registry,
        )
        inflight = Gauge(
            "apiserver_current_inflight_requests",
            "Maximal number of currently used inflight request limit of this apiserver per request kind "
            "in last second.",
            ("request_kind",),
            registry=registry,
        )
        self._inflight = {True: inflight.labels("mutating"), False: inflight.labels("readOnly")}
        self.long_running = Gauge(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests.",
            registry=registry,
        )
        self._totals: dict[tuple[str, ...], Counter] = {}
        self._durations: dict[tuple[str, ...], Histogram] = {}

    def started(self, info: RequestInfo) -> None:
        self._inflight[info.verb in _MUTATING].inc()

    def ended(self, info: RequestInfo, known: bool, code: int, seconds: float, *, counted: bool) -> None:
        """`known`: whether the resource exists; labels of unknown ones are dropped, to bound their number.
        `counted`: whether `started` was called for it."""
        if counted:
            self._inflight[info.verb in _MUTATING].dec()
        labels = _labels(info, known)
        duration = self._durations.get(labels)
        if duration is None:
            duration = self._durations[labels] = self._duration.labels(*labels)
        duration.observe(seconds)
        coded = (*labels, str(code))
        total = self._totals.get(coded)
        if total is None:
            total = self._totals[coded] = self._total.labels(*coded)
        total.inc()


def _labels(info: RequestInfo, known: bool) -> tuple[str, ...]:
    if known:
        verb = _VERB_LABELS.get(info.verb) or info.verb.upper()
        where = (info.group, info.version, info.resource, info.subresource, info.scope)
    else:
        verb = info.method if info.method in _KNOWN_METHODS else "OTHER"
        where = ("", "", "", "", "")
    dry_run = "All" if is_true(info.query.get("dryRun")) or info.query.get("dryRun") == "All" else ""
    return (verb, dry_run, *where, "apiserver")
