"""Leader election: one leads at a time, loses what it cannot renew, and hands over on the way out."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest
from prometheus_client import REGISTRY

from kplane.api.clock import Clock, rfc3339_micro
from kplane.api.errors import Forbidden, Unreachable
from kplane.api.resource import Key
from kplane.api.types import ConfigMap, Lease
from kplane.client.leaderelection import ElectionConfig, Fence, Fenced, LostLeadership, lead
from kplane.client.rest import Client
from kplane.testing import FakeCluster, make_object
from kplane.testing.clock import SkewedClock
from kplane.testing.objects import make_configmap

LEASE = Key("kube-system", "scheduler")
EVERYTHING = ("GET", "POST", "PUT", "PATCH", "DELETE")


class Candidate:
    """A process that takes part; it works until it is cancelled or told to stop."""

    def __init__(self, cluster: FakeCluster, identity: str, clock: Clock | None = None) -> None:
        self._cluster = cluster
        self._clock = clock or cluster.clock
        self._config = ElectionConfig(LEASE.name, identity=identity)
        self.stop = asyncio.Event()
        self.leading = False
        self.outcome: BaseException | None = None

    async def run(self) -> None:
        cluster = self._cluster
        try:
            await lead(cluster.client(), self._config, self._clock, cluster.entropy, self._work)
        except LostLeadership as error:
            self.outcome = error

    async def _work(self) -> None:
        self.leading = True
        try:
            await self.stop.wait()
        finally:
            self.leading = False


def holder(cluster: FakeCluster) -> str | None:
    lease = cluster.get(Lease, LEASE)
    return lease.spec.holder_identity if lease else None


def held_lease(cluster: FakeCluster, identity: str) -> None:
    now = rfc3339_micro(cluster.clock.now())
    spec = {"holderIdentity": identity, "leaseDurationSeconds": 15, "renewTime": now, "leaseTransitions": 3}
    cluster.load(make_object("coordination.k8s.io/v1", "Lease", LEASE.name, LEASE.namespace, spec=spec))


async def test_first_candidate_makes_the_lease_and_leads(cluster: FakeCluster) -> None:
    first = Candidate(cluster, "a")
    cluster.start(first.run())
    await cluster.settle()

    assert first.leading
    lease = cluster.get(Lease, LEASE)
    assert lease is not None
    assert (lease.spec.holder_identity, lease.spec.lease_duration_seconds) == ("a", 15)
    assert lease.spec.lease_transitions == 0


@pytest.mark.parametrize("released", [False, True], ids=["no lease", "released lease"])
async def test_one_of_two_simultaneous_candidates_leads(cluster: FakeCluster, released: bool) -> None:
    if released:
        held_lease(cluster, "")
    candidates = [Candidate(cluster, "a"), Candidate(cluster, "b")]
    for candidate in candidates:
        cluster.start(candidate.run())

    await cluster.clock.idle()

    assert [candidate.leading for candidate in candidates].count(True) == 1


async def test_second_candidate_waits_while_the_first_renews(cluster: FakeCluster) -> None:
    first, second = Candidate(cluster, "a"), Candidate(cluster, "b")
    cluster.start(first.run())
    await cluster.settle()
    cluster.start(second.run())

    await cluster.advance(120)

    assert (first.leading, second.leading) == (True, False)


async def test_release_hands_over_within_a_retry_period(cluster: FakeCluster) -> None:
    first, second = Candidate(cluster, "a"), Candidate(cluster, "b")
    cluster.start(first.run())
    await cluster.settle()
    cluster.start(second.run())
    await cluster.advance(10)

    first.stop.set()
    await cluster.advance(5)

    assert (first.leading, second.leading) == (False, True)
    lease = cluster.get(Lease, LEASE)
    assert lease is not None
    assert lease.spec.lease_transitions == 1


async def test_lease_of_a_dead_holder_is_taken_after_its_duration(cluster: FakeCluster) -> None:
    held_lease(cluster, "dead")
    candidate = Candidate(cluster, "b")
    cluster.start(candidate.run())

    await cluster.advance(14)
    assert not candidate.leading
    await cluster.advance(6)

    assert candidate.leading
    assert holder(cluster) == "b"


async def test_leader_that_cannot_renew_stops_before_others_may_start(cluster: FakeCluster) -> None:
    first, second = Candidate(cluster, "a"), Candidate(cluster, "b")
    cluster.start(first.run())
    await cluster.settle()
    cluster.faults.fail_next(times=1000, methods=("GET", "PATCH"), plural="leases")

    await cluster.advance(10.5)

    assert not first.leading
    assert isinstance(first.outcome, LostLeadership)
    assert not second.leading


async def test_leader_survives_a_short_outage(cluster: FakeCluster) -> None:
    first = Candidate(cluster, "a")
    cluster.start(first.run())
    await cluster.settle()
    cluster.faults.fail_next(Unreachable("gone"), times=3, methods=EVERYTHING)

    await cluster.advance(60)

    assert first.leading


async def test_leader_stops_when_another_holds_the_lease(cluster: FakeCluster) -> None:
    first = Candidate(cluster, "a")
    cluster.start(first.run())
    await cluster.settle()

    held_lease(cluster, "usurper")
    await cluster.advance(3)

    assert not first.leading
    assert holder(cluster) == "usurper"


async def test_failure_of_the_work_releases_and_comes_out_as_itself(cluster: FakeCluster) -> None:
    async def work() -> None:
        raise LookupError("broken")

    with pytest.raises(LookupError):
        await lead(
            cluster.client(), ElectionConfig(LEASE.name, identity="a"), cluster.clock, cluster.entropy, work
        )

    assert holder(cluster) == ""


async def test_the_stock_roles_are_enough_and_what_others_wrote_stays(cluster: FakeCluster) -> None:
    """`system:kube-scheduler` may get, create and update Leases, and nothing else."""
    spec = {"holderIdentity": "", "leaseDurationSeconds": 1, "strategy": "OldestEmulationVersion"}
    lease = make_object("coordination.k8s.io/v1", "Lease", LEASE.name, LEASE.namespace, spec=spec)
    lease["metadata"]["annotations"] = {"a": "b"}
    cluster.load(lease)
    cluster.faults.fail_next(Forbidden("no"), times=1000, methods=("PATCH", "DELETE"))
    first = Candidate(cluster, "a")
    cluster.start(first.run())
    await cluster.settle()

    await cluster.advance(60)

    assert first.leading
    kept = cluster.server.state.get(("coordination.k8s.io", "leases"), LEASE)
    assert kept is not None
    assert kept["metadata"]["annotations"] == {"a": "b"}
    assert kept["spec"]["holderIdentity"] == "a"
    assert kept["spec"]["strategy"] == "OldestEmulationVersion"


@pytest.mark.parametrize(
    ("offset", "rate"),
    [
        pytest.param(3600, 1.0, id="an hour ahead"),
        pytest.param(-3600, 1.0, id="an hour behind"),
        pytest.param(0, 1.4, id="fast"),
        pytest.param(0, 0.75, id="slow"),
    ],
)
@pytest.mark.parametrize("skewed", ["a", "b"])
async def test_clocks_that_disagree_never_make_two_leaders(
    cluster: FakeCluster, offset: float, rate: float, skewed: str
) -> None:
    """Up to the ratio of lease duration and renew deadline, which is 1.5."""
    wrong = SkewedClock(cluster.clock, offset, rate)
    candidates = [Candidate(cluster, name, wrong if name == skewed else None) for name in ("a", "b")]
    for candidate in candidates:
        cluster.start(candidate.run())
        await cluster.settle()

    for second in range(300):
        if second == 60:
            wrong.offset = -2 * offset
        if second == 120:
            cluster.faults.fail_next(Unreachable("down"), times=20, methods=EVERYTHING)
        await cluster.clock.advance(1)
        assert [candidate.leading for candidate in candidates].count(True) <= 1
    assert [candidate.leading for candidate in candidates].count(True) == 1


async def test_a_leader_that_slept_too_long_writes_nothing_when_it_wakes_up(cluster: FakeCluster) -> None:
    fence = Fence(cluster.clock)
    behind = Client(Fenced(cluster, fence), clock=cluster.clock)
    outcomes: list[str] = []

    async def work() -> None:
        """Wakes up together with the renewal, and has something to write at once."""
        while True:
            await cluster.clock.sleep(2)
            try:
                await behind.create(ConfigMap, make_configmap(f"at-{cluster.clock.monotonic():.0f}"))
            except Unreachable as error:
                outcomes.append(str(error))

    config = ElectionConfig(LEASE.name, identity="a")

    async def run() -> None:
        with suppress(LostLeadership):
            await lead(cluster.client(), config, cluster.clock, cluster.entropy, work, fence)

    cluster.start(run())
    await cluster.clock.advance(7)
    before = len(cluster.list(ConfigMap))
    # As after SIGSTOP and SIGCONT: time has passed, and nobody has noticed yet.
    cluster.clock.jump(20)
    await cluster.clock.advance(4)

    assert before == 3
    assert len(cluster.list(ConfigMap)) == before
    assert outcomes[:1] == ["not sent: this process leads no more"]


async def test_who_leads_says_so_in_its_metrics(cluster: FakeCluster) -> None:
    def status() -> float | None:
        return REGISTRY.get_sample_value("leader_election_master_status", {"name": LEASE.name})

    held_lease(cluster, "another")
    candidate = Candidate(cluster, "a")
    cluster.start(candidate.run())
    await cluster.advance(5)
    waiting = status()
    await cluster.advance(30)
    leading = status()
    candidate.stop.set()
    await cluster.settle()

    assert (waiting, leading, status()) == (0, 1, 0)
