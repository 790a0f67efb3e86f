"""What flow control costs each request: which flow it belongs to, its seats, taking and leaving them.

    python -m tests.bench.flowcontrol

Microseconds, the best of ROUNDS runs, on one core, with the flow schemas and levels of a cluster as it comes:
    read         a user's GET, seats are free
    exempt       an administrator's
    write        a user's PUT, its watches counted
    list         a user's LIST, its size estimated
    first        a request of a kind that was not seen before: every schema is asked
    queued       put into a queue, and dispatched when a seat is free (1,000 waiting in 128 queues)
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from time import monotonic, perf_counter

from kplane.apiserver.auth.user import User
from kplane.apiserver.flowcontrol.control import FlowControl
from kplane.apiserver.flowcontrol.gate import FairGate
from kplane.apiserver.flowcontrol.queues import Request
from kplane.apiserver.flowcontrol.seats import Estimator, Stored
from kplane.apiserver.flowcontrol.watchcounts import WatchCounts
from kplane.apiserver.http.call import Call
from kplane.apiserver.http.requestinfo import RequestInfo, read
from kplane.apiserver.registry.flowobjects import LEVELS, SCHEMAS

ROUNDS, CALLS = 100, 300
USER = User("alice", groups=("team", "system:authenticated"))
ADMIN = User("admin", groups=("system:masters", "system:authenticated"))
POD = "/api/v1/namespaces/ns7/pods/web"


def made() -> FairGate:
    control = FlowControl(600, monotonic, lambda seconds, act: None)
    control.configure(LEVELS, SCHEMAS)
    watches = WatchCounts()
    for _ in range(8):
        watches.register(read("GET", "/api/v1/pods", b"watch=1"))
    estimator = Estimator(lambda info: Stored(10_000, 3_000), watches)
    return FairGate(control, estimator, watches, monotonic, 15.0)


def call(user: User, info: RequestInfo) -> Call:
    return Call({}, None, info, {}, user)  # type: ignore[arg-type]


def passing(gate: FairGate, asked: Call) -> Callable[[], None]:
    def through() -> None:
        seat = gate.enter(asked, long_running=False)
        assert seat is not None
        seat.end()

    return through


def strangers(gate: FairGate) -> Callable[[], None]:
    numbers = iter(range(10**9))

    def through() -> None:
        info = read("GET", f"/hostile/{next(numbers)}", b"")
        seat = gate.enter(call(USER, info), long_running=False)
        assert seat is not None
        seat.end()

    return through


def queued(gate: FairGate) -> Callable[[], None]:
    """Each call is one request that waits, and one that ends."""
    control = gate.control
    info = read("GET", POD, b"")
    users = [User(f"user-{number}", groups=("system:authenticated",)) for number in range(50)]
    flows = [control.classify(user, info) for user in users]
    queues = flows[0].level.queues
    turn = iter(range(10**9))

    def arrive() -> None:
        flow = flows[next(turn) % len(flows)]
        queues.begin(Request(flow, gate._estimator.work(info, flow)), flow.hand)

    while queues.waiting < 1000:
        arrive()

    def through() -> None:
        arrive()
        queues.finish(next(iter(queues.running)))

    return through


def microseconds(act: Callable[[], None]) -> float:
    best = float("inf")
    for _ in range(ROUNDS):
        began = perf_counter()
        for _ in range(CALLS):
            act()
        best = min(best, (perf_counter() - began) / CALLS)
    return best * 1e6


def main() -> int:
    gate = made()
    cases = {
        "read": passing(gate, call(USER, read("GET", POD, b""))),
        "exempt": passing(gate, call(ADMIN, read("GET", POD, b""))),
        "write": passing(gate, call(USER, read("PUT", POD, b""))),
        "list": passing(gate, call(USER, read("GET", "/api/v1/pods", b"limit=500"))),
        "first": strangers(gate),
        "queued": queued(made()),
    }
    for name, act in cases.items():
        print(f"{name:<8} {microseconds(act):8.2f} µs", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
