"""The metrics of authorisation, under upstream's names and labels.

Source: apiserver `pkg/endpoints/filters`, `pkg/authorization/{metrics,cel}`,
`plugin/pkg/authorizer/webhook/metrics`, `pkg/server/options/authorizationconfig/metrics`.
"""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry
from prometheus_client import Counter as LibraryCounter
from prometheus_client import Gauge as LibraryGauge

from ..measuring import Counter, Histogram
from .authorizer import Attributes, Authorizer, Decision, Rules, Verdict
from .oidc.metrics import hashed
from .user import User

_ATTEMPT_BUCKETS = tuple(0.001 * 2**power for power in range(15))
_WEBHOOK_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_CONDITION_BUCKETS = (0.001, 0.005, 0.01, 0.025, 0.1, 0.2, 0.25)
_NAME = "apiserver_authorization_{}".format
_CONFIG = "apiserver_authorization_config_controller_{}".format


class Outcome(StrEnum):
    """Of a question to a webhook."""

    SUCCESS = "success"
    ERROR = "error"
    TIMEOUT = "timeout"
    CANCELED = "canceled"


class AttemptMetrics:
    """Requests that were authorised or not, one attempt each."""

    def __init__(self, registry: CollectorRegistry) -> None:
        attempts = Counter(
            "authorization_attempts",
            "Counter of authorization attempts broken down by result. It can be either 'allowed', 'denied',"
            " 'no-opinion' or 'error'.",
            ("result",),
            registry,
        )
        duration = Histogram(
            "authorization_duration_seconds",
            "Authorization duration in seconds broken out by result.",
            ("result",),
            registry,
            _ATTEMPT_BUCKETS,
        )
        results = ("allowed", "error", "denied", "no-opinion")
        self._by_result = {result: (attempts.labels(result), duration.labels(result)) for result in results}

    def ended(self, verdict: Verdict, seconds: float) -> None:
        attempts, duration = self._by_result[_result(verdict)]
        attempts.count += 1
        duration.observe(seconds)


def _result(verdict: Verdict) -> str:
    if verdict.allowed:
        return "allowed"
    if verdict.error:
        return "error"
    return "denied" if verdict.decision is Decision.DENY else "no-opinion"


class WebhookMetrics:
    """One webhook's, by its name."""

    def __init__(self, all_metrics: AuthorizationMetrics, name: str) -> None:
        self._all = all_metrics
        self._name = name

    def asked(self, outcome: Outcome, seconds: float) -> None:
        """A round trip has ended."""
        self._all.evaluations.labels(self._name, outcome).count += 1
        self._all.durations.labels(self._name, outcome).observe(seconds)

    def failed_open(self, outcome: Outcome) -> None:
        """It could not be asked, and others decide."""
        self._all.fail_open.labels(self._name, outcome).count += 1

    def conditions(self, seconds: float, *, failed: bool, excluded: bool) -> None:
        """Its match conditions have been looked at."""
        labels = "Webhook", self._name
        self._all.condition_seconds.labels(*labels).observe(seconds)
        self._all.condition_errors.labels(*labels).count += failed
        self._all.exclusions.labels(*labels).count += excluded


class FileMetrics:
    """What became of the file of `--authorization-config`."""

    def __init__(self, registry: CollectorRegistry, server: str) -> None:
        self._server = hashed(server)
        labels = "status", "apiserver_id_hash"
        self._reloads = LibraryCounter(
            _CONFIG("automatic_reloads"),
            "Total number of automatic reloads of authorization configuration split by status and apiserver"
            " identity.",
            labels,
            registry=registry,
        )
        self._reloaded = LibraryGauge(
            _CONFIG("automatic_reload_last_timestamp_seconds"),
            "Timestamp of the last automatic reload of authorization configuration split by status and"
            " apiserver identity.",
            labels,
            registry=registry,
        )
        self._in_effect = LibraryGauge(
            _CONFIG("last_config_info"),
            "Information about the last applied authorization configuration with hash as label, split by"
            " apiserver identity.",
            ("apiserver_id_hash", "hash"),
            registry=registry,
        )

    def reloaded(self, now: float, *, ok: bool) -> None:
        status = "success" if ok else "failure"
        self._reloads.labels(status, self._server).inc()
        self._reloaded.labels(status, self._server).set(now)

    def in_effect(self, data: bytes) -> None:
        self._in_effect.clear()
        self._in_effect.labels(self._server, hashed(data)).set(1)


class AuthorizationMetrics:
    """`server`: the API server's identity, of which only the hash is shown."""

    def __init__(self, registry: CollectorRegistry, server: str) -> None:
        self.file = FileMetrics(registry, server)
        self.decisions = Counter(
            _NAME("decisions"),
            "Total number of terminal decisions made by an authorizer split by authorizer type, name, and"
            " decision.",
            ("type", "name", "decision"),
            registry,
        )
        webhook, condition = ("name", "result"), ("type", "name")
        self.evaluations = Counter(
            _NAME("webhook_evaluations"), "Round-trips to authorization webhooks.", webhook, registry
        )
        self.durations = Histogram(
            _NAME("webhook_duration_seconds"),
            "Request latency in seconds.",
            webhook,
            registry,
            _WEBHOOK_BUCKETS,
        )
        self.fail_open = Counter(
            _NAME("webhook_evaluations_fail_open"),
            "NoOpinion results due to webhook timeout or error.",
            webhook,
            registry,
        )
        self.condition_errors = Counter(
            _NAME("match_condition_evaluation_errors"),
            "Total number of errors when an authorization webhook encounters a match condition error split"
            " by authorizer type and name.",
            condition,
            registry,
        )
        self.exclusions = Counter(
            _NAME("match_condition_exclusions"),
            "Total number of exclusions when an authorization webhook is skipped because match conditions"
            " exclude it.",
            condition,
            registry,
        )
        self.condition_seconds = Histogram(
            _NAME("match_condition_evaluation_seconds"),
            "Authorization match condition evaluation time in seconds, split by authorizer type and name.",
            condition,
            registry,
            _CONDITION_BUCKETS,
        )

    def webhook(self, name: str) -> WebhookMetrics:
        return WebhookMetrics(self, name)


class Measured:
    """An authoriser whose decisions are counted; having no opinion is none."""

    def __init__(self, inner: Authorizer, metrics: AuthorizationMetrics, kind: str, name: str) -> None:
        self._inner = inner
        self._decided = {
            Decision.ALLOW: metrics.decisions.labels(kind, name, "allowed"),
            Decision.DENY: metrics.decisions.labels(kind, name, "denied"),
        }

    async def authorize(self, attributes: Attributes) -> Verdict:
        verdict = await self._inner.authorize(attributes)
        if verdict.decision is not Decision.NO_OPINION:
            self._decided[verdict.decision].count += 1
        return verdict

    async def rules(self, user: User, namespace: str) -> Rules:
        return await self._inner.rules(user, namespace)

    async def catch_up(self) -> bool:
        return await self._inner.catch_up()
