"""Cluster addresses and node ports of Services: given out once, kept, and given back."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from kplane.api.clock import Entropy
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.registry.addresses import AddressAllocator, Network, Networks, Taken
from kplane.apiserver.registry.nodeports import PortAllocator
from kplane.apiserver.server import ApiServer
from kplane.apiserver.storage.sqlite import SQLiteStore
from kplane.apiserver.storage.store import Store
from kplane.testing.clock import VirtualClock

from ..conftest import Api

SERVICES = "/api/v1/namespaces/default/services"
ADDRESSES = "/apis/networking.k8s.io/v1/ipaddresses"
MERGE = "application/merge-patch+json"


MANAGED = {
    "ipaddress.kubernetes.io/ip-family": "IPv4",
    "ipaddress.kubernetes.io/managed-by": "ipallocator.k8s.io",
}


def only(*found: Network) -> Networks:
    async def networks() -> tuple[Network, ...]:
        return found

    return networks


def service(name: str = "web", **spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": name}, "spec": {"ports": [{"port": 80}]} | spec}


async def claimed(api: Api) -> set[str]:
    """Addresses in use, besides that of the API itself."""
    items = (await api("GET", ADDRESSES)).body["items"]
    return {item["metadata"]["name"] for item in items} - {"10.96.0.1"}


async def test_a_service_gets_an_address_of_the_range(api: Api) -> None:
    spec = (await api.make(SERVICES, service()))["spec"]

    assert ipaddress.ip_address(spec["clusterIP"]) in ipaddress.ip_network("10.96.0.0/12")
    assert spec["clusterIPs"] == [spec["clusterIP"]]
    assert (spec["ipFamilies"], spec["ipFamilyPolicy"]) == (["IPv4"], "SingleStack")
    assert await claimed(api) == {spec["clusterIP"]}


@pytest.mark.parametrize(
    ("spec", "address"),
    [
        pytest.param({"clusterIP": "None"}, "None", id="headless"),
        pytest.param({"type": "ExternalName", "externalName": "a.example", "ports": []}, None, id="external"),
    ],
)
async def test_some_services_have_no_address(api: Api, spec: dict[str, Any], address: str | None) -> None:
    made = await api.make(SERVICES, service(**spec))

    assert made["spec"].get("clusterIP") == address
    assert await claimed(api) == set()


@pytest.mark.parametrize(
    ("address", "why"),
    [
        pytest.param("10.96.0.1", "provided IP is already allocated", id="taken"),
        pytest.param("10.96.0.0", "the provided IP (10.96.0.0) is not in the valid range. The range of valid "
            "IPs is 10.96.0.0/12", id="network"),
        pytest.param("10.1.2.3", "the provided network does not match the current range", id="outside"),
    ],
)  # fmt: skip
async def test_addresses_that_cannot_be_had_are_refused(api: Api, address: str, why: str) -> None:
    answer = await api("POST", SERVICES, service(clusterIP=address))

    assert answer.code == 422
    assert answer.body["message"] == (
        f'Service "web" is invalid: spec.clusterIPs: Invalid value: ["{address}"]: failed to allocate IP '
        f"{address}: {why}"
    )


@pytest.mark.parametrize(
    ("port", "why"),
    [
        pytest.param(30080, "provided port is already allocated", id="taken"),
        pytest.param(99, "provided port is not in the valid range. The range of valid ports is 30000-32767",
            id="outside"),
    ],
)  # fmt: skip
async def test_ports_that_cannot_be_had_are_refused_and_nothing_is_kept(
    api: Api, port: int, why: str
) -> None:
    first = await api.make(SERVICES, service(type="NodePort", ports=[{"port": 80, "nodePort": 30080}]))

    answer = await api(
        "POST", SERVICES, service("b", type="NodePort", ports=[{"port": 80, "nodePort": port}])
    )

    assert answer.code == 422
    assert answer.body["details"]["causes"][0] == {
        "reason": "FieldValueInvalid",
        "message": f"Invalid value: {port}: {why}",
        "field": "spec.ports[0].nodePort",
    }
    assert await claimed(api) == {first["spec"]["clusterIP"]}


async def test_one_node_port_serves_both_protocols(api: Api) -> None:
    ports = [{"name": p, "port": 53, "protocol": p, "nodePort": 30053} for p in ("TCP", "UDP")]
    ports = [port | {"name": port["name"].lower()} for port in ports]

    made = await api.make(SERVICES, service(type="NodePort", ports=ports))

    assert [port["nodePort"] for port in made["spec"]["ports"]] == [30053, 30053]


async def test_an_update_that_leaves_them_out_keeps_address_and_ports(api: Api) -> None:
    made = await api.make(SERVICES, service(type="NodePort"))

    updated = (await api("PUT", f"{SERVICES}/web", service(type="NodePort"))).body

    assert updated["spec"] == made["spec"]


async def test_what_is_no_longer_used_can_be_used_again(api: Api) -> None:
    ports = [{"port": 80, "nodePort": 30080}]
    await api.make(SERVICES, service(type="NodePort", ports=ports))

    await api("PATCH", f"{SERVICES}/web", {"spec": {"type": "ClusterIP", "ports": [{"port": 80}]}},
        content_type=MERGE)  # fmt: skip
    second = await api.make(SERVICES, service("b", type="NodePort", ports=ports))
    for name in ("web", "b"):
        await api("DELETE", f"{SERVICES}/{name}")

    assert second["spec"]["ports"][0]["nodePort"] == 30080
    assert await claimed(api) == set()


async def test_a_dry_run_claims_nothing(api: Api) -> None:
    answer = await api("POST", SERVICES, service(type="NodePort"), dryRun="All")

    assert answer.body["spec"]["clusterIP"]
    assert await claimed(api) == set()


async def test_a_claim_without_a_service_is_given_back_at_the_next_start(lasting: ApiServerConfig) -> None:
    clock = VirtualClock()
    async with ApiServer(lasting, clock) as server:
        await Api(server.app).make(ADDRESSES, {
            "metadata": {"name": "10.96.3.3", "labels": MANAGED},
            "spec": {"parentRef": {"resource": "services", "namespace": "default", "name": "lost"}},
        })  # fmt: skip
    await clock.advance(120)

    async with ApiServer(lasting, clock) as server:
        assert await claimed(Api(server.app)) == set()


async def test_the_api_has_the_first_address(config: ApiServerConfig) -> None:
    network = ipaddress.ip_network("10.7.0.0/24")
    async with ApiServer(replace(config, service_cluster_ip_range=network)) as server:
        kubernetes = (await Api(server.app)("GET", f"{SERVICES}/kubernetes")).body

    assert kubernetes["spec"]["clusterIP"] == "10.7.0.1"


@pytest.fixture
async def store() -> AsyncIterator[Store]:
    store = SQLiteStore(None, VirtualClock())
    await store.open()
    yield store
    await store.close()


async def test_two_servers_never_give_out_one_address_twice(store: Store) -> None:
    network = ipaddress.ip_network("10.0.0.0/29")
    servers = [AddressAllocator(store, 4, only(network), VirtualClock(), Entropy(1)) for _ in range(2)]

    claims = [servers[index % 2].claim_any("default", f"s{index}", dry_run=False) for index in range(6)]
    given = await asyncio.gather(*claims)

    assert sorted(given) == [f"10.0.0.{index}" for index in range(1, 7)]
    with pytest.raises(Taken, match="range is full"):
        await servers[0].claim_any("default", "one-too-many", dry_run=False)


async def test_two_servers_never_give_out_one_port_twice(store: Store) -> None:
    servers = [PortAllocator(store, range(30000, 30004), Entropy(1)) for _ in range(2)]

    given = await asyncio.gather(*(servers[index % 2].claim_any(dry_run=False) for index in range(4)))

    assert sorted(given) == [30000, 30001, 30002, 30003]
    with pytest.raises(Taken, match="range is full"):
        await servers[0].claim_any(dry_run=False)
