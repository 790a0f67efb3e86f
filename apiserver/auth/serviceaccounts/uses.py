"""What is noted of tokens that were used: counts, and the day on which that of a Secret was used last.

Source: pkg/serviceaccount `legacy.go`, `metrics.go`. The label tells a controller which tokens nobody needs.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import TypeAlias

from prometheus_client import CollectorRegistry, Counter

from kplane.api.clock import Clock
from kplane.api.errors import ApiError, Conflict
from kplane.api.resource import Object

from ...storage.store import StoreError
from .objects import TokenSecret

LAST_USED = "kubernetes.io/legacy-token-last-used"

Amend: TypeAlias = Callable[[str, str, Callable[[Object], Object]], Awaitable[object]]
"""`await amend(namespace, name, change)` of a Secret, as the server itself. Raises ApiError, StoreError."""

log = logging.getLogger(__name__)


class TokenMetrics:
    """How often service account tokens are used, by their kind."""

    def __init__(self, registry: CollectorRegistry) -> None:
        def counter(name: str, text: str) -> Counter:
            return Counter(f"serviceaccount_{name}", text, registry=registry)

        self.valid = counter("valid_tokens", "Cumulative valid projected service account tokens used")
        self.stale = counter("stale_tokens", "Cumulative stale projected service account tokens used")
        self.legacy = counter("legacy_tokens", "Cumulative legacy service account tokens used")
        self.auto = counter("legacy_auto_token_uses", "Cumulative auto-generated legacy tokens used")
        self.manual = counter("legacy_manual_token_uses", "Cumulative manually created legacy tokens used")
        self.invalid = counter(
            "invalid_legacy_auto_token_uses", "Cumulative invalid auto-generated legacy tokens used"
        )


class LastUse:
    """Labels Secrets. One that cannot be labelled is no reason to refuse its token."""

    def __init__(self, amend: Amend, clock: Clock) -> None:
        self._amend = amend
        self._clock = clock

    async def note(self, namespace: str, name: str, secret: TokenSecret) -> None:
        now = self._clock.now()
        today = f"{now:%Y-%m-%d}"
        # Another server's clock may be ahead.
        if (secret.metadata.labels or {}).get(LAST_USED) in (today, f"{now + timedelta(days=1):%Y-%m-%d}"):
            return

        def label(found: Object) -> Object:
            if found["metadata"].get("uid", "") != secret.metadata.uid:
                raise Conflict("the Secret is another one by now")
            found["metadata"].setdefault("labels", {})[LAST_USED] = today
            return found

        try:
            await self._amend(namespace, name, label)
        except (ApiError, StoreError) as error:
            log.error("cannot label a legacy token namespace=%s secret=%s error=%s", namespace, name, error)
