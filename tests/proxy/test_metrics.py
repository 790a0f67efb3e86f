"""What the proxy counts, under upstream's names."""

from __future__ import annotations

from datetime import timedelta

from prometheus_client import REGISTRY

from kplane.api.clock import rfc3339
from kplane.api.resource import Key, Object
from kplane.api.types import EndpointSlice
from kplane.proxy.config import Config
from kplane.proxy.metrics import TRIGGER_TIME
from kplane.proxy.proxier import Proxier
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_node

from .fakes import FakeBackend
from .support import NODE, endpoint, endpoint_slice, service

SYNC = "kubeproxy_sync_proxy_rules_"
PROGRAMMING = "kubeproxy_network_programming_duration_seconds"


def value(name: str, **labels: str) -> float:
    return REGISTRY.get_sample_value(name, labels) or 0.0


async def start(cluster: FakeCluster, backend: FakeBackend) -> None:
    config = Config(node_name=NODE)
    proxier = Proxier(cluster.context().informers, backend, cluster.clock, cluster.entropy, config, ["IPv4"])
    cluster.start(proxier.run())
    await cluster.settle()


def changed(cluster: FakeCluster, *addresses: str, seconds_ago: float) -> Object:
    """A slice that tells of a change so long ago."""
    made = endpoint_slice(*(endpoint(ip) for ip in addresses))
    moment = rfc3339(cluster.clock.now() - timedelta(seconds=seconds_ago))
    made["metadata"]["annotations"] = {TRIGGER_TIME: moment}
    return made


async def test_syncs_are_counted_by_family(cluster: FakeCluster) -> None:
    backend = FakeBackend()
    names = (f"{SYNC}duration_seconds_count", f"{SYNC}nftables_sync_failures_total")
    before = [value(name, ip_family="IPv4") for name in names]
    other = value(names[0], ip_family="IPv6")
    backend.failures = 1
    cluster.load(make_node(NODE), service())
    await start(cluster, backend)
    waiting = value(f"{SYNC}last_queued_timestamp_seconds", ip_family="IPv4")
    await cluster.advance(5)

    after = [value(name, ip_family="IPv4") for name in names]
    assert after[0] > before[0]
    assert after[1] == before[1] + 1
    assert value(names[0], ip_family="IPv6") == other
    assert value(f"{SYNC}last_timestamp_seconds", ip_family="IPv4") > waiting


async def test_changes_wait_until_they_are_taken_up(cluster: FakeCluster) -> None:
    await start(cluster, FakeBackend())
    cluster.load(service("a", clusterIP="10.96.0.1"))
    await cluster.settle()
    cluster.load(service("b", clusterIP="10.96.0.2"), endpoint_slice(endpoint("10.0.0.1")))
    await cluster.settle()
    names = (f"{SYNC}service_changes_pending", f"{SYNC}endpoint_changes_pending")
    waiting = [value(name) for name in names]

    await cluster.advance(2)

    assert min(waiting) >= 1
    assert [value(name) for name in names] == [0, 0]


async def test_services_that_must_stay_here_and_have_nobody_here_are_counted(cluster: FakeCluster) -> None:
    away = endpoint_slice(endpoint("10.0.0.1", node="node-2"))
    local = {"internalTrafficPolicy": "Local", "externalTrafficPolicy": "Local"}
    cluster.load(service(type="NodePort", port={"nodePort": 30080}, **local), away)
    cluster.load(service("empty", clusterIP="10.96.0.11", internalTrafficPolicy="Local"))
    await start(cluster, FakeBackend())

    def lonely() -> list[float]:
        name = f"{SYNC}no_local_endpoints_total"
        return [value(name, ip_family="IPv4", traffic_policy=policy) for policy in ("internal", "external")]

    before = lonely()
    cluster.load(endpoint_slice(endpoint("10.0.0.2"), name="web-2"))
    await cluster.advance(2)

    assert (before, lonely()) == ([1, 1], [0, 0])


async def test_the_time_from_a_change_to_its_rules_is_told(cluster: FakeCluster) -> None:
    def told() -> list[float]:
        return [value(f"{PROGRAMMING}_{name}", ip_family="IPv4") for name in ("count", "sum")]

    count, total = told()
    cluster.load(service(), changed(cluster, "10.0.0.1", seconds_ago=60))
    await start(cluster, FakeBackend())
    await cluster.advance(30)
    assert told() == [count, total], "from before the start"

    cluster.load(changed(cluster, "10.0.0.2", seconds_ago=7))
    await cluster.advance(5)
    assert [told()[0] - count, round(told()[1] - total)] == [1, 7]

    cluster.load(changed(cluster, "10.0.0.2", seconds_ago=3))
    cluster.delete(EndpointSlice, Key("default", "web-1"))
    await cluster.advance(5)
    assert told()[0] - count == 1, "nothing has changed, and then it went"
