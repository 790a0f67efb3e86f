"""Metrics of the publishers of authorities, under upstream's names: how attempts ended, and when."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import Counter, Histogram

from kplane.api.clock import Clock
from kplane.api.errors import ApiError

_BUCKETS = tuple(0.001 * 2**power for power in range(15))


class Attempts:
    """The attempts of one publisher. Make it once a process."""

    def __init__(self, prefix: str, text: str) -> None:
        self._total = Counter(f"{prefix}_sync_total", text, ["code"])
        self._seconds = Histogram(f"{prefix}_sync_duration_seconds", text, ["code"], buckets=_BUCKETS)

    @contextmanager
    def attempt(self, clock: Clock) -> Iterator[None]:
        """Around one attempt; by the code of the server's answer."""
        code, began = "500", clock.monotonic()
        try:
            yield
            code = "200"
        except ApiError as error:
            code = str(error.http_code)
            raise
        finally:
            self._total.labels(code).inc()
            self._seconds.labels(code).observe(clock.monotonic() - began)
