"""Versions that a webhook converts: their own fields are selected, managed and measured in each version."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from ..conftest import Answer, Api
from ..webhookserver import WebhookServer
from .conftest import WIDGETS, converting, version, widget
from .converter import Converter

Define = Callable[..., Any]
V2 = WIDGETS.replace("/v1/", "/v2/")
MERGE = "application/merge-patch+json"
APPLY = "application/apply-patch+yaml"
BY_HOST = {"selectableFields": [{"jsonPath": ".spec.host"}]}


def names(listing: Any) -> str:
    return "".join(item["metadata"]["name"] for item in listing["items"])


async def put(api: Api, name: str, host_port: str) -> None:
    await api("PATCH", f"{WIDGETS}/{name}", {"spec": {"hostPort": host_port}}, content_type=MERGE)


async def made(api: Api, define: Define, hook: WebhookServer) -> str:
    """a and c on host x, b on y. Returns the revision."""
    await converting(define, hook, **BY_HOST)
    for name, host in zip("abc", "xyx", strict=True):
        await api.make(WIDGETS, widget(name, hostPort=f"{host}:1"))
    revision: str = (await api("GET", WIDGETS)).body["metadata"]["resourceVersion"]
    return revision


@pytest.mark.parametrize(
    ("selector", "found"),
    [("spec.host=x", "ac"), ("spec.host!=x", "b"), ("spec.host=x,metadata.name=c", "c"), ("spec.host=", "")],
)
async def test_a_list_selects_by_what_the_webhook_shows(
    api: Api, define: Define, hook: WebhookServer, selector: str, found: str
) -> None:
    await made(api, define, hook)

    assert names((await api("GET", V2, fieldSelector=selector)).body) == found
    refused = await api("GET", WIDGETS, fieldSelector=selector)
    assert (refused.code, refused.body["message"]) == (400, "field label not supported: spec.host")


async def test_pages_of_such_a_list_are_full(api: Api, define: Define, hook: WebhookServer) -> None:
    await made(api, define, hook)

    first = (await api("GET", V2, fieldSelector="spec.host=x", limit="1")).body
    token = {"continue": first["metadata"]["continue"]}
    rest = (await api("GET", V2, fieldSelector="spec.host=x", limit="1", **token)).body

    assert (names(first), names(rest)) == ("a", "c")
    assert "continue" not in rest["metadata"]


@pytest.mark.parametrize("resumed", [True, False])
async def test_a_watch_sees_objects_come_change_and_go_in_its_version(
    api: Api, define: Define, hook: WebhookServer, resumed: bool
) -> None:
    revision = await made(api, define, hook)
    query = {"watch": "1", "fieldSelector": "spec.host=x"} | (
        {"resourceVersion": revision} if resumed else {}
    )

    async with api.transport.stream("GET", V2, query=query) as stream:
        lines = stream.lines()
        first = [json.loads(await anext(lines)) for _ in range(0 if resumed else 2)]
        await put(api, "b", "x:2")
        await put(api, "a", "x:3")
        await put(api, "c", "z:4")
        await put(api, "c", "z:5")
        await api("DELETE", f"{WIDGETS}/b")
        then = [json.loads(await anext(lines)) for _ in range(4)]

    assert [event["object"]["metadata"]["name"] for event in first] == ["a", "c"][: len(first)]
    told = [(event["type"], event["object"]["metadata"]["name"], event["object"]["spec"]) for event in then]
    assert told == [
        ("ADDED", "b", {"host": "x", "port": "2"}),
        ("MODIFIED", "a", {"host": "x", "port": "3"}),
        ("DELETED", "c", {"host": "x", "port": "1"}),
        ("DELETED", "b", {"host": "x", "port": "2"}),
    ]
    revisions = [int(event["object"]["metadata"]["resourceVersion"]) for event in then]
    assert revisions == sorted(set(revisions))


async def test_defaults_of_the_stored_version_are_selected(api: Api, define: Define) -> None:
    plain = {"type": "object", "properties": {"color": {"type": "string"}}}
    default = {"type": "object", "properties": {"color": {"type": "string", "default": "red"}}}
    fields = {"selectableFields": [{"jsonPath": ".spec.color"}]}
    await define(versions=[version(spec=plain), version("v2", spec=plain, storage=False, **fields)])
    await api.make(WIDGETS, widget("a", color="blue") | {"spec": {}})
    crds = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.example.com"
    change = [{"op": "add", "path": f"/spec/versions/{index}/schema/openAPIV3Schema/properties/spec",
               "value": default} for index in (0, 1)]  # fmt: skip
    assert (await api("PATCH", crds, change, content_type="application/json-patch+json")).code == 200
    await api.events(V2, 1)

    assert names((await api("GET", V2, fieldSelector="spec.color=red")).body) == "a"


async def apply(api: Api, path: str, body: Any, manager: str, **query: str) -> Answer:
    return await api("PATCH", f"{path}/one", body, content_type=APPLY, fieldManager=manager, **query)


def managers(answer: Answer) -> dict[str, tuple[str, Any]]:
    return {
        entry["manager"]: (entry["apiVersion"].rpartition("/")[2], entry["fieldsV1"].get("f:spec"))
        for entry in answer.body["metadata"]["managedFields"]
    }


async def test_managers_of_another_version_are_asked_in_their_own(
    api: Api, define: Define, hook: WebhookServer
) -> None:
    await converting(define, hook)
    await apply(api, WIDGETS, widget(hostPort="a:1"), "old")
    newer = widget(api_version="example.com/v2", host="b", port="1")

    refused = await apply(api, V2, newer, "new")
    forced = await apply(api, V2, newer, "new", force="true")

    assert refused.code == 409
    assert refused.body["message"].endswith('conflict with "old": .spec.hostPort')
    assert managers(forced) == {"new": ("v2", {"f:host": {}, "f:port": {}})}
    assert (await api("GET", f"{WIDGETS}/one")).body["spec"] == {"hostPort": "b:1"}


async def test_an_applier_that_moves_to_another_version_keeps_what_it_lists_there(
    api: Api, define: Define, hook: WebhookServer
) -> None:
    await converting(define, hook)
    await apply(api, WIDGETS, widget(hostPort="a:1"), "me")

    moved = await apply(api, V2, widget(api_version="example.com/v2", host="a", port="1"), "me")

    assert moved.body["spec"] == {"host": "a", "port": "1"}
    assert managers(moved) == {"me": ("v2", {"f:host": {}, "f:port": {}})}


async def test_an_update_takes_from_managers_of_another_version_what_it_changes(
    api: Api, define: Define, hook: WebhookServer
) -> None:
    await converting(define, hook)
    await apply(api, WIDGETS, widget(hostPort="a:1"), "old")

    label = {"metadata": {"labels": {"a": "b"}}}
    kept = await api("PATCH", f"{V2}/one", label, content_type=MERGE, fieldManager="new")
    taken = await api("PATCH", f"{V2}/one", {"spec": {"port": "2"}}, content_type=MERGE, fieldManager="new")

    assert managers(kept)["old"] == ("v1", {"f:hostPort": {}})
    assert managers(taken) == {"new": ("v2", {"f:port": {}})}


async def test_a_webhook_that_fails_fails_the_write(
    api: Api, define: Define, hook: WebhookServer, converter: Converter
) -> None:
    await converting(define, hook)
    await apply(api, WIDGETS, widget(hostPort="a:1"), "old")
    converter.spoil = lambda response: response.update(result={"status": "Failure", "message": "no"})

    answer = await apply(api, V2, widget(api_version="example.com/v2", host="b", port="1"), "new")

    assert answer.code == 500
    assert answer.body["message"].endswith("failed: no")


def counted(text: str, name: str) -> dict[str, float]:
    rows = [line.rpartition(" ") for line in text.splitlines() if line.startswith(name + "{")]
    return {labels.removeprefix(name): float(value) for labels, _, value in rows}


async def test_conversions_are_counted(
    api: Api, define: Define, hook: WebhookServer, converter: Converter
) -> None:
    await converting(define, hook)
    await api.make(WIDGETS, widget(hostPort="a:1"))
    await api("GET", f"{V2}/one")
    for spoilt in ({"uid": "x"}, {"convertedObjects": []}, {"convertedObjects": [7]}):
        converter.spoil = lambda response, spoilt=spoilt: response.update(spoilt)
        await api("GET", f"{V2}/one")

    text = (await api("GET", "/metrics")).body.decode()

    calls = counted(text, "apiserver_conversion_webhook_request_total")
    kinds = ("malformed_response", "partial_response", "invalid_converted_object")
    assert calls == {'{failure_type="",result="success"}': 1.0} | {
        f'{{failure_type="conversion_webhook_{kind}_failure",result="failure"}}': 1.0 for kind in kinds
    }
    assert counted(text, "apiserver_conversion_webhook_duration_seconds_count") == calls
    assert counted(text, "apiserver_crd_conversion_webhook_duration_seconds_count") == {
        f'{{crd_name="widgets.example.com",from_version="v1",succeeded="{succeeded}",to_version="v2"}}': count
        for succeeded, count in (("true", 1.0), ("false", 3.0))
    }
