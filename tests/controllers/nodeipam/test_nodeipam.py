"""Every node gets a range of Pod addresses of its own."""

from __future__ import annotations

from ipaddress import ip_network
from typing import Any

import pytest
from prometheus_client import REGISTRY

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key
from kplane.api.types import Node
from kplane.controllers.config import Config
from kplane.controllers.nodeipam.controller import NodeIpamController
from kplane.controllers.nodeipam.ranges import BadNetwork, Exhausted, Ranges
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node


def run(cluster: FakeCluster, *networks: str, services: str = "", **options: Any) -> None:
    config = Config(
        cluster_cidrs=[ip_network(text) for text in networks],
        service_cidrs=[ip_network(services)] if services else [],
        **options,
    )
    context = cluster.context(options=config)
    cluster.start(context.queue.run(NodeIpamController(context).reconcile))


def cidrs(cluster: FakeCluster) -> dict[str, tuple[str, ...]]:
    return {node.metadata.name: node.spec.pod_cidrs for node in cluster.list(Node)}


async def test_nodes_get_ranges_one_after_the_other(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_node("b"))
    run(cluster, "10.244.0.0/16")
    await cluster.settle()
    assert cidrs(cluster) == {"a": ("10.244.0.0/24",), "b": ("10.244.1.0/24",)}
    assert [node.spec.pod_cidr for node in cluster.list(Node)] == ["10.244.0.0/24", "10.244.1.0/24"]


async def test_a_dual_stack_node_gets_a_range_of_each_family(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"))
    run(cluster, "10.244.0.0/16", "fd00::/56", node_cidr_mask_size_ipv4=26)
    await cluster.settle()
    assert cidrs(cluster)["a"] == ("10.244.0.0/26", "fd00::/64")


async def test_what_nodes_and_services_have_is_not_given_out(cluster: FakeCluster) -> None:
    taken = make_node("old", podCIDR="10.0.1.0/24", podCIDRs=["10.0.1.0/24"])
    cluster.load(make_node("a"), taken)
    run(cluster, "10.0.0.0/22", services="10.0.0.0/24")
    await cluster.settle()
    assert cidrs(cluster)["a"] == ("10.0.2.0/24",)


async def test_a_node_without_a_range_waits_until_another_goes(cluster: FakeCluster) -> None:
    cluster.load(make_node("a"), make_node("b"), make_node("c"))
    run(cluster, "10.0.0.0/23")
    await cluster.settle()
    (event,) = cluster.events()
    poor = event.involved_object.name
    waited = cidrs(cluster)[poor]
    cluster.delete(Node, Key("", "a"))
    await cluster.settle()
    assert waited == ()
    assert (event.reason, event.message) == (
        "CIDRNotAvailable", f"Node {poor} status is now: CIDRNotAvailable",
    )  # fmt: skip
    assert set(cidrs(cluster).values()) == {("10.0.0.0/24",), ("10.0.1.0/24",)}


async def test_ranges_outside_or_unreadable_disturb_nobody(cluster: FakeCluster) -> None:
    odd = make_node("odd", podCIDR="nonsense", podCIDRs=["nonsense", "192.168.0.0/24"])
    cluster.load(odd, make_node("a"))
    run(cluster, "10.0.0.0/23")
    await cluster.settle()
    assert cidrs(cluster)["a"] == ("10.0.0.0/24",)


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_fails_no_range_is_given_twice(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        run(cluster, "10.0.0.0/18")
        for turn in range(40):
            cluster.faults.fail_next(dice.choice([InternalError("broken"), Conflict("old")]), times=1)
            cluster.faults.lose_next_answers(times=1)
            if dice.uniform(0, 1) < 0.3:
                cluster.drop_watches()
            cluster.load(make_node(f"node-{turn}"))
            if turn % 5 == 4:
                cluster.delete(Node, Key("", f"node-{turn - 3}"))
            await cluster.clock.advance(dice.uniform(0, 1))
        cluster.faults.clear()
        await cluster.advance(600)
        found = [ranges[0] for ranges in cidrs(cluster).values()]
        assert len(found) == len(set(found)) == 32


def test_parts_of_a_network_are_given_out_until_none_is_left() -> None:
    ranges = Ranges(ip_network("10.0.0.0/30"), 32)
    taken = [str(ranges.take(f"owner-{number}")) for number in range(4)]
    with pytest.raises(Exhausted):
        ranges.take("late")
    ranges.release(ip_network(taken[1]), "owner-1")
    assert str(ranges.take("late")) == "10.0.0.1/32"
    assert not ranges.occupy(ip_network("10.0.0.0/24"), "greedy")


@pytest.mark.parametrize(("network", "size"), [("10.0.0.0/24", 16), ("10.0.0.0/24", 33), ("fd00::/32", 64)])
def test_networks_that_cannot_be_divided_are_refused(network: str, size: int) -> None:
    with pytest.raises(BadNetwork):
        Ranges(ip_network(network), size)


def test_what_is_given_out_and_back_is_counted() -> None:
    def sample(name: str) -> float:
        found = REGISTRY.get_sample_value(f"node_ipam_controller_{name}", {"clusterCIDR": "10.99.0.0/22"})
        return found or 0.0

    ranges = Ranges(ip_network("10.99.0.0/22"), 24)
    ranges.occupy(ip_network("10.99.0.0/24"), "a")
    second = ranges.take("b")
    ranges.take("c")
    ranges.release(second, "b")

    assert sample("cirdset_max_cidrs") == 4
    assert sample("cidrset_cidrs_allocations_total") == 3
    assert sample("cidrset_cidrs_releases_total") == 1
    assert sample("cidrset_usage_cidrs") == 0.5
    assert sample("cidrset_allocation_tries_per_request_sum") == 3
