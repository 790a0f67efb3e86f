"""What load balancers are told about Services, over HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket

import pytest

from kplane.api.resource import Key
from kplane.client.events import EventRecorder
from kplane.proxy.plan import FamilyRules, HealthCheck, Ruleset
from kplane.proxy.servicehealth import RETRY_SECONDS, ServiceHealth
from kplane.runtime.serving import free_port
from kplane.testing.cluster import FakeCluster
from kplane.testing.waiting import eventually

HERE = "127.0.0.1"
WEB = Key("default", "web")


class Proxier:
    """One whose rules are what a test says."""

    def __init__(self) -> None:
        self.healthy = True
        self._rules: asyncio.Queue[Ruleset] = asyncio.Queue()

    async def news(self) -> Ruleset:
        return await self._rules.get()

    def apply(self, *checks: HealthCheck, addresses: tuple[str, ...] = (HERE,)) -> None:
        self._rules.put_nowait(Ruleset(ipv4=FamilyRules((), addresses, checks)))


@pytest.fixture
def proxier(cluster: FakeCluster) -> Proxier:
    made = Proxier()
    events = EventRecorder(cluster.client(), "kube-proxy", clock=cluster.clock, entropy=cluster.entropy)
    cluster.start(events.run())
    cluster.start(ServiceHealth(made, cluster.clock, events, "node-1").run())
    return made


async def ask(port: int) -> tuple[int, dict[str, str], str] | None:
    """Status, headers and body; None while nobody listens, and status 0 from a server that is going."""
    try:
        reader, writer = await asyncio.open_connection(HERE, port)
    except ConnectionRefusedError:
        return None
    with contextlib.closing(writer):
        writer.write(b"GET /any HTTP/1.1\r\nHost: node\r\nConnection: close\r\n\r\n")
        try:
            async with asyncio.timeout(0.2):
                head, _, body = (await reader.read()).decode().partition("\r\n\r\n")
        except (TimeoutError, ConnectionResetError):
            head = body = ""
    if not head:
        return 0, {}, ""
    status, *lines = head.split("\r\n")
    return int(status.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


async def answers(port: int, status: int) -> tuple[dict[str, str], str]:
    async def answered() -> tuple[dict[str, str], str] | None:
        found = await ask(port)
        return found[1:] if found is not None and found[0] == status else None

    said: tuple[dict[str, str], str] = await eventually(answered, what=f"{status} at port {port}")
    return said


async def silent(port: int) -> None:
    async def refused() -> bool:
        return await ask(port) is None

    await eventually(refused, what=f"nobody at port {port}")


async def test_a_node_with_ready_endpoints_says_so(proxier: Proxier) -> None:
    port = free_port(HERE)
    proxier.apply(HealthCheck(WEB, port, 2))

    headers, body = await answers(port, 200)

    assert headers["content-type"] == "application/json"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-load-balancing-endpoint-weight"] == "2"
    assert body == (
        '{\n\t"service": {\n\t\t"namespace": "default",\n\t\t"name": "web"\n\t},\n'
        '\t"localEndpoints": 2,\n\t"serviceProxyHealthy": true\n}'
    )


async def test_a_node_without_them_and_a_proxy_that_is_behind_want_no_traffic(proxier: Proxier) -> None:
    port = free_port(HERE)
    proxier.apply(HealthCheck(WEB, port, 0))
    _, body = await answers(port, 503)
    assert json.loads(body)["localEndpoints"] == 0

    proxier.apply(HealthCheck(WEB, port, 1))
    await answers(port, 200)

    proxier.healthy = False
    _, body = await answers(port, 503)
    assert json.loads(body) == {
        "service": {"namespace": "default", "name": "web"},
        "localEndpoints": 1,
        "serviceProxyHealthy": False,
    }


@pytest.mark.slow
async def test_ports_come_and_go_with_their_services(proxier: Proxier) -> None:
    first, second = free_port(HERE), free_port(HERE)
    proxier.apply(HealthCheck(WEB, first, 1))
    await answers(first, 200)

    proxier.apply(HealthCheck(WEB, second, 1), HealthCheck(Key("default", "db"), first, 0))
    await answers(second, 200)
    _, body = await answers(first, 503)
    assert json.loads(body)["service"]["name"] == "db"

    proxier.apply()
    await silent(first)
    await silent(second)


@pytest.mark.slow
async def test_a_node_that_is_asked_nowhere_listens_nowhere(proxier: Proxier) -> None:
    port = free_port(HERE)
    proxier.apply(HealthCheck(WEB, port, 1))
    await answers(port, 200)

    proxier.apply(HealthCheck(WEB, port, 1), addresses=())
    await silent(port)


async def test_a_port_that_is_taken_is_told_of_and_tried_again(
    proxier: Proxier, cluster: FakeCluster
) -> None:
    with socket.create_server((HERE, 0)) as taken:
        port = taken.getsockname()[1]
        proxier.apply(HealthCheck(WEB, port, 1))

        async def told() -> bool:
            await cluster.settle()
            return bool(cluster.events())

        await eventually(told, what="the event")
    (event,) = cluster.events()
    assert (event.type, event.reason) == ("Warning", "FailedToStartServiceHealthcheck")
    start = f'node node-1 failed to start healthcheck "default/web" on port {port}: '
    assert event.message.startswith(start)
    assert (event.involved_object.kind, event.involved_object.name) == ("Service", "web")

    await cluster.advance(RETRY_SECONDS)
    await answers(port, 200)
