"""What every Backend does with a Ruleset: the fake and the kernel give the same answers."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any, Protocol

import pytest

from kplane.proxy.backend import Backend, Nftables
from kplane.proxy.nft import Commands
from kplane.proxy.nftables import Options
from kplane.proxy.plan import Ruleset

from .fakes import DROPPED, REFUSED, FakeBackend
from .network import CLUSTER_CIDR, NODE_IP, Network, answering, ask, network
from .support import CLUSTER_IP, endpoint, endpoint_slice, hints, ruleset, service

PODS = ("10.88.0.11", "10.88.0.12")
NODE_PORT = 30080


class World(Protocol):
    @property
    def backend(self) -> Backend: ...

    async def outcomes(self, address: str, port: int, *, inside: bool) -> set[str]: ...


class Pretended:
    def __init__(self) -> None:
        self.backend = FakeBackend()

    async def outcomes(self, address: str, port: int, *, inside: bool) -> set[str]:
        return self.backend.outcomes(address, port, inside=inside)


class Real:
    def __init__(self, net: Network) -> None:
        self._net = net
        self.backend = Nftables(Commands(net.prefix), Options(CLUSTER_CIDR))

    async def outcomes(self, address: str, port: int, *, inside: bool) -> set[str]:
        source = self._net.pods[0] if inside else self._net.client
        found = set()
        for _ in range(25):
            try:
                found.add((await ask(source, address, port, timeout=0.5))[0])
            except ConnectionRefusedError:
                found.add(REFUSED)
            except TimeoutError:
                return {DROPPED}
        return found


KERNEL = (pytest.mark.node, pytest.mark.slow, pytest.mark.xdist_group("network"))


@pytest.fixture(params=["fake", pytest.param("kernel", marks=KERNEL)])
async def world(request: pytest.FixtureRequest) -> AsyncIterator[World]:
    if request.param == "fake":
        yield Pretended()
        return
    with network(len(PODS)) as net:
        async with answering(net.pods):
            yield Real(net)


def rules(ready: Sequence[str], away: Sequence[str] = (), **spec: Any) -> Ruleset:
    endpoints = [*(endpoint(ip) for ip in ready), *(endpoint(ip, node="node-2") for ip in away)]
    return ruleset(
        [service(type="NodePort", port={"nodePort": NODE_PORT}, **spec)], [endpoint_slice(*endpoints)]
    )


async def test_connections_are_spread_over_all_endpoints(world: World) -> None:
    await world.backend.sync(rules(PODS))

    assert await world.outcomes(CLUSTER_IP, 80, inside=True) == set(PODS)
    assert await world.outcomes(NODE_IP, NODE_PORT, inside=False) == set(PODS)


async def test_the_newest_ruleset_counts(world: World) -> None:
    await world.backend.sync(rules(PODS))
    await world.backend.sync(rules(PODS[:1]))

    assert await world.outcomes(CLUSTER_IP, 80, inside=True) == {PODS[0]}


async def test_without_endpoints_connections_are_refused(world: World) -> None:
    await world.backend.sync(rules([]))

    assert await world.outcomes(CLUSTER_IP, 80, inside=True) == {REFUSED}
    assert await world.outcomes(NODE_IP, NODE_PORT, inside=False) == {REFUSED}


async def test_external_local_policy_is_about_clients_outside(world: World) -> None:
    await world.backend.sync(rules(PODS[:1], PODS[1:], externalTrafficPolicy="Local"))

    assert await world.outcomes(NODE_IP, NODE_PORT, inside=False) == {PODS[0]}
    assert await world.outcomes(NODE_IP, NODE_PORT, inside=True) == set(PODS)


async def test_local_policies_drop_where_no_endpoint_is_local(world: World) -> None:
    local = {"externalTrafficPolicy": "Local", "internalTrafficPolicy": "Local"}
    await world.backend.sync(rules([], PODS, **local))

    assert await world.outcomes(NODE_IP, NODE_PORT, inside=False) == {DROPPED}
    assert await world.outcomes(CLUSTER_IP, 80, inside=True) == {DROPPED}


async def test_hints_keep_traffic_near_and_local_policies_go_before(world: World) -> None:
    near, far = (
        endpoint(ip, node=node, hints=hints(zones=[zone]))
        for ip, node, zone in zip(PODS, ("node-2", "node-1"), ("a", "b"), strict=True)
    )

    async def outcomes(**spec: Any) -> tuple[set[str], set[str]]:
        port = {"nodePort": NODE_PORT}
        made = service(type="NodePort", port=port, **spec)
        await world.backend.sync(ruleset([made], [endpoint_slice(near, far)], zone="a"))
        inside = await world.outcomes(CLUSTER_IP, 80, inside=True)
        return inside, await world.outcomes(NODE_IP, NODE_PORT, inside=False)

    assert await outcomes() == ({PODS[0]}, {PODS[0]})
    assert await outcomes(internalTrafficPolicy="Local") == ({PODS[1]}, {PODS[0]})
    assert await outcomes(externalTrafficPolicy="Local") == ({PODS[0]}, {PODS[1]})
