"""Seats and queues of one priority level, under virtual time."""

from __future__ import annotations

import pytest

from kplane.apiserver.flowcontrol.queues import Refusal, State, Work

from .simulation import Client, Time, begin, flow, queue_set


@pytest.fixture
def time() -> Time:
    return Time()


def test_seats_are_free_for_as_many_requests_and_no_more(time: Time) -> None:
    level = queue_set(time, limit=2, queues=4)
    many = flow(0, 1)

    states = [begin(level, many)[0].state for _ in range(3)]

    assert states == [State.RUNNING, State.RUNNING, State.WAITING]
    assert (level.seats, level.waiting) == (2, 1)


def test_the_one_that_waited_longest_in_its_queue_runs_when_a_seat_is_free(time: Time) -> None:
    level = queue_set(time, limit=1, queues=1)
    one = flow(0)
    first, second, third = (begin(level, one)[0] for _ in range(3))
    woken: list[object] = []
    second.on_run = lambda: woken.append(second)

    time.advance(1)
    level.finish(first)

    assert (second.state, third.state, woken) == (State.RUNNING, State.WAITING, [second])
    assert second.started == 1.0


def test_two_flows_share_whatever_one_of_them_sends(time: Time) -> None:
    level = queue_set(time, limit=4, queues=8)
    greedy = Client(time, level, flow(0, 1), seconds=0.1)
    modest = Client(time, level, flow(2, 3), seconds=0.1)

    greedy.send(50)
    modest.send(4)
    time.advance(60)

    assert greedy.refused == modest.refused == 0
    # 40 requests a second in all; the greedy one fills both of its queues, the modest one perhaps two.
    assert greedy.served + modest.served == pytest.approx(2400, abs=8)
    assert modest.served == pytest.approx(1200, rel=0.05)


def test_a_flow_of_slow_requests_gets_no_more_seat_time_than_one_of_fast_requests(time: Time) -> None:
    level = queue_set(time, limit=2, queues=2)
    slow = Client(time, level, flow(0), seconds=1.0)
    fast = Client(time, level, flow(1), seconds=0.01)

    slow.send(10)
    fast.send(10)
    time.advance(100)

    assert slow.served * 1.0 == pytest.approx(fast.served * 0.01, rel=0.1)


def test_wide_requests_count_as_many(time: Time) -> None:
    level = queue_set(time, limit=10, queues=2)
    wide = Client(time, level, flow(0), seconds=0.1, work=Work(5))
    narrow = Client(time, level, flow(1), seconds=0.1)

    wide.send(20)
    narrow.send(20)
    time.advance(100)

    assert wide.served * 5 == pytest.approx(narrow.served, rel=0.15)


def test_a_request_wider_than_the_level_runs_alone(time: Time) -> None:
    level = queue_set(time, limit=2, queues=2)
    small, _ = begin(level, flow(0))
    wide, _ = begin(level, flow(1), Work(5))
    assert wide.state is State.WAITING

    level.finish(small)

    assert wide.state is State.RUNNING
    assert begin(level, flow(0))[0].state is State.WAITING


def test_the_exempt_never_wait(time: Time) -> None:
    level = queue_set(time, limit=0, exempt=True)

    assert all(begin(level, flow())[0].state is State.RUNNING for _ in range(1000))


def test_without_queues_what_does_not_fit_is_refused(time: Time) -> None:
    level = queue_set(time, limit=1)
    first, fits = begin(level, flow())
    _, refusal = begin(level, flow())
    level.finish(first)

    assert (fits, refusal) == (None, Refusal.CONCURRENCY_LIMIT)
    assert begin(level, flow())[1] is None


def test_a_full_queue_refuses(time: Time) -> None:
    level = queue_set(time, limit=1, queues=2, length=2)
    here, there = flow(0), flow(1)
    assert [begin(level, here)[1] for _ in range(4)] == [None, None, None, Refusal.QUEUE_FULL]

    # Another flow's queue has room.
    assert begin(level, there)[1] is None
    assert level.waiting == 3


def test_a_flow_puts_its_requests_into_the_shortest_queue_of_its_hand(time: Time) -> None:
    level = queue_set(time, limit=1, queues=4, length=2)
    begin(level, flow(0))
    for _ in range(2):
        begin(level, flow(1))

    other = flow(1, 3)
    assert [begin(level, other)[1] for _ in range(3)] == [None, None, Refusal.QUEUE_FULL]
    assert [len(queue.waiting) for queue in level.queues] == [0, 2, 0, 2]


def test_one_that_gives_up_leaves_its_place_and_what_was_behind_it_runs(time: Time) -> None:
    level = queue_set(time, limit=2, queues=1)
    running, _ = begin(level, flow(0))
    wide, _ = begin(level, flow(0), Work(2))
    behind, _ = begin(level, flow(0))
    assert (wide.state, behind.state) == (State.WAITING, State.WAITING)

    level.cancel(wide)

    assert (wide.state, behind.state) == (State.DONE, State.RUNNING)
    assert (level.waiting, level.waiting_seats, level.seats) == (0, 0, 2)
    level.finish(running)
    level.finish(behind)
    assert level.idle
    assert level.seats == 0


def test_seats_of_a_write_are_kept_until_its_watchers_are_told(time: Time) -> None:
    level = queue_set(time, limit=4, queues=1)
    write, _ = begin(level, flow(0), Work(1, final_seats=3, final_seconds=0.5))
    waits, _ = begin(level, flow(0), Work(2))
    assert (level.seats, waits.state) == (3, State.WAITING)

    level.finish(write)
    time.advance(0.4)
    assert waits.state is State.WAITING
    time.advance(0.2)

    assert waits.state is State.RUNNING


def test_more_seats_let_those_that_wait_run(time: Time) -> None:
    level = queue_set(time, limit=1, queues=1)
    requests = [begin(level, flow(0))[0] for _ in range(3)]

    level.set_limit(2)

    assert [request.state for request in requests] == [State.RUNNING, State.RUNNING, State.WAITING]


def test_queues_that_are_taken_away_are_emptied_first(time: Time) -> None:
    level = queue_set(time, limit=1, queues=4)
    running, _ = begin(level, flow(0))
    late, _ = begin(level, flow(3))

    level.configure(1, 50)
    assert len(level.queues) == 2
    level.finish(running)
    level.finish(late)
    level.configure(1, 50)

    assert late.state is State.DONE
    assert len(level.queues) == 1


def test_a_queue_that_was_idle_gets_no_credit_for_it(time: Time) -> None:
    level = queue_set(time, limit=1, queues=2)
    steady = Client(time, level, flow(0), seconds=0.1)
    steady.send(5)
    time.advance(100)
    newcomer = Client(time, level, flow(1), seconds=0.1)
    before = steady.served

    newcomer.send(5)
    time.advance(10)

    assert newcomer.served == pytest.approx(50, abs=3)
    assert steady.served - before == pytest.approx(50, abs=3)


def test_a_queue_that_was_idle_owes_nothing_for_what_it_had(time: Time) -> None:
    level = queue_set(time, limit=1, queues=2)
    long, _ = begin(level, flow(0))
    steady = Client(time, level, flow(1), seconds=1.0)
    steady.send(3)
    time.advance(100)
    level.finish(long)
    time.advance(10.5)

    again, _ = begin(level, flow(0))
    time.advance(3)

    # By then virtual time is far behind the seat-seconds that its queue has had.
    assert again.state is State.RUNNING


def test_a_queue_whose_request_runs_for_long_saves_nothing_for_its_next_ones(time: Time) -> None:
    level = queue_set(time, limit=2, queues=2)
    begin(level, flow(0))
    steady = Client(time, level, flow(1), seconds=0.1)
    steady.send(5)
    time.advance(100)
    before = steady.served

    Client(time, level, flow(0), seconds=0.1).send(5)
    time.advance(10)

    assert steady.served - before == pytest.approx(50, abs=3)


def test_virtual_time_runs_as_fast_as_seats_work_for_each_queue(time: Time) -> None:
    level = queue_set(time, limit=4, queues=4)
    gone, _ = begin(level, flow(0))
    level.finish(gone)
    begin(level, flow(1), Work(3))

    time.advance(10)
    level.set_limit(4)
    alone = level.r
    begin(level, flow(2))
    time.advance(10)
    level.set_limit(4)

    assert (alone, level.r - alone) == (30.0, 20.0)


def test_requests_go_round_the_queues_of_their_flow(time: Time) -> None:
    level = queue_set(time, limit=10, queues=4)

    for _ in range(4):
        begin(level, flow(1, 3))

    assert [queue.running for queue in level.queues] == [0, 2, 0, 2]
