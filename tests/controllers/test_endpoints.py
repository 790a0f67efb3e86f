"""Endpoints of Services: packed, sorted, cut where there are too many."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.api.errors import Conflict, Forbidden, InternalError
from kplane.api.resource import Key, Object
from kplane.api.types import Endpoints, Pod, Service
from kplane.api.types.core import EndpointAddress, EndpointSubset
from kplane.controllers.config import Config
from kplane.controllers.endpoints import EndpointsController, truncated
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_object, make_pod, make_service

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


def by_hand(name: str, **metadata: Any) -> Object:
    subsets = [{"addresses": [{"ip": "10.0.0.9"}], "ports": [{"port": 80}]}]
    return make_object("v1", "Endpoints", name, "default", subsets=subsets, **metadata)


async def test_endpoints_made_by_hand_go_with_their_service_too(cluster: FakeCluster) -> None:
    cluster.load(make_service(selector=None))
    run(cluster)
    await cluster.settle()
    cluster.load(by_hand("web"), by_hand("lonely"))
    await cluster.settle()
    before = cluster.get(Endpoints, KEY)

    cluster.delete(Service, KEY)
    await cluster.settle()

    assert before is not None
    assert [found.metadata.name for found in cluster.list(Endpoints)] == ["lonely"]


async def test_endpoints_whose_service_went_unseen_go_at_the_start(cluster: FakeCluster) -> None:
    leader = {"control-plane.alpha.kubernetes.io/leader": "{}"}
    cluster.load(make_service(selector=None), by_hand("web"), by_hand("lost"))
    cluster.load(by_hand("scheduler", annotations=leader))

    run(cluster)
    await cluster.settle()

    assert [found.metadata.name for found in cluster.list(Endpoints)] == ["scheduler", "web"]


@pytest.mark.parametrize(
    ("service", "expected"),
    [
        pytest.param(make_service(cluster_ip="fd00::10"), "fd00::1", id="of-its-address"),
        pytest.param(make_service(cluster_ip="None"), "10.0.0.1", id="of-the-pods-first-address"),
        pytest.param(make_service(ipFamilies=["IPv6", "IPv4"]), "fd00::1", id="first-of-its-families"),
    ],
)
async def test_addresses_are_of_the_services_first_family(
    cluster: FakeCluster, service: Object, expected: str
) -> None:
    body = pod(1)
    body["status"]["podIPs"] = [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}]
    cluster.load(service, body)

    found = await reconciled(cluster)

    assert found is not None
    assert [address["ip"] for address in found["subsets"][0]["addresses"]] == [expected]


async def test_a_mark_that_says_nothing_true_is_removed(cluster: FakeCluster) -> None:
    cluster.load(make_service(), pod(1))
    run(cluster)
    await cluster.settle()
    mark = {"metadata": {"annotations": {"endpoints.kubernetes.io/over-capacity": "warning"}}}

    await cluster.client().patch(Endpoints, "web", "default", mark)
    await cluster.advance(1)

    found = cluster.get(Endpoints, KEY)
    assert found is not None
    assert "endpoints.kubernetes.io/over-capacity" not in found.metadata.annotations


@pytest.mark.slow
async def test_too_many_addresses_are_cut_and_that_is_marked(cluster: FakeCluster) -> None:
    many = [
        make_pod(f"web-{n}", node="n", ready=True, ip=f"10.0.{n // 250}.{n % 250 + 1}") for n in range(1001)
    ]
    cluster.load(make_service(), *many)

    found = await reconciled(cluster)

    assert found is not None
    assert found["metadata"]["annotations"]["endpoints.kubernetes.io/over-capacity"] == "truncated"
    assert len(found["subsets"][0]["addresses"]) == 1000


@pytest.mark.parametrize(
    ("exists", "reason", "message"),
    [
        pytest.param(
            False, "FailedToCreateEndpoint", "Failed to create endpoint for service default/web: broken",
            id="create",
        ),
        pytest.param(
            True, "FailedToUpdateEndpoint", "Failed to update endpoint default/web: broken", id="update"
        ),
    ],
)  # fmt: skip
async def test_failures_are_told_about_the_endpoints(
    cluster: FakeCluster, exists: bool, reason: str, message: str
) -> None:
    cluster.load(make_service(), pod(1), *([by_hand("web")] if exists else []))
    cluster.faults.fail_next(InternalError("broken"), times=1, plural="endpoints")

    run(cluster)
    await cluster.settle()

    (event,) = cluster.events()
    assert (event.type, event.reason, event.message) == ("Warning", reason, message)
    assert (event.involved_object.kind, event.involved_object.name) == ("Endpoints", "web")


async def test_a_namespace_that_goes_away_is_no_failure(cluster: FakeCluster) -> None:
    cluster.load(make_service(), pod(1))
    causes = [{"reason": "NamespaceTerminating", "message": "namespace default is being terminated"}]
    error = Forbidden("forbidden", details={"causes": causes})
    cluster.faults.fail_next(error, times=1, plural="endpoints")

    run(cluster)
    await cluster.advance(600)

    assert cluster.events() == []
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


async def test_changes_of_pods_are_gathered_where_told(cluster: FakeCluster) -> None:
    cluster.load(make_service())
    context = cluster.context("endpoints-controller", options=Config(endpoint_updates_batch_period=5))
    cluster.start(context.queue.run(EndpointsController(context).reconcile))
    await cluster.settle()
    seen = []
    for number in (1, 2, 3):
        cluster.load(pod(number))
        await cluster.advance(2)
        seen.append(_count(cluster))

    assert seen == [0, 0, 3]


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
