"""Delays and token buckets."""

from __future__ import annotations

import pytest

from kplane.api.clock import Entropy
from kplane.client.backoff import Backoff, ItemBackoff, TokenBucket


def test_delays_double_with_jitter_up_to_the_limit_until_reset() -> None:
    backoff = Backoff(0.8, 30, Entropy(1))

    delays = [backoff.delay() for _ in range(8)]

    for delay, base in zip(delays, [0.8, 1.6, 3.2, 6.4, 12.8, 25.6, 30, 30], strict=True):
        assert base <= delay <= 2 * base
    backoff.reset()
    assert backoff.delay() <= 1.6


def test_items_back_off_apart_from_each_other() -> None:
    backoff = ItemBackoff(0.005, 1000)

    assert [backoff.delay("a") for _ in range(3)] == [0.005, 0.01, 0.02]
    assert backoff.delay("b") == 0.005
    backoff.forget("a")
    assert backoff.delay("a") == 0.005
    assert [backoff.delay("c") for _ in range(2000)][-1] == 1000


def test_bucket_gives_its_burst_and_then_its_rate() -> None:
    bucket = TokenBucket(rate=10, burst=2, now=0)

    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(0.1) for _ in range(2)] == [True, False]
    assert [bucket.reserve(0.1) for _ in range(2)] == pytest.approx([0.1, 0.2])
    assert bucket.reserve(100) == 0
