"""The rules in the kernel: real connections between network namespaces."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from kplane.proxy.backend import Nftables, SyncFailed
from kplane.proxy.nft import Commands
from kplane.proxy.nftables import Options
from kplane.proxy.plan import Ruleset

from .network import (
    CLIENT_IP,
    CLUSTER_CIDR,
    GATEWAY,
    NODE_IP,
    Namespace,
    Network,
    answer,
    answering,
    ask,
    ipv6_of,
    listening,
    network,
)
from .support import CLUSTER_IP, endpoint, endpoint_slice, ruleset, service

pytestmark = [pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("network")]

NODE_PORT = 30080
LOCAL = {"externalTrafficPolicy": "Local"}


@pytest.fixture
def net() -> Iterator[Network]:
    with network() as made:
        yield made


@pytest.fixture
async def backend(net: Network) -> AsyncIterator[Nftables]:
    async with answering(net.pods):
        yield Nftables(Commands(net.prefix), Options(CLUSTER_CIDR))


def rules_for(pods: list[Namespace], **spec: Any) -> Ruleset:
    """A Service of type NodePort over some Pods."""
    slices = [endpoint_slice(*(endpoint(pod.address) for pod in pods))]
    return ruleset([service(type="NodePort", port={"nodePort": NODE_PORT}, **spec)], slices)


async def servers(source: Namespace, address: str, port: int, times: int = 40) -> set[str]:
    """Who answers when asked many times."""
    return {(await ask(source, address, port))[0] for _ in range(times)}


def addresses(pods: list[Namespace]) -> set[str]:
    return {pod.address for pod in pods}


async def test_a_cluster_ip_reaches_every_endpoint_from_everywhere(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods))

    for source in (net.pods[0], net.node, net.client):
        assert await servers(source, CLUSTER_IP, 80) == addresses(net.pods)


async def test_pods_keep_their_address_and_others_get_the_nodes(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods[1:]))

    assert (await ask(net.pods[0], CLUSTER_IP, 80))[1] == net.pods[0].address
    assert (await ask(net.client, CLUSTER_IP, 80))[1] == GATEWAY
    assert (await ask(net.node, CLUSTER_IP, 80))[1] == GATEWAY


async def test_a_node_port_reaches_every_endpoint(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods))

    for source in (net.client, net.node, net.pods[0]):
        assert await servers(source, NODE_IP, NODE_PORT) == addresses(net.pods)


async def test_a_pod_reaches_itself_through_its_service(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods[:1]))

    assert await ask(net.pods[0], CLUSTER_IP, 80) == (net.pods[0].address, GATEWAY)


async def test_without_endpoints_connections_are_refused_at_once(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for([]))

    for source, address, port in (
        (net.pods[0], CLUSTER_IP, 80),
        (net.node, CLUSTER_IP, 80),
        (net.client, NODE_IP, NODE_PORT),
    ):
        # More often than the kernel sends ICMP errors to one client.
        for _ in range(20):
            with pytest.raises(ConnectionRefusedError):
                await ask(source, address, port, timeout=0.5)


async def test_other_ports_of_a_cluster_ip_are_refused(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods))

    with pytest.raises(ConnectionRefusedError):
        await ask(net.pods[0], CLUSTER_IP, 81, timeout=2)


@pytest.mark.parametrize("ranges", [["192.0.0.0/8", "192.0.2.0/24"], ["0.0.0.0/0"]])
async def test_node_ports_answer_in_the_ranges_that_were_asked_for(
    net: Network, backend: Nftables, ranges: list[str]
) -> None:
    slices = [endpoint_slice(endpoint(net.pods[0].address))]
    spec = service(type="NodePort", port={"nodePort": NODE_PORT})
    await backend.sync(ruleset([spec], slices, node_port_addresses=ranges))
    assert (await ask(net.client, NODE_IP, NODE_PORT))[0] == net.pods[0].address

    await backend.sync(ruleset([spec], slices, node_port_addresses=["10.0.0.0/8"]))
    with pytest.raises(ConnectionRefusedError):
        await ask(net.client, NODE_IP, NODE_PORT)


async def test_local_policy_keeps_the_clients_address(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods, **LOCAL))

    assert (await ask(net.client, NODE_IP, NODE_PORT))[1] == CLIENT_IP


async def test_local_policy_drops_where_endpoints_are_elsewhere(net: Network, backend: Nftables) -> None:
    away = endpoint_slice(*(endpoint(pod.address, node="node-2") for pod in net.pods))
    spec = service(type="NodePort", port={"nodePort": NODE_PORT}, **LOCAL)
    await backend.sync(ruleset([spec], [away]))

    with pytest.raises(TimeoutError):
        await ask(net.client, NODE_IP, NODE_PORT, timeout=0.3)
    # The policy is about clients outside.
    assert (await ask(net.pods[0], NODE_IP, NODE_PORT))[0] in addresses(net.pods)


async def test_internal_local_policy_stays_on_the_node(net: Network, backend: Nftables) -> None:
    mixed = endpoint_slice(
        endpoint(net.pods[0].address), *(endpoint(pod.address, node="node-2") for pod in net.pods[1:])
    )
    await backend.sync(ruleset([service(internalTrafficPolicy="Local")], [mixed]))

    assert await servers(net.client, CLUSTER_IP, 80) == {net.pods[0].address}


async def test_external_ips_and_load_balancers_answer(net: Network, backend: Nftables) -> None:
    spec = service(type="LoadBalancer", externalIPs=["198.51.100.1"])
    spec["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}]}}
    await backend.sync(ruleset([spec], [endpoint_slice(endpoint(net.pods[0].address))]))

    for address in ("198.51.100.1", "198.51.100.2"):
        assert await ask(net.client, address, 80) == (net.pods[0].address, GATEWAY)


async def test_a_load_balancer_admits_only_its_source_ranges(net: Network, backend: Nftables) -> None:
    spec = service(
        type="LoadBalancer", loadBalancerSourceRanges=[f"{CLIENT_IP}/32", "10.99.0.0/16", "10.99.1.0/24"]
    )
    spec["status"] = {"loadBalancer": {"ingress": [{"ip": "198.51.100.2"}]}}
    await backend.sync(ruleset([spec], [endpoint_slice(endpoint(net.pods[0].address))]))

    assert (await ask(net.client, "198.51.100.2", 80))[0] == net.pods[0].address
    with pytest.raises(TimeoutError):
        await ask(net.pods[0], "198.51.100.2", 80, timeout=0.3)
    assert (await ask(net.pods[0], CLUSTER_IP, 80))[0] == net.pods[0].address


async def test_session_affinity_keeps_a_client_and_outlives_other_changes(
    net: Network, backend: Nftables
) -> None:
    sticky = service(sessionAffinity="ClientIP")
    slices = [endpoint_slice(*(endpoint(pod.address) for pod in net.pods))]
    await backend.sync(ruleset([sticky], slices))
    first = await servers(net.client, CLUSTER_IP, 80, 1)

    other = service("other", clusterIP="10.96.0.11")
    await backend.sync(ruleset([sticky, other], slices))

    assert await servers(net.client, CLUSTER_IP, 80) == first


async def test_a_udp_client_follows_its_service_to_another_endpoint(net: Network, backend: Nftables) -> None:
    def rules(pods: list[Namespace]) -> Ruleset:
        port = {"protocol": "UDP"}
        slices = [endpoint_slice(*(endpoint(pod.address) for pod in pods), port=port)]
        return ruleset([service(port=port)], slices)

    loop = asyncio.get_running_loop()
    await backend.sync(rules(net.pods[:1]))
    # One socket, so one flow in the kernel's eyes.
    with contextlib.closing(net.client.socket(socket.SOCK_DGRAM)) as client:
        await loop.sock_connect(client, (CLUSTER_IP, 80))
        for pod in net.pods:
            await backend.sync(rules([pod]))
            await loop.sock_sendall(client, b"?")
            async with asyncio.timeout(30):
                assert await loop.sock_recv(client, 100) == pod.address.encode()


async def test_ipv6_services_answer(net: Network, backend: Nftables) -> None:
    net.add_ipv6()
    slices = [endpoint_slice(*(endpoint(ipv6_of(pod)) for pod in net.pods), family="IPv6")]
    spec = service(clusterIP="fd00::10")
    await backend.sync(ruleset([spec], slices))

    async with contextlib.AsyncExitStack() as stack:
        for pod in net.pods:
            listener = listening(pod, socket.SOCK_STREAM, socket.AF_INET6)
            server = await asyncio.start_server(answer, sock=listener)
            stack.callback(server.close)
        assert await servers(net.pods[0], "fd00::10", 80) == {ipv6_of(pod) for pod in net.pods}

    await backend.sync(ruleset([spec], []))
    with pytest.raises(ConnectionRefusedError):
        await ask(net.pods[0], "fd00::10", 80, timeout=2)


async def test_updates_under_load_lose_no_connection(net: Network, backend: Nftables) -> None:
    variants = [rules_for(net.pods), rules_for(net.pods[:2]), rules_for(net.pods[1:])]
    await backend.sync(variants[0])
    finished = asyncio.Event()

    async def load(source: Namespace) -> int:
        answered = 0
        while not finished.is_set():
            await ask(source, CLUSTER_IP, 80)
            answered += 1
        return answered

    async with asyncio.TaskGroup() as group:
        loads = [group.create_task(load(source)) for source in (net.client, net.pods[0], net.node)]
        for turn in range(30):
            await backend.sync(variants[turn % 3])
        finished.set()

    assert all(task.result() > 10 for task in loads)


async def test_a_new_proxy_takes_over_without_a_gap(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods))
    successor = Nftables(Commands(net.prefix), Options(CLUSTER_CIDR))

    await successor.sync(rules_for(net.pods[:1]))

    assert await servers(net.client, CLUSTER_IP, 80) == {net.pods[0].address}


async def test_differences_add_up_to_what_a_full_sync_makes(net: Network, backend: Nftables) -> None:
    sticky: dict[str, Any] = {"sessionAffinity": "ClientIP"}
    steps = [
        rules_for(net.pods),
        rules_for([]),
        rules_for(net.pods[:1], **sticky),
        ruleset([]),
        rules_for(net.pods, **sticky, **LOCAL),
        rules_for(net.pods, sessionAffinityConfig={"clientIP": {"timeoutSeconds": 5}}, **sticky),
        rules_for(net.pods[1:], internalTrafficPolicy="Local"),
        rules_for(net.pods[:2], clusterIP="10.96.0.99"),
    ]
    for step in steps:
        await backend.sync(step)
        by_differences = tables(net.node)
        await Nftables(Commands(net.prefix), Options(CLUSTER_CIDR)).sync(step)
        assert tables(net.node) == by_differences


async def test_a_failed_sync_changes_nothing_and_the_next_one_repairs(
    net: Network, backend: Nftables
) -> None:
    await backend.sync(rules_for(net.pods[:1]))
    net.node.run("nft", "delete", "table", "ip", "kplane-proxy")

    with pytest.raises(SyncFailed):
        await backend.sync(rules_for(net.pods[:2]))
    await backend.sync(rules_for(net.pods[:2]))

    assert await servers(net.client, CLUSTER_IP, 80) == addresses(net.pods[:2])


async def test_cleanup_removes_everything(net: Network, backend: Nftables) -> None:
    await backend.sync(rules_for(net.pods))

    await backend.cleanup()

    assert net.node.run("nft", "list", "tables") == ""


def tables(node: Namespace) -> dict[str, Any]:
    """The ruleset by name, without what depends on history: handles and the order of elements."""
    found: dict[str, Any] = {}
    for entry in json.loads(node.run("nft", "-j", "list", "ruleset"))["nftables"]:
        ((kind, what),) = entry.items()
        if kind == "metainfo":
            continue
        what.pop("handle", None)
        if "elem" in what:
            what["elem"] = sorted(what["elem"], key=json.dumps)
        identity = "/".join((what["family"], kind, what.get("chain") or what["name"]))
        found.setdefault(identity, []).append(what)
    return found
