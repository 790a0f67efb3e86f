"""What requests cost, and when refused ones should come back."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.flowcontrol.flows import Flow, Level, Limits
from kplane.apiserver.flowcontrol.queues import ONE_SEAT, Work
from kplane.apiserver.flowcontrol.retries import RetryAfter
from kplane.apiserver.flowcontrol.seats import Estimator, Stored
from kplane.apiserver.flowcontrol.watchcounts import WatchCounts
from kplane.apiserver.http.requestinfo import RequestInfo

from .simulation import Time, flow, info, queue_set

PODS = "/api/v1/namespaces/a/pods"


def at_level(most_seats: int = 10) -> Flow:
    time = Time()
    level = Level(Limits("narrow"), queue_set(time, limit=10), RetryAfter(), most_seats=most_seats)
    made = flow()
    made.level = level
    return made


def estimator(count: int = 0, size: int = 0, watches: WatchCounts | None = None) -> Estimator:
    def stored(_: RequestInfo) -> Stored | None:
        return Stored(count, size) if count else None

    return Estimator(stored, watches or WatchCounts())


@pytest.mark.parametrize(
    ("count", "size", "query", "seats"),
    [
        (10, 1000, {}, 1),
        (500, 1000, {}, 5),
        (501, 1000, {}, 6),
        # A cached list streams: it never holds more.
        (1_000_000, 5000, {}, 10),
        (1000, 1000, {"limit": "100"}, 1),
        (1000, 1000, {"limit": "300", "resourceVersion": "0"}, 3),
        (1000, 1000, {"fieldSelector": "metadata.name%3Dx"}, 1),
        (1000, 1000, {"limit": "x"}, 10),
        # The past is read from the store: all that selectors look at counts.
        (1000, 1000, {"resourceVersion": "7", "resourceVersionMatch": "Exact"}, 10),
        (1000, 1000, {"continue": "abc", "limit": "100"}, 1),
        (1000, 1000, {"continue": "abc", "limit": "100", "labelSelector": "a"}, 5),
        (0, 0, {}, 1),
    ],
)
def test_lists_take_a_seat_for_each_100_kb(count: int, size: int, query: dict[str, Any], seats: int) -> None:
    work = estimator(count, size).work(info("GET", PODS, **query), at_level())

    assert work == Work(seats)


def test_a_list_takes_no_more_than_its_level_allows() -> None:
    assert estimator(1000, 1000).work(info("GET", PODS), at_level(3)) == Work(3)
    assert estimator(1000, 1000).work(info("GET", PODS), at_level(0)) == Work(10)


def test_a_watch_costs_as_a_list_where_it_begins_with_one() -> None:
    plain = info("GET", PODS, watch="1")
    listing = info("GET", PODS, watch="1", sendInitialEvents="true", resourceVersionMatch="NotOlderThan")

    assert estimator(500, 1000).work(plain, at_level()) is ONE_SEAT
    assert estimator(500, 1000).work(listing, at_level()) == Work(5)


def watching(count: int, path: str = PODS, **query: str) -> WatchCounts:
    watches = WatchCounts()
    for _ in range(count):
        watches.register(info("GET", path, watch="1", **query))
    return watches


@pytest.mark.parametrize(
    ("watches", "work"),
    [(9, ONE_SEAT), (10, Work(1, 1, 0.005)), (95, Work(1, 10, 0.005)), (1000, Work(1, 10, 0.05))],
)
def test_a_write_keeps_seats_while_its_watches_are_told(watches: int, work: Work) -> None:
    found = estimator(watches=watching(watches)).work(info("PUT", f"{PODS}/x"), at_level())

    assert found == work


def test_watches_are_sampled_by_writes() -> None:
    at = at_level()

    estimator(watches=watching(25)).work(info("PUT", f"{PODS}/x"), at)

    assert (at.counts.watches.sum, sum(at.counts.watches.counts)) == (25.0, 1)
    assert sum(at.counts.estimated.counts) == 1


def test_reads_and_tokens_tell_nobody() -> None:
    accounts = "/api/v1/namespaces/a/serviceaccounts"
    counts = watching(100, accounts)

    assert estimator(watches=counts).work(info("POST", f"{accounts}/x/token"), at_level()) is ONE_SEAT
    assert estimator(watches=counts).work(info("GET", f"{accounts}/x"), at_level()) is ONE_SEAT
    assert estimator(watches=counts).work(info("POST", accounts), at_level()) == Work(1, 10, 0.005)


@pytest.mark.parametrize(
    ("path", "query", "interested"),
    [
        ("/api/v1/pods", {}, True),
        (PODS, {}, True),
        ("/api/v1/namespaces/b/pods", {}, False),
        ("/api/v1/watch/namespaces/a/pods/x", {}, True),
        ("/api/v1/watch/namespaces/a/pods/y", {}, False),
        (PODS, {"fieldSelector": "metadata.name%3Dx"}, True),
        (PODS, {"fieldSelector": "metadata.name%3Dy"}, False),
        ("/api/v1/namespaces/a/secrets", {}, False),
        ("/api/v1/pods", {"fieldSelector": "no,selector"}, True),
    ],
)
def test_which_watches_a_write_has_to_tell(path: str, query: dict[str, str], interested: bool) -> None:
    assert watching(1, path, **query).interested(info("PUT", f"{PODS}/x")) == interested


def test_of_the_nodes_watches_those_of_one_count() -> None:
    counts = watching(3, "/api/v1/pods")
    for node, number in (("n1", 5), ("n2", 2)):
        for _ in range(number):
            counts.register(info("GET", "/api/v1/pods", watch="1", fieldSelector=f"spec.nodeName%3D{node}"))

    assert counts.interested(info("PUT", f"{PODS}/x")) == 8


def test_watches_that_end_are_forgotten() -> None:
    counts = WatchCounts()
    registered = [counts.register(info("GET", PODS, watch="1")) for _ in range(2)]

    counts.forget(registered.pop())
    assert counts.interested(info("PUT", f"{PODS}/x")) == 1
    counts.forget(registered.pop())
    assert counts._counts == {}


def test_many_refusals_make_clients_come_back_later_and_few_sooner() -> None:
    retries = RetryAfter()
    told = []
    for second in range(1, 200):
        for _ in range(50):
            told.append(retries.refused(second))
    assert told[0] == 1
    assert told == sorted(told)
    assert told[-1] == 32

    for second in range(1000, 4000, 40):
        calm = retries.refused(second)
    assert calm == 1
