"""WATCH: which events come, when a watch ends, and that nothing of it stays behind."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.client.transport_asgi import AsgiTransport
from kplane.testing.clock import VirtualClock

from ..conftest import Api, configmap

MAPS = "/api/v1/namespaces/default/configmaps"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


def seen(events: list[Any]) -> list[tuple[str, str]]:
    return [(event["type"], event["object"]["metadata"].get("name", "")) for event in events]


async def take(lines: AsyncIterator[bytes], count: int) -> list[Any]:
    async with asyncio.timeout(30):
        return [json.loads(await anext(lines)) for _ in range(count)]


async def test_without_a_revision_what_exists_comes_first(api: Api) -> None:
    await api.make(MAPS, configmap("a"))

    events = await api.events(MAPS, 1)

    assert seen(events) == [("ADDED", "a")]


async def test_from_a_revision_every_later_change_comes(api: Api) -> None:
    made = await api.make(MAPS, configmap("a"))
    await api("PUT", f"{MAPS}/a", configmap("a", color="red"))
    await api("DELETE", f"{MAPS}/a")

    events = await api.events(MAPS, 2, resourceVersion=made["metadata"]["resourceVersion"])

    assert seen(events) == [("MODIFIED", "a"), ("DELETED", "a")]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in events]
    assert revisions == sorted(set(revisions))


async def test_changes_arrive_while_the_watch_runs(api: Api) -> None:
    async with api.transport.stream("GET", MAPS, query={"watch": "1"}) as stream:
        lines = stream.lines()
        await api.make(MAPS, configmap("a"))
        first = await take(lines, 1)
        await api("DELETE", f"{MAPS}/a")
        second = await take(lines, 1)

    assert seen(first + second) == [("ADDED", "a"), ("DELETED", "a")]


async def test_objects_enter_and_leave_a_selection(api: Api) -> None:
    made = await api.make(MAPS, {"metadata": {"name": "a"}})
    start = made["metadata"]["resourceVersion"]
    await api("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "labels": {"x": "1"}}})
    await api("PUT", f"{MAPS}/a", {"metadata": {"name": "a", "labels": {"x": "2"}}})

    events = await api.events(MAPS, 2, resourceVersion=start, labelSelector="x=1")

    assert seen(events) == [("ADDED", "a"), ("DELETED", "a")]


async def test_a_streamed_list_ends_with_an_annotated_bookmark(api: Api) -> None:
    await api.make(MAPS, configmap("a"))

    query = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan", "allowWatchBookmarks": "1"}
    events = await api.events(MAPS, 2, **query)

    assert seen(events) == [("ADDED", "a"), ("BOOKMARK", "")]
    assert events[1]["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}


async def test_streaming_a_list_demands_its_revision_match(api: Api) -> None:
    answer = await api("GET", MAPS, watch="1", sendInitialEvents="true")

    assert answer.code == 422
    assert "sendInitialEvents requires setting resourceVersionMatch to NotOlderThan" in answer.body["message"]


async def test_history_that_is_gone_is_told_as_an_error_event(api: Api) -> None:
    events = await api.events(MAPS, 1, resourceVersion="1")

    status = events[0]["object"]
    assert events[0]["type"] == "ERROR"
    assert (status["code"], status["reason"]) == (410, "Expired")
    assert status["message"].startswith("too old resource version: 1 (")


async def test_only_the_first_table_of_a_watch_has_columns(api: Api) -> None:
    for name in ("a", "b"):
        await api.make(MAPS, configmap(name))

    events = await api.events(MAPS, 2, accept=TABLE)

    tables = [event["object"] for event in events]
    assert [bool(table["columnDefinitions"]) for table in tables] == [True, False]
    assert [table["rows"][0]["cells"][0] for table in tables] == ["a", "b"]


@pytest.mark.parametrize("events", [0, 1])
async def test_a_client_that_hangs_up_leaves_nothing_behind(server: ApiServer, events: int) -> None:
    api = Api(server.app)
    await api("GET", MAPS)
    before = asyncio.all_tasks()

    transport = AsgiTransport(_Polite(server.app), token="secret")
    async with transport.stream("GET", MAPS, query={"watch": "1"}) as stream:
        for index in range(events):
            await api.make(MAPS, configmap(f"m{index}"))
        await take(stream.lines(), events)

    async with asyncio.timeout(30):
        while asyncio.all_tasks() - before:
            await asyncio.sleep(0)


class _Polite:
    """The application, not cancelled when the client leaves: it must notice the disconnect by itself."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        task = asyncio.ensure_future(self._app(scope, receive, send))
        await asyncio.shield(task)


async def test_bookmarks_come_in_time_and_the_watch_ends_in_time(config: ApiServerConfig) -> None:
    clock = VirtualClock()
    async with ApiServer(config, clock) as server:
        query = {"watch": "1", "allowWatchBookmarks": "true", "timeoutSeconds": "130"}
        async with Api(server.app).transport.stream("GET", MAPS, query=query) as stream:
            await clock.advance(200)
            events = [json.loads(line) async for line in stream.lines()]

    # The first one ends what existed.
    assert [event["type"] for event in events] == ["BOOKMARK"] * 4
    assert ["annotations" in event["object"]["metadata"] for event in events] == [True, False, False, False]
    assert events[0]["object"]["metadata"]["resourceVersion"].isdigit()


@pytest.mark.parametrize(
    "path",
    ["/api/v1/watch/namespaces/default/configmaps/b", "/api/v1/watch/namespaces/default/configmaps"],
)
async def test_the_older_form_of_a_watch_has_its_own_path(api: Api, path: str) -> None:
    await api.make(MAPS, configmap("b"))

    async with api.transport.stream("GET", path) as stream:
        events = await take(stream.lines(), 1)

    assert seen(events) == [("ADDED", "b")]
