"""Requests that run, wait and are refused, over HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.flowcontrol.gate import FairGate
from kplane.apiserver.server import ApiServer
from kplane.testing.waiting import eventually

from ..conftest import Api, configmap
from .conftest import FLOWS, MAPS, Stalled, stalled

FULL = b"Too many requests, please try again later.\n"
PODS = "/api/v1/namespaces/default/pods"


@asynccontextmanager
async def serving(config: ApiServerConfig, **settings: Any) -> AsyncIterator[tuple[ApiServer, Api]]:
    """A server, and an ordinary user of it."""
    async with ApiServer(replace(config, **settings)) as server:
        yield server, Api(server.app, "plain")


def level(name: str, *, queues: int = 0, length: int = 1) -> dict[str, Any]:
    """Of a single seat, on servers with few."""
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        queuing = {"queues": queues, "handSize": 1, "queueLengthLimit": length}
        response = {"type": "Queue", "queuing": queuing}
    limited = {
        "nominalConcurrencyShares": 1, "borrowingLimitPercent": 0, "limitResponse": response,
    }  # fmt: skip
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}


def schema(name: str, to: str, user: str = "someone") -> dict[str, Any]:
    every = {
        "verbs": ["*"],
        "apiGroups": ["*"],
        "resources": ["*"],
        "namespaces": ["*"],
        "clusterScope": True,
    }
    rule = {"subjects": [{"kind": "User", "user": {"name": user}}], "resourceRules": [every]}
    spec = {"priorityLevelConfiguration": {"name": to}, "matchingPrecedence": 50, "rules": [rule]}
    return {"metadata": {"name": name}, "spec": spec}


async def narrow(server: ApiServer, **limits: int) -> None:
    """Put the ordinary user into a level of one seat, and wait until that is so."""
    admin = Api(server.app)
    await admin.make(f"{FLOWS}/prioritylevelconfigurations", level("narrow", **limits))
    made = await admin.make(f"{FLOWS}/flowschemas", schema("narrow", "narrow"))
    plain = Api(server.app, "plain")

    async def taken() -> bool | None:
        found = (await plain("GET", MAPS)).headers.get("x-kubernetes-pf-flowschema-uid")
        return found == made["metadata"]["uid"] or None

    await eventually(taken)


async def numbers(server: ApiServer, name: str) -> dict[tuple[str, ...], float]:
    """Of one metric at the narrow level, by the labels that are not the level's."""
    text = (await Api(server.app)("GET", "/metrics")).body.decode()
    found = {}
    for line in text.splitlines():
        if line.startswith(f"apiserver_flowcontrol_{name}{{") and 'priority_level="narrow"' in line:
            labels, _, value = line.rpartition(" ")
            parts = labels.partition("{")[2].rstrip("}").split(",")
            rest = tuple(part.partition("=")[2].strip('"') for part in parts if "priority_level" not in part)
            found[rest] = float(value)
    return found


async def test_answers_say_which_flow_they_belong_to(server: ApiServer, api: Api) -> None:
    schemas = (await api("GET", f"{FLOWS}/flowschemas")).body["items"]
    levels = (await api("GET", f"{FLOWS}/prioritylevelconfigurations")).body["items"]
    names = {item["metadata"]["uid"]: item["metadata"]["name"] for item in (*schemas, *levels)}

    for token, path, expected in (
        ("secret", MAPS, ("exempt", "exempt")),
        ("plain", MAPS, ("global-default", "global-default")),
        ("plain", "/livez", ("probes", "exempt")),
        ("plain", f"{MAPS}/nothing", ("global-default", "global-default")),
    ):
        headers = (await Api(server.app, token)("GET", path)).headers
        found = [headers[f"x-kubernetes-pf-{kind}-uid"] for kind in ("flowschema", "prioritylevel")]
        assert tuple(names[uid] for uid in found) == expected


async def test_a_level_without_queues_refuses_what_does_not_fit(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server)
        async with stalled(server.app, Stalled()):
            refused = await api("GET", PODS)
            administrator = await Api(server.app)("GET", PODS)
        served = await api("GET", PODS)
        rejected = await numbers(server, "rejected_requests_total")

    assert (refused.code, refused.headers["retry-after"], refused.body) == (429, "1", FULL)
    assert refused.headers["content-type"] == "text/plain; charset=utf-8"
    assert "x-kubernetes-pf-flowschema-uid" in refused.headers
    assert (administrator.code, served.code) == (200, 200)
    assert rejected == {("narrow", "concurrency-limit"): 1.0}


async def test_requests_wait_for_a_seat_and_then_run(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server, queues=1, length=10)
        async with asyncio.TaskGroup() as tasks, stalled(server.app, Stalled()):
            waiting = [tasks.create_task(api("POST", MAPS, configmap(name))) for name in "ab"]
            await eventually(lambda: queued(server, 2))
            held = await numbers(server, "current_inqueue_requests")
            assert not any(task.done() for task in waiting)
        made = [await task for task in waiting]
        text = (await Api(server.app)("GET", "/metrics")).body.decode()
        seats = await numbers(server, "current_executing_seats")
        waited = await numbers(server, "request_wait_duration_seconds_count")

    assert [answer.code for answer in made] == [201, 201]
    assert total(text, "apiserver_request_duration_seconds") > total(
        text, "apiserver_request_sli_duration_seconds"
    )
    assert held == {("narrow",): 2.0}
    assert seats == {("narrow",): 0.0}
    assert waited["true", "narrow"] >= 3


def total(text: str, name: str) -> float:
    """Seconds of all requests that make ConfigMaps."""
    lines = [line for line in text.splitlines() if line.startswith(f"{name}_sum{{")]
    mine = [line for line in lines if 'resource="configmaps"' in line and 'verb="POST"' in line]
    return sum(float(line.rpartition(" ")[2]) for line in mine)


async def queued(server: ApiServer, count: int) -> bool | None:
    return (await numbers(server, "current_inqueue_requests")).get(("narrow",)) == count or None


async def test_a_full_queue_refuses(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server, queues=1, length=1)
        async with stalled(server.app, Stalled(), Stalled()):
            refused = await api("GET", PODS)
        rejected = await numbers(server, "rejected_requests_total")

    assert (refused.code, refused.body) == (429, FULL)
    assert rejected[("narrow", "queue-full")] == 1.0


async def test_who_hangs_up_while_waiting_gives_up_the_place(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server, queues=1, length=1)
        first, second = Stalled(), Stalled()
        async with stalled(server.app, first, second):
            second.hang_up.set()
            await eventually(lambda: queued(server, 0))
            first.hang_up.set()
            served = await api("GET", PODS)
        rejected = await numbers(server, "rejected_requests_total")

    assert served.code == 200
    assert second.answer == {}
    assert rejected == {("narrow", "cancelled"): 1.0}


async def test_waiting_ends_after_a_quarter_of_the_time_of_a_request(config: ApiServerConfig) -> None:
    settings = {"max_requests_inflight": 1, "max_mutating_requests_inflight": 0, "request_timeout": 0.2}
    async with serving(config, **settings) as (server, api):
        await narrow(server, queues=1, length=10)
        async with stalled(server.app, Stalled()):
            refused = await api("GET", PODS)
        rejected = await numbers(server, "rejected_requests_total")

    assert (refused.code, refused.body) == (429, FULL)
    assert rejected == {("narrow", "time-out"): 1.0}


async def test_what_a_client_sends_while_it_waits_is_not_lost(config: ApiServerConfig) -> None:
    body = b'{"metadata":{"name":"late"}}'
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server, queues=1, length=10)
        first, second = Stalled(), Stalled()
        second.parts = [
            {"type": "http.request", "body": body[:10], "more_body": True},
            {"type": "http.request", "body": body[10:], "more_body": False},
        ]
        async with stalled(server.app, first, second):
            first.hang_up.set()
            await eventually(lambda: _made(api))

    assert second.answer["status"] == 201


async def _made(api: Api) -> bool | None:
    return (await api("GET", f"{MAPS}/late")).code == 200 or None


async def test_a_watch_takes_a_seat_only_until_it_has_begun(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server)
        await api.make(MAPS, configmap())
        async with api.transport.stream("GET", MAPS, query={"watch": "1"}) as stream:
            lines = stream.lines()
            await anext(lines)
            served = await eventually(lambda: _served(api))
            execution = await numbers(server, "request_execution_seconds_count")

    assert served
    assert execution["narrow", "watch"] == 1.0


async def _served(api: Api) -> bool | None:
    return (await api("GET", PODS)).code == 200 or None


async def test_streams_take_no_seat(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server)
        log = await api("GET", f"{PODS}/nothing/log")

    assert "x-kubernetes-pf-flowschema-uid" not in log.headers


async def test_failures_free_their_seat(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server)
        codes = [(await api("GET", f"{MAPS}/nothing")).code for _ in range(3)]
        codes += [(await api("POST", MAPS, b"no json")).code for _ in range(3)]

    assert codes == [404] * 3 + [400] * 3


@pytest.mark.parametrize(("method", "path"), [("POST", MAPS), ("GET", "/api/v1/nodes")])
async def test_without_flow_control_reads_and_writes_have_limits_of_their_own(
    config: ApiServerConfig, method: str, path: str
) -> None:
    settings = {"enable_priority_and_fairness": False, "max_mutating_requests_inflight": 1}
    async with serving(config, max_requests_inflight=1, **settings) as (server, api):
        async with stalled(server.app, Stalled()):
            answer = await api(method, path, configmap() if method == "POST" else None)
            administrator = await Api(server.app)("POST", MAPS, configmap("b"))
        after = await api("POST", MAPS, configmap("c"))
        dump = await api("GET", "/debug/api_priority_and_fairness/dump_queues")

    assert (answer.code, administrator.code, after.code) == (429 if method == "POST" else 200, 201, 201)
    assert "x-kubernetes-pf-flowschema-uid" not in answer.headers
    assert dump.code == 404


async def test_no_limit_without_flow_control(config: ApiServerConfig) -> None:
    settings = {"enable_priority_and_fairness": False, "max_mutating_requests_inflight": 0}
    async with (
        serving(config, **settings) as (server, api),
        stalled(server.app, *(Stalled() for _ in range(5))),
    ):
        answer = await api("POST", MAPS, configmap())

    assert answer.code == 201


async def test_dumps_show_levels_queues_and_requests(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, _):
        await narrow(server, queues=2, length=10)
        admin = Api(server.app)
        async with stalled(server.app, Stalled(), Stalled()):
            levels, queues, requests, details = [
                rows(await admin("GET", f"/debug/api_priority_and_fairness/{name}", **query))
                for name, query in (
                    ("dump_priority_levels", {}),
                    ("dump_queues", {}),
                    ("dump_requests", {}),
                    ("dump_requests", {"includeRequestDetails": "1"}),
                )
            ]

    narrow_level = next(row for row in levels if row["PriorityLevelName"] == "narrow")
    assert (narrow_level["WaitingRequests"], narrow_level["ExecutingRequests"]) == ("1", "1")
    assert (narrow_level["ActiveQueues"], narrow_level["IsIdle"]) == ("1", "false")
    mine = [row for row in queues if row["PriorityLevelName"] == "narrow"]
    assert sorted(row["PendingRequests"] for row in mine) == ["0", "1"]
    assert sum(int(row["SeatsInUse"]) for row in mine) == 1
    mine = [row for row in requests if row["PriorityLevelName"] == "narrow"]
    assert [row["RequestIndexInQueue"] for row in mine] == ["-1", "0"]
    assert mine[1]["StartTime"] == "0001-01-01T00:00:00Z"
    mine = [row for row in details if row["PriorityLevelName"] == "narrow"]
    assert {(row["UserName"], row["Verb"], row["APIPath"]) for row in mine} == {("someone", "create", MAPS)}


def rows(answer: Any) -> list[dict[str, str]]:
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"
    head, *body = answer.body.decode().splitlines()
    names = [name.strip() for name in head.split(",")]
    return [dict(zip(names, map(str.strip, line.split(",")), strict=True)) for line in body]


@pytest.mark.parametrize("waits", [False, True])
async def test_writes_know_how_many_watches_there_are(config: ApiServerConfig, waits: bool) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, api):
        await narrow(server, queues=1, length=10)
        holding = Stalled()
        async with asyncio.TaskGroup() as tasks:
            if waits:
                tasks.create_task(holding.send_to(server.app))
                await holding.reading.wait()
                tasks.create_task(_hang_up_when_queued(server, holding))
            before = await numbers(server, "watch_count_samples_sum")
            async with api.transport.stream("GET", MAPS, query={"watch": "1"}):
                await api("POST", MAPS, configmap("a"))
                during = await numbers(server, "watch_count_samples_sum")
        await eventually(lambda: _forgotten(server))
        await api("POST", MAPS, configmap("b"))
        after = await numbers(server, "watch_count_samples_sum")

    assert during[("narrow",)] - before.get(("narrow",), 0) == 1
    assert after == during


async def _hang_up_when_queued(server: ApiServer, holding: Stalled) -> None:
    await eventually(lambda: queued(server, 1))
    holding.hang_up.set()


async def _forgotten(server: ApiServer) -> bool | None:
    gate = server._flows.gate
    assert isinstance(gate, FairGate)
    return not gate._watches._counts or None


async def test_of_what_a_client_sends_while_it_waits_only_so_much_is_read(config: ApiServerConfig) -> None:
    async with serving(config, max_requests_inflight=1, max_mutating_requests_inflight=0) as (server, _):
        await narrow(server, queues=1, length=10)
        large = Stalled()
        part = {"type": "http.request", "body": b" " * 40_000, "more_body": True}
        large.parts = [dict(part) for _ in range(5)]
        async with stalled(server.app, Stalled()), asyncio.TaskGroup() as tasks:
            waiting = tasks.create_task(large.send_to(server.app))
            await eventually(lambda: queued(server, 1))
            left = len(large.parts)
            waiting.cancel()

    assert left == 3
