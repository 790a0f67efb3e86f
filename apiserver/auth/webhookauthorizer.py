"""The webhook authoriser: a SubjectAccessReview is posted to the server of a kubeconfig.

What it answers is kept for a while; who ask the same at the same time share one answer. Match conditions, CEL
expressions over the review's spec, say what it is asked about at all.

Source: apiserver `plugin/pkg/authorizer/webhook`, `pkg/authorization/cel`.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

import msgspec

from kplane.api.cel import (
    BOOL,
    MATCH_CONDITIONS_BUDGET,
    STRING,
    Budget,
    BudgetExceeded,
    CelError,
    Environment,
    EvaluationError,
    Program,
    list_of,
    map_of,
    object_of,
)
from kplane.api.clock import Clock, Entropy
from kplane.client.flights import Flights
from kplane.client.kubeconfig import Credentials
from kplane.client.tls import tls_context

from .authorizationmetrics import Outcome, WebhookMetrics
from .authorizer import Attributes, Decision, Rules, Term, Verdict, aggregate
from .remote import Answer, Remote, RemoteError, json_headers, trusting
from .user import User

ATTEMPTS = 5
BACKOFF, FACTOR, JITTER = 0.5, 1.5, 0.2
"""Seconds before the second attempt, how much longer each pause is, and which part is added at most."""
KEPT = 8192
MAX_KEPT_SIZE = 10_000
"""Characters of what a caller chooses; longer questions are not kept."""
NOT_LISTED = "webhook authorizer does not support user rule resolution"

_RETRIED = frozenset({429, 500, 504})

log = logging.getLogger(__name__)


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    allowed: bool = False
    denied: bool = False
    reason: str = ""
    evaluation_error: str = ""


class _Review(msgspec.Struct, frozen=True, rename="camel"):
    api_version: str = ""
    kind: str = ""
    status: _Status = _Status()


_reviews = msgspec.json.Decoder(_Review)


@dataclass(frozen=True, kw_only=True)
class WebhookSettings:
    """`denies_failures`: what cannot be asked is denied; otherwise the next authoriser is asked."""

    credentials: Credentials
    version: str = "v1"
    timeout: float = 30.0
    authorized_ttl: float = 300.0
    unauthorized_ttl: float = 30.0
    denies_failures: bool = False
    conditions: tuple[str, ...] = ()


class _Kept(NamedTuple):
    status: _Status
    until: float


class WebhookAuthorizer:
    def __init__(
        self, settings: WebhookSettings, clock: Clock, entropy: Entropy, metrics: WebhookMetrics
    ) -> None:
        """Raises ConfigError for certificates that cannot be used, CelError for conditions."""
        credentials = settings.credentials
        tls = tls_context(credentials) if credentials.server.startswith("https:") else trusting("")
        self._remote = Remote(tls, server_name=credentials.tls_server_name)
        self._settings = settings
        self._programs = [compiled(expression) for expression in settings.conditions]
        self._clock = clock
        self._entropy = entropy
        self._metrics = metrics
        self._kept: OrderedDict[bytes, _Kept] = OrderedDict()
        self._flights: Flights[bytes, _Status] = Flights()

    async def close(self) -> None:
        await self._remote.close()

    async def authorize(self, attributes: Attributes) -> Verdict:
        spec = spec_of(attributes)
        try:
            if not self._matches(spec):
                return Verdict(Decision.NO_OPINION)
            status = await self._status(spec, attributes)
        except (RemoteError, _ConditionsFailed) as error:
            log.error("webhook authorizer failed error=%s", error)
            if isinstance(error, RemoteError) and not self._settings.denies_failures:
                self._metrics.failed_open(_outcome(error))
            return Verdict(self._on_failure(), error=str(error))
        if status.denied and status.allowed:
            fault = "webhook subject access review returned both allow and deny response"
            return Verdict(Decision.DENY, status.reason, fault)
        if status.denied:
            return Verdict(Decision.DENY, status.reason)
        return Verdict(Decision.ALLOW if status.allowed else Decision.NO_OPINION, status.reason)

    async def rules(self, user: User, namespace: str) -> Rules:
        return Rules([], [], True, [NOT_LISTED])

    async def catch_up(self) -> bool:
        return False

    def _matches(self, spec: Mapping[str, Any]) -> bool:
        """Raises _ConditionsFailed."""
        if not self._programs:
            return True
        began, failed, found = self._clock.monotonic(), True, True
        try:
            found = matches(self._programs, spec)
            failed = False
        finally:
            seconds = self._clock.monotonic() - began
            self._metrics.conditions(seconds, failed=failed, excluded=not found)
        return found

    def _on_failure(self) -> Decision:
        return Decision.DENY if self._settings.denies_failures else Decision.NO_OPINION

    async def _status(self, spec: Mapping[str, Any], attributes: Attributes) -> _Status:
        key = msgspec.json.encode(spec)
        kept = self._kept.get(key)
        if kept is not None and kept.until > self._clock.monotonic():
            return kept.status
        return await self._flights.join(key, lambda: self._ask(key, spec, attributes))

    async def _ask(self, key: bytes, spec: Mapping[str, Any], attributes: Attributes) -> _Status:
        review = {"apiVersion": self._api_version, "kind": "SubjectAccessReview", "metadata": {}}
        status = await self._post(msgspec.json.encode(review | {"spec": spec}))
        settings = self._settings
        seconds = settings.authorized_ttl if status.allowed else settings.unauthorized_ttl
        if seconds > 0 and _chosen(attributes) < MAX_KEPT_SIZE:
            self._kept[key] = _Kept(status, self._clock.monotonic() + seconds)
            self._kept.move_to_end(key)
            if len(self._kept) > KEPT:
                self._kept.popitem(last=False)
        return status

    @property
    def _api_version(self) -> str:
        return f"authorization.k8s.io/{self._settings.version}"

    async def _post(self, body: bytes) -> _Status:
        pause = BACKOFF
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._measured(body)
            except RemoteError as error:
                if not error.transient:
                    raise
            await self._clock.sleep(pause * (1 + self._entropy.uniform(0, JITTER)))
            pause *= FACTOR
        return await self._measured(body)

    async def _measured(self, body: bytes) -> _Status:
        """One round trip. Raises RemoteError, transient where asking again may help."""
        began, outcome = self._clock.monotonic(), Outcome.CANCELED
        try:
            answer = await self._once(body)
            if answer.status in _RETRIED:
                raise RemoteError(_answered(answer.status), transient=True)
            status = self._read(answer)
            outcome = Outcome.SUCCESS
        except RemoteError as error:
            outcome = _outcome(error)
            raise
        finally:
            self._metrics.asked(outcome, self._clock.monotonic() - began)
        return status

    async def _once(self, body: bytes) -> Answer:
        seconds = self._settings.timeout
        url = f"{self._settings.credentials.server}?timeout={seconds:g}s"
        try:
            async with asyncio.timeout(seconds):
                return await self._remote.post(url, body, json_headers(self._settings.credentials))
        except TimeoutError as error:
            raise RemoteError(f'Post "{url}": context deadline exceeded') from error

    def _read(self, answer: Answer) -> _Status:
        if not 200 <= answer.status <= 206:
            raise RemoteError(_answered(answer.status))
        try:
            review = _reviews.decode(answer.body)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise RemoteError(
                "the authorization webhook did not answer with a SubjectAccessReview"
            ) from error
        said = (review.kind or "SubjectAccessReview", review.api_version or self._api_version)
        if said != ("SubjectAccessReview", self._api_version):
            raise RemoteError(
                f"the authorization webhook did not answer with a SubjectAccessReview of {self._api_version}"
            )
        return review.status


def _answered(status: int) -> str:
    return f"the authorization webhook answered with status {status}"


def _outcome(error: RemoteError) -> Outcome:
    return Outcome.TIMEOUT if isinstance(error.__cause__, TimeoutError) else Outcome.ERROR


def spec_of(attributes: Attributes) -> dict[str, Any]:
    """The spec of the review that asks about this."""
    user = attributes.user
    spec: dict[str, Any] = {"user": user.name, "uid": user.uid, "groups": list(user.groups)}
    spec["extra"] = {key: list(values) for key, values in sorted(user.extra.items())}
    if not attributes.is_resource:
        spec["nonResourceAttributes"] = {"path": attributes.path, "verb": attributes.verb}
    else:
        spec["resourceAttributes"] = _resource(attributes)
    return {name: value for name, value in spec.items() if value}


def _resource(attributes: Attributes) -> dict[str, Any]:
    found: dict[str, Any] = {
        "namespace": attributes.namespace,
        "verb": attributes.verb,
        "group": attributes.group,
        "version": attributes.version,
        "resource": attributes.resource,
        "subresource": attributes.subresource,
        "name": attributes.name,
    }
    for name, terms in (("fieldSelector", attributes.fields), ("labelSelector", attributes.labels)):
        if terms:
            found[name] = {"requirements": [_requirement(term) for term in terms]}
    return {name: value for name, value in found.items() if value}


def _requirement(term: Term) -> dict[str, Any]:
    plain: dict[str, Any] = {"key": term.key, "operator": term.operator}
    return plain | ({"values": list(term.values)} if term.values else {})


def _chosen(attributes: Attributes) -> int:
    """How much of the question its author could make up."""
    parts = (
        attributes.namespace,
        attributes.verb,
        attributes.group,
        attributes.version,
        attributes.resource,
        attributes.subresource,
        attributes.name,
        attributes.path,
    )
    terms = (*attributes.fields, *attributes.labels)
    selectors = sum(len(term.key) + sum(map(len, term.values)) for term in terms)
    return sum(map(len, parts)) + selectors


class _ConditionsFailed(Exception):
    """A condition could not be evaluated, and none was false."""


_NAMES = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_SELECTOR = object_of(
    "kubernetes.SelectorAttributes",
    {
        "rawSelector": STRING,
        "requirements": list_of(
            object_of(
                "kubernetes.SelectorRequirement",
                {"key": STRING, "operator": STRING, "values": list_of(STRING)},
            )
        ),
    },
)
SPEC = object_of(
    "kubernetes.SubjectAccessReviewSpec",
    {
        "resourceAttributes": object_of(
            "kubernetes.ResourceAttributes",
            dict.fromkeys(_NAMES, STRING) | dict.fromkeys(("fieldSelector", "labelSelector"), _SELECTOR),
        ),
        "nonResourceAttributes": object_of(
            "kubernetes.NonResourceAttributes", dict.fromkeys(("path", "verb"), STRING)
        ),
        "user": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
        "uid": STRING,
    },
)


@cache
def environment() -> Environment:
    return Environment({"request": SPEC})


def compiled(expression: str) -> Program:
    """A match condition. Raises CelError."""
    return environment().compile(expression, expected=BOOL)


def matches(programs: Sequence[Program], spec: Mapping[str, Any]) -> bool:
    """Whether every condition holds; one that does not settles it. Raises _ConditionsFailed."""
    faults: list[str] = []
    budget = Budget(MATCH_CONDITIONS_BUDGET)
    # Expressions see every field of what is asked about, also those that are empty.
    bindings = {"request": _shown(spec)}
    for program in programs:
        try:
            if not program.evaluate(bindings, budget):
                return False
        except BudgetExceeded as error:
            raise _ConditionsFailed(str(error)) from error
        except EvaluationError as error:
            faults.append(f"expression '{program.source}' resulted in error: {error}")
    if faults:
        raise _ConditionsFailed(aggregate(faults))
    return True


def _shown(spec: Mapping[str, Any]) -> dict[str, Any]:
    shown = {"user": "", "uid": "", "groups": [], "extra": {}} | dict(spec)
    if "resourceAttributes" in spec:
        shown["resourceAttributes"] = dict.fromkeys(_NAMES, "") | spec["resourceAttributes"]
    return shown


__all__ = ["CelError", "WebhookAuthorizer", "WebhookSettings", "compiled", "spec_of"]
