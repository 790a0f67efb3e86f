"""Reviews: questions of a component's port to the API server, whose answers are kept for a while.

Who ask the same at the same time share one answer. A question without an answer (the API server is away)
raises, and nothing is kept of it: whoever asked must not be let in.

Source: apiserver `plugin/pkg/authenticator/token/webhook`, `plugin/pkg/authorizer/webhook`.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Any, Generic, TypeVar

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import ApiError, InternalError, ServerTimeout, Timeout, TooManyRequests
from kplane.api.resource import Object, Resource
from kplane.client.flights import Flights
from kplane.client.rest import Client

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")

ATTEMPTS = 5
BACKOFF, FACTOR, JITTER = 0.5, 1.5, 0.2
"""Seconds before the second attempt, how much longer each pause is, and which part is added at most."""
TIMEOUT = 10.0
"""Seconds that one attempt may take."""

_TRANSIENT = (InternalError, ServerTimeout, Timeout, TooManyRequests)


class Kept(Generic[K, T]):
    """Answers, at most `size` of them. `seconds` says how long an answer holds; 0: it is not kept."""

    def __init__(self, clock: Clock, size: int, seconds: Callable[[T], float]) -> None:
        self._clock = clock
        self._size = size
        self._seconds = seconds
        self._answers: OrderedDict[K, tuple[T, float]] = OrderedDict()
        self._flights: Flights[K, T] = Flights()

    async def get(self, key: K, ask: Callable[[], Awaitable[T]]) -> T:
        """The kept answer, else what `ask` returns."""
        found = self._answers.get(key)
        if found is not None and found[1] > self._clock.monotonic():
            return found[0]
        return await self._flights.join(key, lambda: self._asked(key, ask))

    async def _asked(self, key: K, ask: Callable[[], Awaitable[T]]) -> T:
        answer = await ask()
        seconds = self._seconds(answer)
        self._answers.pop(key, None)
        if seconds > 0:
            self._answers[key] = answer, self._clock.monotonic() + seconds
            if len(self._answers) > self._size:
                self._answers.popitem(last=False)
        return answer


class ReviewClient:
    """Posts reviews, again where the API server failed for a moment."""

    def __init__(self, client: Client, clock: Clock, entropy: Entropy) -> None:
        self._client, self._clock, self._entropy = client, clock, entropy

    async def post(self, what: Resource[dict[str, Any]], spec: Object) -> Object:
        """The review's status. Raises ApiError."""
        body = {"apiVersion": what.api_version, "kind": what.kind, "metadata": {}, "spec": spec}
        pause = BACKOFF
        for _ in range(ATTEMPTS - 1):
            try:
                return await self._once(what, body)
            except _TRANSIENT:
                await self._clock.sleep(pause * (1 + self._entropy.uniform(0, JITTER)))
                pause *= FACTOR
        return await self._once(what, body)

    async def _once(self, what: Resource[dict[str, Any]], body: Object) -> Object:
        try:
            async with asyncio.timeout(TIMEOUT):
                answer = await self._client.create(what, body)
        except TimeoutError as error:
            raise ApiError(f"no answer to a {what.kind} within {TIMEOUT:g} s") from error
        status: Object = answer.get("status") or {}
        return status
