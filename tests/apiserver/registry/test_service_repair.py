"""Claims and Services that disagree, after a crash or an operator's hand: found, told, repaired."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.bootstrap import SELF
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.registry.repair import INTERVAL, plan_ports
from kplane.apiserver.server import ApiServer
from kplane.testing.clock import VirtualClock

from ..conftest import Api

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
CIDRS = "/apis/networking.k8s.io/v1/servicecidrs"
MANAGED = {
    "ipaddress.kubernetes.io/ip-family": "IPv4",
    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
}
MERGE = "application/merge-patch+json"


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]} | spec}


def address(name: str, owner: str = "lost", labels: Any = MANAGED, **parent: str) -> dict[str, Any]:
    ref = {"resource": "services", "namespace": "default", "name": owner} | parent
    return {"metadata": {"name": name, "labels": labels}, "spec": {"parentRef": ref}}


class Running:
    """A server whose clock stands still; `repair` lets the next repair happen."""

    def __init__(self, server: ApiServer, clock: VirtualClock) -> None:
        self.api = Api(server.app)
        self.clock = clock
        self._server = server
        self._repair = server._services.repair(SELF)

    async def repair(self, times: int = 1) -> None:
        await self.clock.advance(120)
        repair = self._repair
        for _ in range(times):
            await repair.once()

    async def forget(self, name: str) -> None:
        """Take a Service out of the store behind the server's back."""
        await self._server._store.delete(f"/registry/services/specs/default/{name}", expect=None)

    async def told(self) -> list[tuple[str, str]]:
        events = (await self.api("GET", "/api/v1/events")).body["items"]
        return [(event["reason"], event["message"]) for event in events]


@pytest.fixture
async def running(config: ApiServerConfig) -> Any:
    clock = VirtualClock()
    async with ApiServer(config, clock) as server:
        yield Running(server, clock)


async def test_an_address_without_its_service_is_given_back(running: Running) -> None:
    await running.api.make(ADDRESSES, address("10.96.3.3"))

    await running.repair()

    assert (await running.api("GET", f"{ADDRESSES}/10.96.3.3")).code == 404
    assert await running.told() == [
        (
            "IPAddressNotAllocated",
            "IPAddress: 10.96.3.3 for Service default/lost appears to have leaked: cleaning up",
        )
    ]


@pytest.mark.parametrize(
    "claim",
    [
        pytest.param(address("10.96.3.3", labels={}), id="of somebody"),
        pytest.param(address("10.96.3.3", labels={}, group="gateway.networking.k8s.io"), id="of a gateway"),
    ],
)
async def test_addresses_that_others_claimed_stay(running: Running, claim: dict[str, Any]) -> None:
    await running.api.make(ADDRESSES, claim)

    await running.repair()

    assert (await running.api("GET", f"{ADDRESSES}/10.96.3.3")).code == 200
    refused = await running.api("POST", SERVICES, service(clusterIP="10.96.3.3"))
    assert "provided IP is already allocated" in refused.body["message"]


async def test_an_address_of_a_service_that_has_another_is_given_back(running: Running) -> None:
    await running.api.make(SERVICES, service())
    await running.api.make(ADDRESSES, address("10.96.3.3", "web"))

    await running.repair()

    assert (await running.api("GET", f"{ADDRESSES}/10.96.3.3")).code == 404
    assert await running.told() == [
        (
            "IPAddressWrongReference",
            "IPAddress: 10.96.3.3 for Service default/web has a wrong reference; cleaning up",
        )
    ]


async def test_a_claim_that_is_lost_is_made_again(running: Running) -> None:
    await running.api.make(SERVICES, service(clusterIP="10.96.4.4"))
    await running.api("DELETE", f"{ADDRESSES}/10.96.4.4")

    await running.repair()

    claim = (await running.api("GET", f"{ADDRESSES}/10.96.4.4")).body
    assert claim["spec"]["parentRef"]["name"] == "web"
    assert await running.told() == [
        ("ClusterIPNotAllocated", "Cluster IP [IPv4]: 10.96.4.4 is not allocated; repairing")
    ]


@pytest.mark.parametrize(
    ("claim", "told"),
    [
        pytest.param(
            address("10.96.4.4", "gone"),
            [("ClusterIPNotAllocated", "the ClusterIP [IPv4]: 10.96.4.4 for Service default/web has a wrong "
                "reference; repairing")],
            id="another service",
        ),
        pytest.param(address("10.96.4.4", "web", labels={}), [], id="no labels"),
    ],
)  # fmt: skip
async def test_a_claim_that_names_another_is_put_right(
    running: Running, claim: dict[str, Any], told: list[tuple[str, str]]
) -> None:
    await running.api.make(SERVICES, service(clusterIP="10.96.4.4"))
    await running.api("DELETE", f"{ADDRESSES}/10.96.4.4")
    await running.api.make(ADDRESSES, claim)

    await running.repair()

    found = (await running.api("GET", f"{ADDRESSES}/10.96.4.4")).body
    assert (found["spec"]["parentRef"]["name"], found["metadata"]["labels"]) == ("web", MANAGED)
    assert await running.told() == told


async def test_ports_without_a_service_are_given_back_when_found_three_times(running: Running) -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    await running.api.make(SERVICES, service("kept", type="NodePort", ports=[{"port": 1, "nodePort": 30001}]))
    await running.api.make(SERVICES, service("lost", type="NodePort", ports=ports))
    await running.forget("lost")

    await running.repair(2)
    early = await running.api("POST", SERVICES, service(type="NodePort", ports=ports))
    await running.repair(1)
    late = await running.api("POST", SERVICES, service(type="NodePort", ports=ports))

    assert (early.code, late.code) == (422, 201)


@pytest.mark.parametrize(
    ("services", "taken", "told"),
    [
        pytest.param([[30001]], {30001}, [], id="right"),
        pytest.param([[30001]], set(), [("PortNotAllocated", "Port 30001 is not allocated; repairing")],
            id="not allocated"),
        pytest.param([[30001], [30001]], {30001}, [("PortAlreadyAllocated",
            "Port 30001 was assigned to multiple services; please recreate service")], id="twice"),
        pytest.param([[99]], set(), [("PortOutOfRange",
            "Port 99 is not within the port range 30000-30009; please recreate service")], id="outside"),
    ],
)  # fmt: skip
def test_what_is_told_of_ports(
    services: list[list[int]], taken: set[int], told: list[tuple[str, str]]
) -> None:
    made = [
        {"metadata": {"name": "a"}, "spec": {"ports": [{"port": 1, "nodePort": port} for port in ports]}}
        for ports in services
    ]

    plan = plan_ports(range(30000, 30010), taken, made, {})

    assert [(finding.reason, finding.text) for finding in plan.findings] == told
    assert plan.keep == frozenset({port for ports in services for port in ports if port >= 30000})


async def test_addresses_come_from_every_ready_network(running: Running) -> None:
    api = running.api
    await api.make(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/24"]}})

    first = await api("POST", SERVICES, service("a", clusterIP="10.200.0.9"))
    not_ready = {"status": {"conditions": [{"type": "Ready", "status": "False", "reason": "Terminating",
        "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"}]}}  # fmt: skip
    await api("PATCH", f"{CIDRS}/more/status", not_ready, content_type=MERGE)
    second = await api("POST", SERVICES, service("b", clusterIP="10.200.0.10"))

    assert first.code == 201
    assert "the provided network does not match the current range" in second.body["message"]


async def test_an_address_outside_of_every_network_is_told(running: Running) -> None:
    api = running.api
    await api.make(CIDRS, {"metadata": {"name": "more"}, "spec": {"cidrs": ["10.200.0.0/24"]}})
    await api.make(SERVICES, service("a", clusterIP="10.200.0.9"))
    await api("DELETE", f"{CIDRS}/more")

    await running.repair()

    assert await running.told() == [
        (
            "ClusterIPOutOfRange",
            "Cluster IP [IPv4]: 10.200.0.9 is not within any configured Service CIDR; please recreate"
            " service",
        )
    ]


async def test_repairs_happen_every_three_minutes(running: Running) -> None:
    made = await running.api.make(ADDRESSES, address("10.96.3.3"))

    await running.clock.advance(INTERVAL + 1)

    since = made["metadata"]["resourceVersion"]
    (event,) = await running.api.events(ADDRESSES, 1, resourceVersion=since)
    assert (event["type"], event["object"]["metadata"]["name"]) == ("DELETED", "10.96.3.3")
