"""Endpoints of Services: packed, sorted, cut where there are too many."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, Pod, Service
from kplane.api.types.core import EndpointAddress, EndpointSubset
from kplane.controllers.endpoints import EndpointsController, truncated
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_pod, make_service

KEY = Key("default", "web")


def run(cluster: FakeCluster) -> None:
    context = cluster.context("endpoints-controller")
    cluster.start(context.queue.run(EndpointsController(context).reconcile))


def pod(number: int, *, ready: bool = True, **options: Any) -> Object:
    return make_pod(f"web-{number}", node="node-1", ready=ready, ip=f"10.0.0.{number}", **options)


def subset(ready: int, waiting: int) -> EndpointSubset:
    def some(count: int) -> tuple[EndpointAddress, ...]:
        return tuple(EndpointAddress(ip=f"10.0.0.{number}") for number in range(count))

    return EndpointSubset(addresses=some(ready), not_ready_addresses=some(waiting))


async def reconciled(cluster: FakeCluster) -> Object | None:
    await EndpointsController(cluster.context()).reconcile(KEY)
    found: Object | None = cluster.get(Endpoints.API.as_type(dict), KEY)
    return found


async def test_addresses_are_sorted_and_told_apart_by_readiness(cluster: FakeCluster) -> None:
    cluster.load(make_service(), pod(3), pod(1), pod(2, ready=False))

    found = await reconciled(cluster)

    assert found is not None
    (only,) = found["subsets"]
    assert [address["ip"] for address in only["addresses"]] == ["10.0.0.1", "10.0.0.3"]
    assert [address["ip"] for address in only["notReadyAddresses"]] == ["10.0.0.2"]
    assert only["ports"] == [{"port": 8080, "protocol": "TCP"}]
    assert only["addresses"][0]["targetRef"] == {
        "kind": "Pod", "namespace": "default", "name": "web-1", "uid": "pod-default-web-1",
    }  # fmt: skip
    assert found["metadata"]["labels"] == {"endpoints.kubernetes.io/managed-by": "endpoint-controller"}


async def test_ports_with_the_same_addresses_share_a_subset(cluster: FakeCluster) -> None:
    ports = [
        {"name": "metrics", "port": 9100, "targetPort": 9100, "protocol": "TCP"},
        {"name": "http", "port": 80, "targetPort": 8080, "protocol": "TCP"},
    ]
    cluster.load(make_service(ports=ports), pod(1))

    found = await reconciled(cluster)

    assert found is not None
    (only,) = found["subsets"]
    assert [port["name"] for port in only["ports"]] == ["http", "metrics"]


async def test_a_headless_service_without_ports_lists_addresses(cluster: FakeCluster) -> None:
    cluster.load(make_service(cluster_ip="None", ports=()), pod(1))

    found = await reconciled(cluster)

    assert found is not None
    assert [list(entry) for entry in found["subsets"]] == [["addresses"]]
    assert found["metadata"]["labels"]["service.kubernetes.io/headless"] == ""


async def test_services_without_selector_are_left_alone(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None), pod(1))

    assert await reconciled(cluster) is None


async def test_endpoints_go_with_their_service(cluster: FakeCluster) -> None:
    cluster.load(make_service(), pod(1))
    run(cluster)
    await cluster.settle()

    cluster.delete(Service, KEY)
    await cluster.settle()

    assert cluster.get(Endpoints, KEY) is None


async def test_nothing_is_written_where_nothing_changed(cluster: FakeCluster) -> None:
    cluster.load(make_service(), pod(1))
    first = await reconciled(cluster)
    await cluster.settle()

    assert await reconciled(cluster) == first


async def test_endpoints_that_the_cache_does_not_show_yet_are_not_created_again(cluster: FakeCluster) -> None:
    cluster.load(make_service(), pod(1))
    controller = EndpointsController(cluster.context("endpoints-controller"))
    await cluster.settle()
    cluster.hold_watches()
    await controller.reconcile(KEY)
    await cluster.advance(1)

    await controller.reconcile(KEY)

    assert _count(cluster) == 1
    assert cluster.events() == []


async def test_many_addresses_are_not_written_at_every_change(cluster: FakeCluster) -> None:
    cluster.load(make_service(), *(pod(number) for number in range(1, 101)))
    run(cluster)
    await cluster.settle()
    first = _count(cluster)

    cluster.load(pod(101))
    await cluster.settle()
    at_once = _count(cluster)
    await cluster.advance(0.2)

    assert (first, at_once, _count(cluster)) == (100, 100, 101)


def _count(cluster: FakeCluster) -> int:
    found = cluster.get(Endpoints, KEY)
    return sum(len(entry.addresses or ()) for entry in (found.subsets if found else None) or ())


@pytest.mark.parametrize(
    ("sizes", "kept"),
    [
        pytest.param([(5, 3)], [(5, 3)], id="fits"),
        pytest.param([(12, 3)], [(10, 0)], id="too-many-ready"),
        pytest.param([(6, 9)], [(6, 4)], id="too-many-waiting"),
        pytest.param([(8, 0), (8, 1)], [(5, 0), (5, 0)], id="each-its-share"),
    ],
)
def test_what_is_too_much_is_cut(sizes: list[tuple[int, int]], kept: list[tuple[int, int]]) -> None:
    cut = truncated([subset(*size) for size in sizes], capacity=10)

    assert [(len(entry.addresses or ()), len(entry.not_ready_addresses or ())) for entry in cut] == kept


@pytest.mark.parametrize("seed", range(6))
async def test_whatever_fails_all_pods_are_listed_in_the_end(seed: int) -> None:
    dice = Entropy(seed)
    async with FakeCluster(seed=seed) as cluster:
        cluster.load(make_service())
        run(cluster)
        for number in range(1, 10):
            error = dice.choice([InternalError("broken"), Conflict("modified"), None])
            cluster.faults.fail_next(error, times=2)
            cluster.load(pod(number))
            await cluster.advance(dice.uniform(0, 1))
        cluster.delete(Pod, Key("default", "web-4"))
        await cluster.advance(3600)

        found = cluster.get(Endpoints, KEY)
        assert found is not None
        listed = [address.ip for entry in found.subsets or () for address in entry.addresses or ()]
        assert listed == sorted(pod.status.pod_ip for pod in cluster.list(Pod))
