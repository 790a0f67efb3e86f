"""The proxy against a cluster in memory and a fake backend."""

from __future__ import annotations

import pytest

from kplane.api.resource import Key, Object
from kplane.api.types import EndpointSlice, Service
from kplane.proxy.config import Config
from kplane.proxy.health import TO_BE_DELETED, report
from kplane.proxy.proxier import Proxier
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node

from .fakes import REFUSED, FakeBackend
from .support import CLUSTER_IP, NODE, endpoint, endpoint_slice, hints, service


@pytest.fixture
def backend() -> FakeBackend:
    return FakeBackend()


def make(cluster: FakeCluster, backend: FakeBackend) -> Proxier:
    informers = cluster.context().informers
    return Proxier(informers, backend, cluster.clock, cluster.entropy, Config(node_name=NODE))


async def start(cluster: FakeCluster, backend: FakeBackend) -> Proxier:
    proxier = make(cluster, backend)
    cluster.start(proxier.run())
    await cluster.settle()
    return proxier


def where(backend: FakeBackend) -> set[str]:
    return backend.outcomes(CLUSTER_IP, 80, inside=True)


async def test_rules_follow_services_and_slices(cluster: FakeCluster, backend: FakeBackend) -> None:
    cluster.load(make_node(NODE), service(), endpoint_slice(endpoint("10.0.0.1")))
    await start(cluster, backend)
    assert where(backend) == {"10.0.0.1"}

    cluster.delete(EndpointSlice, Key("default", "web-1"))
    await cluster.advance(1)
    assert where(backend) == {REFUSED}

    cluster.delete(Service, Key("default", "web"))
    await cluster.advance(1)
    assert list(backend.rules.services) == []


async def test_the_first_change_is_applied_at_once_and_later_ones_together(
    cluster: FakeCluster, backend: FakeBackend
) -> None:
    await start(cluster, backend)
    await cluster.advance(10)
    before = backend.syncs

    for number in range(20):
        cluster.load(service(f"s{number}", clusterIP=f"10.96.1.{number}"))
        await cluster.settle()
    assert 1 <= backend.syncs - before <= 2
    assert list(backend.rules.services)

    await cluster.advance(1)
    assert len(list(backend.rules.services)) == 20
    assert backend.syncs - before == 2


async def test_a_failed_sync_is_repeated_until_one_succeeds(
    cluster: FakeCluster, backend: FakeBackend
) -> None:
    backend.failures = 3
    cluster.load(service(), endpoint_slice(endpoint("10.0.0.1")))
    proxier = await start(cluster, backend)
    await cluster.advance(2)
    assert where(backend) == {REFUSED}
    assert proxier.overdue > 0

    await cluster.advance(30)

    assert where(backend) == {"10.0.0.1"}
    assert proxier.overdue == 0

    # The next trouble begins with short waits again.
    backend.failures = 1
    cluster.load(service("other", clusterIP="10.96.0.11"))
    await cluster.advance(3)
    assert len(list(backend.rules.services)) == 2


async def test_heartbeats_of_the_node_cause_no_sync(cluster: FakeCluster, backend: FakeBackend) -> None:
    node = make_node(NODE)
    cluster.load(node)
    await start(cluster, backend)
    await cluster.advance(5)
    before = backend.syncs

    node["status"]["conditions"] = []
    cluster.load(node)
    await cluster.advance(5)

    assert backend.syncs == before


async def test_a_node_that_moves_to_another_zone_uses_the_endpoints_there(
    cluster: FakeCluster, backend: FakeBackend
) -> None:
    found = [endpoint(f"10.0.0.{n}", hints=hints(zones=[zone])) for n, zone in ((1, "a"), (2, "b"))]
    zone = "topology.kubernetes.io/zone"
    cluster.load(make_node(NODE, labels={zone: "a"}), service(), endpoint_slice(*found))
    await start(cluster, backend)
    before = where(backend)

    cluster.load(make_node(NODE, labels={zone: "b"}))
    await cluster.advance(1)

    assert (before, where(backend)) == ({"10.0.0.1"}, {"10.0.0.2"})


@pytest.mark.parametrize(
    "label", ["service.kubernetes.io/service-proxy-name"], ids=["served-by-another-proxy"]
)
async def test_services_of_other_proxies_are_left_alone(
    cluster: FakeCluster, backend: FakeBackend, label: str
) -> None:
    theirs: Object = service()
    theirs["metadata"]["labels"] = {label: "other"}
    cluster.load(theirs)

    await start(cluster, backend)

    assert list(backend.rules.services) == []


async def test_health_tells_whether_rules_are_up_to_date(cluster: FakeCluster, backend: FakeBackend) -> None:
    cluster.load(make_node(NODE))
    proxier = make(cluster, backend)
    assert report(proxier, cluster.clock, eligibility=True)[0] == 503
    cluster.start(proxier.run())
    await cluster.settle()
    code, body = report(proxier, cluster.clock, eligibility=True)
    assert (code, body["nodeEligible"]) == (200, True)

    backend.failures = 1000
    cluster.load(service())
    await cluster.advance(120)

    assert report(proxier, cluster.clock, eligibility=True)[0] == 503


@pytest.mark.parametrize(
    ("metadata", "taints"),
    [
        pytest.param(
            {"deletionTimestamp": "2026-01-01T00:00:00Z", "finalizers": ["example.com/hold"]},
            [],
            id="being-deleted",
        ),
        pytest.param({}, [{"key": TO_BE_DELETED, "effect": "NoSchedule"}], id="about-to-be"),
    ],
)
async def test_a_doomed_node_is_alive_but_not_eligible(
    cluster: FakeCluster, backend: FakeBackend, metadata: Object, taints: list[Object]
) -> None:
    node = make_node(NODE, taints=taints)
    node["metadata"] |= metadata
    cluster.load(node)
    proxier = await start(cluster, backend)

    assert report(proxier, cluster.clock, eligibility=True)[0] == 503
    assert report(proxier, cluster.clock, eligibility=False)[0] == 200
