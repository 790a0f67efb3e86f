"""How long to wait before trying again: growing delays, and a bucket of tokens. Arithmetic, no waiting."""

from __future__ import annotations

from collections.abc import Hashable

from kplane.api.clock import Entropy


class Backoff:
    """Delays that grow by `factor` up to `limit`, each lengthened by up to `jitter` times itself."""

    def __init__(
        self, first: float, limit: float, entropy: Entropy, *, factor: float = 2, jitter: float = 1
    ) -> None:
        self._first = self._next = first
        self._limit = limit
        self._factor = factor
        self._jitter = jitter
        self._entropy = entropy

    def delay(self) -> float:
        """The next delay in seconds."""
        base = self._next
        self._next = min(base * self._factor, self._limit)
        return base * (1 + self._entropy.uniform(0, self._jitter))

    def reset(self) -> None:
        """Something worked: begin with the first delay again."""
        self._next = self._first


class ItemBackoff:
    """client-go's ItemExponentialFailureRateLimiter: `first` seconds, doubled by each failure of the item."""

    def __init__(self, first: float, limit: float) -> None:
        self._first = first
        self._limit = limit
        self._failures: dict[Hashable, int] = {}

    def delay(self, item: Hashable) -> float:
        """Note a failure of `item`; seconds until it may be tried again."""
        failures = self._failures.get(item, 0)
        self._failures[item] = failures + 1
        # Beyond 2^64 the limit has long been reached, and the power would only grow.
        return min(self._first * 2.0 ** min(failures, 64), self._limit)

    def failures(self, item: Hashable) -> int:
        return self._failures.get(item, 0)

    def forget(self, item: Hashable) -> None:
        self._failures.pop(item, None)


class TokenBucket:
    """`burst` tokens at once, then `rate` per second; `now` is any monotonic time in seconds."""

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._tokens = burst
        self._at = now

    def reserve(self, now: float) -> float:
        """Take a token, even one that is not there yet; seconds until it will be."""
        self._refill(now)
        self._tokens -= 1
        return max(-self._tokens / self._rate, 0.0)

    def take(self, now: float) -> bool:
        """Take a token if there is one."""
        self._refill(now)
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _refill(self, now: float) -> None:
        self._tokens = min(self._tokens + (now - self._at) * self._rate, self._burst)
        self._at = now
