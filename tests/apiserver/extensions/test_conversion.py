"""Several versions of one resource: stored in one, read in each, converted by name alone or by a webhook."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from kplane.testing.waiting import eventually

from ..conftest import Api
from ..webhookserver import WebhookServer
from .conftest import CRDS, WIDGETS, converting, version, widget
from .converter import NEW, OLD, Converter

Define = Callable[..., Any]
V2 = WIDGETS.replace("/v1/", "/v2/")
NAME = "widgets.example.com"
MERGE = "application/merge-patch+json"


def modern(name: str = "one") -> dict[str, Any]:
    return widget(name, api_version="example.com/v2", host="a", port="80")


async def test_without_conversion_each_version_shows_what_it_knows(api: Api, define: Define) -> None:
    both = {"type": "object", "properties": OLD["properties"] | NEW["properties"]}
    await define(versions=[version(spec=OLD), version("v2", spec=both, storage=False)])

    made = await api.make(V2, widget(api_version="example.com/v2", hostPort="a:1", host="a"))
    old = (await api("GET", f"{WIDGETS}/one")).body
    new = (await api("GET", f"{V2}/one")).body

    assert (made["apiVersion"], made["spec"]) == ("example.com/v2", {"hostPort": "a:1", "host": "a"})
    assert (old["apiVersion"], old["spec"]) == ("example.com/v1", {"hostPort": "a:1"})
    assert new == made


async def test_what_was_stored_in_an_older_version_stays_readable(api: Api, define: Define) -> None:
    await define(versions=[version(spec=OLD), version("v2", spec=OLD, storage=False)])
    await api.make(WIDGETS, widget(hostPort="a:1"))
    swap = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    await api("PATCH", f"{CRDS}/{NAME}", swap, content_type="application/json-patch+json")

    async def listed() -> Any:
        body = (await api("GET", V2)).body
        return body["items"] if body.get("items") else None

    [item] = await eventually(listed)
    rewritten = await api("PATCH", f"{V2}/one", {"metadata": {"labels": {"a": "b"}}}, content_type=MERGE)

    assert (item["apiVersion"], item["spec"]) == ("example.com/v2", {"hostPort": "a:1"})
    assert rewritten.code == 200
    assert (await api("GET", f"{WIDGETS}/one")).body["apiVersion"] == "example.com/v1"


async def test_a_webhook_converts_what_is_read_written_listed_and_watched(
    api: Api, define: Define, hook: WebhookServer
) -> None:
    await converting(define, hook)

    made = await api.make(V2, modern())
    old = (await api("GET", f"{WIDGETS}/one")).body
    await api.make(WIDGETS, widget("two", hostPort="b:81"))
    listed = (await api("GET", V2)).body
    events = await api.events(V2, 2)
    patched = await api("PATCH", f"{V2}/two", {"spec": {"port": "82"}}, content_type=MERGE)
    applied = await api(
        "PATCH", f"{V2}/three", modern("three"),
        content_type="application/apply-patch+yaml", fieldManager="me",
    )  # fmt: skip

    assert made["spec"] == {"host": "a", "port": "80"}
    assert old["spec"] == {"hostPort": "a:80"}
    specs = [{"host": "a", "port": "80"}, {"host": "b", "port": "81"}]
    assert [item["spec"] for item in listed["items"]] == specs
    assert [event["object"]["spec"] for event in events] == specs
    assert patched.body["spec"] == {"host": "b", "port": "82"}
    assert (await api("GET", f"{WIDGETS}/two")).body["spec"] == {"hostPort": "b:82"}
    assert (applied.code, applied.body["spec"]) == (201, {"host": "a", "port": "80"})


async def test_a_list_is_one_call(api: Api, define: Define, hook: WebhookServer) -> None:
    await converting(define, hook)
    for number in range(5):
        await api.make(WIDGETS, widget(f"w{number}", hostPort=f"a:{number}"))
    hook.received.clear()

    await api("GET", V2)

    [received] = hook.received
    review = received.body
    assert (review["kind"], review["apiVersion"]) == ("ConversionReview", "apiextensions.k8s.io/v1")
    assert review["request"]["desiredAPIVersion"] == "example.com/v2"
    assert len(review["request"]["objects"]) == 5


async def test_labels_may_change_and_other_metadata_may_not(
    api: Api, define: Define, hook: WebhookServer, converter: Converter
) -> None:
    await converting(define, hook)
    made = await api.make(WIDGETS, widget(hostPort="a:80"))

    def tamper(response: dict[str, Any]) -> None:
        metadata = response["convertedObjects"][0]["metadata"]
        metadata |= {"labels": {"from": "hook"}, "generation": 99, "finalizers": ["example.com/x"]}

    converter.spoil = tamper
    read = (await api("GET", f"{V2}/one")).body

    assert read["metadata"] == made["metadata"] | {"labels": {"from": "hook"}}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        pytest.param(
            {"result": {"status": "Failure", "message": "cannot"}},
            "conversion webhook for example.com/v1, Kind=Widget failed: cannot",
            id="refused",
        ),
        pytest.param(
            {"result": {}},
            "conversion webhook for example.com/v1, Kind=Widget failed: response.result.status was '', not"
            " 'Success'",
            id="no-status",
        ),
        pytest.param(
            {"convertedObjects": []},
            "conversion webhook for example.com/v1, Kind=Widget returned 0 objects, expected 1",
            id="too-few",
        ),
        pytest.param({"uid": "other"}, 'expected response.uid="', id="uid"),
        pytest.param(
            {"convertedObjects": [{"apiVersion": "example.com/v3", "kind": "Widget"}]},
            "invalid groupVersion (expected example.com/v2, received example.com/v3)",
            id="version",
        ),
        pytest.param(
            {"convertedObjects": [{"apiVersion": "example.com/v2", "kind": "Widget"}]},
            "missing metadata in converted object",
            id="metadata",
        ),
        pytest.param(
            {
                "convertedObjects": [
                    {"apiVersion": "example.com/v2", "kind": "Widget", "metadata": {"name": "other"}}
                ]
            },
            "must have the same name: one != other",
            id="name",
        ),
        pytest.param({"convertedObjects": [7]}, "it is no object", id="number"),
    ],
)
async def test_a_bad_answer_fails_the_request(
    api: Api,
    define: Define,
    hook: WebhookServer,
    converter: Converter,
    spoil: dict[str, Any],
    message: str,
) -> None:
    await converting(define, hook)
    await api.make(WIDGETS, widget(hostPort="a:80"))
    converter.spoil = lambda response: response.update(copy.deepcopy(spoil))

    read = await api("GET", f"{V2}/one")
    listed = await api("GET", V2)
    [event] = await api.events(V2, 1)
    old = await api("GET", f"{WIDGETS}/one")

    assert (read.code, read.body["reason"]) == (500, "InternalError")
    assert message in read.body["message"]
    assert listed.code == 500
    assert (event["type"], event["object"]["code"]) == ("ERROR", 500)
    assert old.code == 200


async def test_an_unreachable_webhook_fails_the_request(
    api: Api, define: Define, hook: WebhookServer
) -> None:
    await converting(define, hook)
    await api.make(WIDGETS, widget(hostPort="a:80"))
    await hook.__aexit__(None, None, None)

    answer = await api("GET", f"{V2}/one")

    assert answer.code == 500
    assert "conversion webhook for example.com/v1, Kind=Widget failed: Post " in answer.body["message"]
