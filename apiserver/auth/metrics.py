"""The metrics of authentication, under upstream's names and labels."""

from __future__ import annotations

from enum import Enum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from .. import measuring

_BUCKETS = tuple(0.001 * 2**power for power in range(15))
_TOKEN_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_KNOWN_NAMES = frozenset(
    {"admin", "client", "kube_proxy", "kubelet", "system:serviceaccount:kube-system:default"}
)


class Result(Enum):
    """`failure`: there were no credentials, and nobody anonymous is let in."""

    SUCCESS = "success"
    FAILURE = "failure"
    ERROR = "error"


class AuthenticationMetrics:
    """Attempts to prove an identity, one for each request."""

    def __init__(self, registry: CollectorRegistry) -> None:
        attempts = measuring.Gauge(
            "authentication_attempts", "Counter of authenticated attempts.", ("result",), registry
        )
        duration = measuring.Histogram(
            "authentication_duration_seconds",
            "Authentication duration in seconds broken out by result.",
            ("result",),
            registry,
            _BUCKETS,
        )
        users = measuring.Gauge(
            "authenticated_user_requests",
            "Counter of authenticated requests broken out by username.",
            ("username",),
            registry,
        )
        self._by_result = {
            result: (attempts.labels(result.value), duration.labels(result.value)) for result in Result
        }
        self._users = {name: users.labels(name) for name in (*_KNOWN_NAMES, "email_id", "other")}

    def ended(self, result: Result, seconds: float, username: str = "") -> None:
        attempts, duration = self._by_result[result]
        attempts.count += 1
        duration.observe(seconds)
        if result is Result.SUCCESS:
            self._users[compressed(username)].count += 1


def compressed(username: str) -> str:
    """What a user is counted as: names are too many for labels."""
    if username in _KNOWN_NAMES:
        return username
    return "email_id" if "@" in username else "other"


class TokenCacheMetrics:
    """How often verdicts on tokens were kept ones."""

    def __init__(self, registry: CollectorRegistry) -> None:
        name = "authentication_token_cache_{}".format
        self._duration = Histogram(
            name("request_duration_seconds"), "", ("status",), buckets=_TOKEN_BUCKETS, registry=registry
        )
        self._requests = Counter(name("request"), "", ("status",), registry=registry)
        self._fetches = Counter(name("fetch"), "", ("status",), registry=registry)
        active = Gauge(name("active_fetch_count"), "", ("status",), registry=registry)
        self.blocked, self.in_flight = active.labels("blocked"), active.labels("in_flight")

    def looked(self, *, hit: bool, seconds: float) -> None:
        status = "hit" if hit else "miss"
        self._requests.labels(status).inc()
        self._duration.labels(status).observe(seconds)

    def fetched(self, *, ok: bool) -> None:
        self._fetches.labels("ok" if ok else "error").inc()
