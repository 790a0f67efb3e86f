"""Ranges of Service addresses become ready, and go when nothing hangs on them."""

from __future__ import annotations

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types.meta import condition
from kplane.controllers.servicecidr import ADDRESSES, FINALIZER, ServiceCIDR, ServiceCIDRController
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object

EXTRA = Key("", "extra")


def run(cluster: FakeCluster) -> None:
    context = cluster.context()
    cluster.start(context.queue.run(ServiceCIDRController(context).reconcile))


def cidr(name: str, *networks: str) -> Object:
    return make_object("networking.k8s.io/v1", "ServiceCIDR", name, spec={"cidrs": list(networks)})


def address(name: str, manager: str = "ipallocator.k8s.io") -> Object:
    labels = {"ipaddress.kubernetes.io/managed-by": manager}
    return make_object("networking.k8s.io/v1", "IPAddress", name, labels=labels, spec={})


def says(cluster: FakeCluster) -> tuple[str, str, str]:
    found = cluster.get(ServiceCIDR, EXTRA)
    assert found is not None
    entry = condition(found.status.conditions, "Ready")
    assert entry is not None
    return entry.status, entry.reason, entry.message


async def deleted(cluster: FakeCluster, *others: Object) -> bool:
    """Whether a range goes, in time, with these others there."""
    cluster.load(cidr("extra", "10.1.0.0/24"), *others)
    run(cluster)
    await cluster.settle()
    await cluster.client().delete(ServiceCIDR, "extra")
    await cluster.advance(11)
    return cluster.get(ServiceCIDR, EXTRA) is None


async def test_a_new_range_is_protected_and_ready(cluster: FakeCluster) -> None:
    cluster.load(cidr("extra", "10.1.0.0/24"))
    run(cluster)
    await cluster.settle()
    found = cluster.get(ServiceCIDR, EXTRA)
    assert found is not None
    assert found.metadata.finalizers == (FINALIZER,)
    assert says(cluster) == ("True", "", "Kubernetes Service CIDR is ready")


async def test_an_unused_range_goes_after_the_time_of_grace(cluster: FakeCluster) -> None:
    cluster.load(cidr("extra", "10.1.0.0/24"))
    run(cluster)
    await cluster.settle()
    await cluster.client().delete(ServiceCIDR, "extra")
    await cluster.advance(9)
    early = cluster.get(ServiceCIDR, EXTRA)
    await cluster.advance(2)
    assert early is not None
    assert cluster.get(ServiceCIDR, EXTRA) is None


@pytest.mark.parametrize(
    ("others", "goes"),
    [
        pytest.param([address("10.1.0.7")], False, id="used"),
        pytest.param([address("10.9.0.7"), address("fd00::7")], True, id="others-used"),
        pytest.param([address("10.1.0.7", "somebody")], True, id="used-by-somebody-else"),
        pytest.param([address("10.1.0.7"), cidr("wide", "10.1.0.0/16")], True, id="inside-of-another"),
        pytest.param([address("10.1.0.7"), cidr("part", "10.1.0.0/28")], True, id="address-in-another"),
        pytest.param([address("10.1.0.99"), cidr("part", "10.1.0.0/28")], False, id="address-in-no-other"),
        pytest.param([cidr("odd", "nonsense")], True, id="beside-nonsense"),
    ],
)
async def test_a_range_goes_if_no_address_is_left_alone(
    cluster: FakeCluster, others: list[Object], goes: bool  # noqa: FBT001
) -> None:
    assert await deleted(cluster, *others) is goes


async def test_a_range_that_has_to_stay_says_why_and_goes_when_it_may(cluster: FakeCluster) -> None:
    assert not await deleted(cluster, address("10.1.0.7"))
    assert says(cluster) == (
        "False", "Terminating",
        "There are still IPAddresses referencing the ServiceCIDR, please remove them or create a new "
        "ServiceCIDR",
    )  # fmt: skip
    cluster.delete(ADDRESSES, Key("", "10.1.0.7"))
    await cluster.settle()
    assert cluster.get(ServiceCIDR, EXTRA) is None


async def test_another_range_lets_it_go(cluster: FakeCluster) -> None:
    assert not await deleted(cluster, address("10.1.0.7"))
    cluster.load(cidr("wide", "10.1.0.0/16"))
    await cluster.settle()
    assert cluster.get(ServiceCIDR, EXTRA) is None


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_fails_only_used_ranges_stay(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        run(cluster)
        for number in range(8):
            error = dice.choice([InternalError("broken"), Conflict("old")])
            cluster.faults.fail_next(error, times=2)
            cluster.faults.lose_next_answers(times=1)
            if dice.uniform(0, 1) < 0.4:
                cluster.drop_watches()
            cluster.load(cidr(f"range-{number}", f"10.{number}.0.0/24"))
            if number % 2:
                cluster.load(address(f"10.{number}.0.1"))
            await cluster.clock.advance(dice.uniform(0, 3))
        cluster.faults.clear()
        await cluster.advance(120)
        for number in range(8):
            await cluster.client().delete(ServiceCIDR, f"range-{number}")
        cluster.drop_watches()
        await cluster.advance(120)
        left = sorted(found.metadata.name for found in cluster.list(ServiceCIDR))
        assert left == [f"range-{number}" for number in (1, 3, 5, 7)]
