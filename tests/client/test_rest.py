"""The REST client beside the happy path: errors, retries, nulls, requests as they go out."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest

from kplane.api.errors import (
    ApiError,
    Expired,
    Forbidden,
    InternalError,
    NotFound,
    TooManyRequests,
    Unreachable,
)
from kplane.api.types import ConfigMap, EndpointSlice, Pod
from kplane.client.codec import encode
from kplane.client.rest import Client, PatchType
from kplane.client.transport import Response, Stream, split_lines
from kplane.testing import FakeCluster, VirtualClock


class Script:
    """A transport that gives prepared answers, and keeps what it was asked."""

    def __init__(self, *answers: Response | ApiError) -> None:
        self._answers = list(answers)
        self.asked: list[tuple[str, str, dict[str, str], bytes]] = []

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        timeout: float | None = None,
    ) -> Response:
        self.asked.append((method, path, dict(query or {}), body))
        answer = self._answers.pop(0)
        if isinstance(answer, ApiError):
            raise answer
        return answer

    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> AbstractAsyncContextManager[Stream]:
        raise NotImplementedError

    async def close(self) -> None: ...


def answer(body: Any, status: int = 200, **headers: str) -> Response:
    return Response(status, {name.replace("_", "-"): value for name, value in headers.items()}, encode(body))


BUSY = answer(TooManyRequests("slow down").status(), 429, retry_after="2")
POD = answer({"metadata": {"name": "web"}})


class ImpatientClock(VirtualClock):
    """Sleeping takes no time, but counts."""

    def __init__(self) -> None:
        super().__init__()
        self.slept: list[float] = []

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)


@pytest.mark.parametrize("write", [False, True])
async def test_refused_request_is_sent_again_when_the_server_says_when(write: bool) -> None:
    clock, script = ImpatientClock(), Script(BUSY, BUSY, POD)
    client = Client(script, clock=clock)

    if write:
        await client.create(Pod, {"metadata": {"name": "web"}}, "default")
    else:
        await client.get(Pod, "web", "default")

    assert len(script.asked) == 3
    assert clock.slept == [2, 2]


async def test_retries_end() -> None:
    script = Script(*[BUSY] * 20)

    with pytest.raises(TooManyRequests) as caught:
        await Client(script, clock=ImpatientClock()).get(Pod, "web", "default")

    assert len(script.asked) == 11
    assert caught.value.retry_after == 2


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(answer({}, 429), id="no time given"),
        pytest.param(answer({}, 500, retry_after="1"), id="a write that may have happened"),
        pytest.param(Unreachable("reset"), id="no answer"),
    ],
)
async def test_other_failures_of_writes_are_the_callers_business(refusal: Response | ApiError) -> None:
    script = Script(refusal, POD)

    with pytest.raises(ApiError):
        await Client(script, clock=ImpatientClock()).create(Pod, {"metadata": {}}, "default")

    assert len(script.asked) == 1


@pytest.mark.parametrize(
    ("response", "error", "message"),
    [
        pytest.param(answer(NotFound("gone").status(), 404), NotFound, "gone", id="status"),
        pytest.param(Response(403, {}, b"denied by proxy\n"), Forbidden, "denied by proxy", id="text"),
        pytest.param(
            Response(404, {}, b"404 page not found\n"),
            NotFound,
            "^the server could not find the requested resource$",
            id="page",
        ),
        pytest.param(Response(502, {}, b""), ApiError, "status code 502", id="empty"),
        pytest.param(Response(200, {}, b"<html>"), InternalError, "not JSON", id="success, but not JSON"),
        pytest.param(answer({"metadata": 3}), InternalError, "does not read as Pod", id="wrong types"),
    ],
)
async def test_answers_become_errors(response: Response, error: type[ApiError], message: str) -> None:
    with pytest.raises(error, match=message):
        await Client(Script(response)).get(Pod, "web", "default")


async def test_nulls_count_as_absent() -> None:
    body = {"metadata": {"name": "web", "labels": None}, "endpoints": None, "addressType": "IPv4"}

    found = await Client(Script(answer(body))).get(EndpointSlice, "web", "default")

    assert found.metadata.labels == {}


async def test_null_items_are_an_empty_list() -> None:
    found = await Client(Script(answer({"metadata": {"resourceVersion": "7"}, "items": None}))).list(Pod)

    assert (list(found.items), found.resource_version) == ([], "7")


async def test_undecoded_objects_are_plain(cluster: FakeCluster) -> None:
    resource = ConfigMap.API.as_type(dict)
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}, "extra": 1}

    made = await cluster.client().create(resource, body, "default")

    assert made["extra"] == 1


async def test_requests_carry_what_was_asked_for() -> None:
    listing = answer({"items": []})
    script = Script(listing, POD, POD, POD, answer({}))
    client = Client(script)

    await client.list(Pod, limit=5, continue_token="t", field_selector="a=b", resource_version="0")
    await client.update(Pod, {"metadata": {"name": "web", "namespace": "ns"}}, subresource="status")
    await client.create(Pod, {}, "ns", name="web", subresource="binding")
    await client.patch(Pod, "web", "ns", {}, kind=PatchType.APPLY, field_manager="me", force=True)
    await client.delete(Pod, "web", "ns", uid="u", grace_seconds=0, propagation="Orphan")

    assert [(method, path, query) for method, path, query, _ in script.asked] == [
        (
            "GET",
            "/api/v1/pods",
            {"limit": "5", "continue": "t", "fieldSelector": "a=b", "resourceVersion": "0"},
        ),
        ("PUT", "/api/v1/namespaces/ns/pods/web/status", {}),
        ("POST", "/api/v1/namespaces/ns/pods/web/binding", {}),
        ("PATCH", "/api/v1/namespaces/ns/pods/web", {"fieldManager": "me", "force": "true"}),
        ("DELETE", "/api/v1/namespaces/ns/pods/web", {}),
    ]
    assert script.asked[-1][-1] == encode(
        {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "preconditions": {"uid": "u"},
            "gracePeriodSeconds": 0,
            "propagationPolicy": "Orphan",
        }
    )


async def test_watch_from_forgotten_history_expires(cluster: FakeCluster) -> None:
    cluster.load({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "web"}})
    cluster.compact()

    with pytest.raises(Expired):
        async for _ in cluster.client().watch(ConfigMap, resource_version="1"):
            pass


@pytest.mark.parametrize(
    "chunks", [[b"one\ntwo\nthree"], [b"o", b"ne\ntw", b"o", b"\n", b"three\n"], [b"one\n\ntwo\n", b"three"]]
)
async def test_lines_do_not_depend_on_chunks(chunks: list[bytes]) -> None:
    async def arriving() -> Any:
        for chunk in chunks:
            yield chunk

    assert [line async for line in split_lines(arriving())] == [b"one", b"two", b"three"]
