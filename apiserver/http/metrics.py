"""The API server's request metrics, under upstream's names and labels."""

from __future__ import annotations

from dataclasses import dataclass, field

from prometheus_client import CollectorRegistry

from ..measuring import Counter, Gauge, Histogram, Series, Tally
from .requestinfo import RequestInfo

_SIZES = tuple(1000.0 * 10**power for power in range(7))
_EVENT_SIZES = tuple(1024.0 * 2**power for power in range(8))
_PLACE = ("group", "version", "resource")
_LABELS = ("verb", *_PLACE, "subresource", "scope", "component")
_DRY_LABELS = ("verb", "dry_run", *_PLACE, "subresource", "scope", "component")
_VERB_LABELS = {"create": "POST", "update": "PUT"}
_MUTATING = frozenset({"create", "update", "patch", "delete", "deletecollection", "post", "put"})
_READS = frozenset({"GET", "LIST"})
_KNOWN_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "CONNECT"})


@dataclass(slots=True)
class _Row:
    """What is kept of requests with the same labels."""

    duration: Series
    sli: Series
    size: Series | None
    totals: dict[int, Tally] = field(default_factory=dict)


class RequestMetrics:
    """Counts requests in one registry. Label combinations are resolved once and kept."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._total = Counter(
            "apiserver_request",
            "Counter of apiserver requests broken out for each verb, dry run value, group, version, "
            "resource, scope, component, and HTTP response code.",
            (*_DRY_LABELS, "code"),
            registry,
        )
        self._duration = Histogram(
            "apiserver_request_duration_seconds",
            "Response latency distribution in seconds for each verb, dry run value, group, version, "
            "resource, subresource, scope and component.",
            _DRY_LABELS,
            registry,
        )
        self._sli = Histogram(
            "apiserver_request_sli_duration_seconds",
            "Response latency distribution (not counting webhook duration and priority & fairness queue wait "
            "times) in seconds for each verb, group, version, resource, subresource, scope and component.",
            _LABELS,
            registry,
        )
        self._sizes = Histogram(
            "apiserver_response_sizes",
            "Response size distribution in bytes for each group, version, verb, resource, subresource, scope "
            "and component.",
            _LABELS,
            registry,
            _SIZES,
        )
        self._terminations = Counter(
            "apiserver_request_terminations",
            "Number of requests which apiserver terminated in self-defense.",
            (*_LABELS, "code"),
            registry,
        )
        inflight = Gauge(
            "apiserver_current_inflight_requests",
            "Maximal number of currently used inflight request limit of this apiserver per request kind "
            "in last second.",
            ("request_kind",),
            registry,
        )
        self._inflight = {True: inflight.labels("mutating"), False: inflight.labels("readOnly")}
        self._long_running = Gauge(
            "apiserver_longrunning_requests",
            "Gauge of all active long-running apiserver requests broken out by verb, group, version, "
            "resource, scope and component. Not all requests are tracked this way.",
            _LABELS,
            registry,
        )
        self._events = Counter(
            "apiserver_watch_events",
            "Number of events sent in watch clients",
            _PLACE,
            registry,
        )
        self._event_sizes = Histogram(
            "apiserver_watch_events_sizes",
            "Watch event size distribution in bytes",
            _PLACE,
            registry,
            _EVENT_SIZES,
        )
        self._rows: dict[tuple[str, ...], _Row] = {}

    def started(self, info: RequestInfo) -> None:
        self._inflight[info.verb in _MUTATING].count += 1

    def stays(self, info: RequestInfo, known: bool, change: int) -> None:
        """A request that may last comes (1) or goes (-1)."""
        self._long_running.labels(*_labels(info, known)).count += change

    def ended(
        self,
        info: RequestInfo,
        known: bool,
        code: int,
        seconds: float,
        *,
        counted: bool,
        size: int = 0,
        waited: float = 0.0,
    ) -> None:
        """`known`: whether the resource exists; labels of unknown ones are dropped, to bound their number.
        `counted`: whether `started` was called for it; `size`: bytes of the answer's body; `waited`: seconds
        of these in a queue."""
        if counted:
            self._inflight[info.verb in _MUTATING].count -= 1
        dry = _dry_labels(info, known)
        row = self._rows.get(dry)
        if row is None:
            row = self._rows[dry] = self._row(_labels(info, known), dry)
        row.duration.observe(seconds)
        if counted:
            row.sli.observe(seconds - waited)
        if row.size is not None:
            row.size.observe(size)
        total = row.totals.get(code)
        if total is None:
            total = row.totals[code] = self._total.labels(*dry, str(code))
        total.count += 1

    def _row(self, labels: tuple[str, ...], dry: tuple[str, ...]) -> _Row:
        size = self._sizes.labels(*labels) if labels[0] in _READS else None
        return _Row(self._duration.labels(*dry), self._sli.labels(*labels), size)

    def terminated(self, info: RequestInfo, known: bool, code: int) -> None:
        """The server gave up on a request, or had no room for it."""
        self._terminations.labels(*_labels(info, known), str(code)).count += 1

    def watched(self, info: RequestInfo, frames: bytes) -> None:
        """Lines of a watch go out, one for each event."""
        events = frames.count(b"\n")
        where = (info.group, info.version, info.resource)
        self._events.labels(*where).count += events
        sizes = self._event_sizes.labels(*where)
        if events == 1:
            sizes.observe(len(frames))
            return
        for line in frames.splitlines(keepends=True):
            sizes.observe(len(line))


def _labels(info: RequestInfo, known: bool) -> tuple[str, ...]:
    if known:
        verb = _VERB_LABELS.get(info.verb) or info.verb.upper()
        return (verb, info.group, info.version, info.resource, info.subresource, info.scope, "apiserver")
    verb = info.method if info.method in _KNOWN_METHODS else "OTHER"
    return (verb, "", "", "", "", "", "apiserver")


def _dry_labels(info: RequestInfo, known: bool) -> tuple[str, ...]:
    verb, *where = _labels(info, known)
    value = info.query.get("dryRun")
    return (verb, "" if value is None else value if value == "All" else "invalid", *where)
