"""One call of one webhook: from a request to a verdict, with everything that may go wrong in between told
apart, counted and treated as the webhook's failure policy says.

Elsewhere: which webhooks are called, in what order (`mutating.py`, `validating.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import TypeVar

from kplane.api.clock import Clock, Entropy
from kplane.api.conversion import from_stored, to_stored
from kplane.api.errors import ApiError, BadRequest, InternalError, ServiceUnavailable
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ...audit import latency
from ...webhooks.client import WebhookClient
from ...webhooks.errors import BadClientConfig, BadStatus, CallError
from ..chain import Attributes, Operation
from ..expressions import Allows
from ..matching import ReadNamespace
from . import review
from .configuration import Candidate, Webhook
from .metrics import WebhookMetrics
from .review import BadReview, Denied, Shown, Verdict

log = logging.getLogger(__name__)

T = TypeVar("T")
MAX_ANSWER = 16 * 1024 * 1024
"""Bytes: a patch may replace the largest object, and is encoded twice."""

ADMIT = "admit"
VALIDATING = "validating"
"""The types of webhooks, as metrics call them."""

Convert = Callable[[Object, ResourceInfo, ResourceInfo], Awaitable[Object]]
"""(object, its row, another row of the same resource) -> the object in that row's version."""


class Failed(Exception):
    """A webhook could not be asked, or did not answer properly: what its failure policy is about.
    `status` is what the failure is counted as."""

    def __init__(self, webhook: str, why: str, status: ApiError) -> None:
        super().__init__(f'failed calling webhook "{webhook}": {why}')
        self.status = status


def internal(why: str) -> InternalError:
    return InternalError(f"Internal error occurred: {why}", {"causes": [{"message": why}]})


async def builtin_conversion(obj: Object, there: ResourceInfo, here: ResourceInfo) -> Object:
    """Between the versions of built-in resources."""
    converted = from_stored(here, to_stored(there, obj))
    return {**converted, "kind": here.kind, "apiVersion": here.api_version}


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What both plug-ins need."""

    client: WebhookClient
    metrics: WebhookMetrics
    clock: Clock
    entropy: Entropy
    namespace: ReadNamespace
    allows: Allows
    convert: Convert = builtin_conversion


class Caller:
    """Calls webhooks of one type: `admit` or `validating`."""

    def __init__(self, surroundings: Surroundings, type: str) -> None:
        self._with = surroundings
        self._type = type

    async def concerns(self, candidate: Candidate, attributes: Attributes) -> bool:
        """Whether the selectors let the request through. Raises NotFound where its namespace is not there."""
        return await candidate.webhook.selectors.match(attributes, self._with.namespace)

    async def conditions_hold(self, webhook: Webhook, attributes: Attributes, shown: Shown) -> bool:
        """Raises ApiError where that cannot be found out and failures are fatal."""
        if webhook.conditions is None:
            return True
        if await webhook.conditions.match(attributes, shown):
            return True
        self._with.metrics.excluded(webhook.name, self._type, attributes.operation)
        return False

    async def show(self, candidate: Candidate, attributes: Attributes) -> Shown:
        """The request in the version that the webhook wants to see."""
        row, info = candidate.row, attributes.info
        if row.api_version == info.api_version or attributes.kind is not None:
            return Shown(row, attributes.shape, attributes.object, attributes.old)
        obj, old = attributes.object, attributes.old
        convert = self._with.convert
        return Shown(
            row,
            row,
            None if obj is None else await convert(obj, info, row),
            None if old is None else await convert(old, info, row),
        )

    async def restore(self, shown: Shown, attributes: Attributes, obj: Object) -> Object:
        """An object as a webhook saw it, in the version of the request."""
        if shown.row.api_version == attributes.info.api_version or attributes.kind is not None:
            return obj
        return await self._with.convert(obj, shown.row, attributes.info)

    async def counted(
        self, webhook: Webhook, attributes: Attributes, work: Callable[[], Awaitable[T]]
    ) -> T | None:
        """The result of `work`, which asks the webhook; None if it failed and may. Raises ApiError: Denied
        for a refusal, InternalError for a failure that counts as one."""
        began = self._with.clock.monotonic()

        def count(code: int, error: str = "") -> None:
            seconds = self._with.clock.monotonic() - began
            self._count(webhook, attributes.operation, code, seconds, error)

        try:
            result = await work()
        except Failed as failure:
            code = failure.status.http_code
            if webhook.ignores_failures:
                count(code)
                log.warning("webhook failed, failing open webhook=%s error=%s", webhook.name, failure)
                self._with.metrics.failed_open(webhook.name, self._type)
                return None
            count(code, "calling_webhook_error")
            log.warning("webhook failed, failing closed webhook=%s error=%s", webhook.name, failure)
            raise internal(str(failure)) from failure
        except Denied as refusal:
            count(refusal.http_code, "no_error")
            raise
        except ApiError:
            count(0, "apiserver_internal_error")
            raise
        count(200)
        return result

    def _status(self, error: CallError) -> ApiError:
        """As what a failure is counted: upstream's two plug-ins differ here."""
        if self._type == ADMIT or isinstance(error, BadStatus):
            return error.status
        return BadRequest("error calling webhook")

    def _count(self, webhook: Webhook, operation: Operation, code: int, seconds: float, error: str) -> None:
        metrics, rejected = self._with.metrics, bool(error)
        if rejected:
            metrics.rejected(webhook.name, self._type, operation, error, code)
        metrics.called(webhook.name, self._type, operation, code, seconds, rejected=rejected)

    async def ask(self, webhook: Webhook, attributes: Attributes, shown: Shown) -> Verdict:
        """The verdict of a webhook that allows the request. Raises Failed, Denied, and BadRequest for a dry
        run that the webhook cannot take part in."""
        name = webhook.name
        if attributes.dry_run and not webhook.dry_runs:
            raise BadRequest(f'admission webhook "{name}" does not support dry run')
        try:
            version = review.review_version(webhook.review_versions)
        except BadReview as error:
            status = BadRequest("error creating admission objects")
            raise Failed(name, f"could not create admission objects: {error}", status) from error
        uid = self._with.entropy.uid()
        body = review.request(version, uid, attributes, shown)
        layer = latency.MUTATING_WEBHOOK if self._type == ADMIT else latency.VALIDATING_WEBHOOK
        try:
            with latency.timing(layer):
                answer = await self._with.client.call(webhook.client, body, webhook.timeout, limit=MAX_ANSWER)
        except BadClientConfig as error:
            raise Failed(name, f"could not get REST client: {error}", self._status(error)) from error
        except CallError as error:
            raise Failed(name, f"failed to call webhook: {error}", self._status(error)) from error
        try:
            verdict = review.verdict(version, uid, answer, mutating=self._type == ADMIT)
        except BadReview as error:
            unusable = ServiceUnavailable("error validating webhook response")
            raise Failed(name, f"received invalid webhook response: {error}", unusable) from error
        for key, value in verdict.annotations.items():
            attributes.annotate(f"{name}/{key}", value)
        for text in verdict.warnings:
            attributes.warn(text)
        if not verdict.allowed:
            raise review.denial(name, verdict.result)
        return verdict
