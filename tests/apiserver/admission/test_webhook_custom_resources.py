"""Webhooks and custom resources: versions, pruning, proxies."""

from __future__ import annotations

import json
from typing import Any

from ..conftest import Api
from .conftest import Hooks, patched, rule

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
WIDGETS = "/apis/example.com/v1/namespaces/default/widgets"


def definition() -> dict[str, Any]:
    properties = {"spec": {"type": "object", "properties": {"size": {"type": "integer", "default": 1}}}}
    schema = {"openAPIV3Schema": {"type": "object", "properties": properties}}
    versions = [
        {"name": name, "served": True, "storage": name == "v1", "schema": schema} for name in ("v1", "v2")
    ]
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "listKind": "WidgetList"}
    spec = {"group": "example.com", "scope": "Namespaced", "names": names, "versions": versions}
    return {"metadata": {"name": "widgets.example.com"}, "spec": spec}


async def established(api: Api) -> None:
    await api.make(DEFINITIONS, definition())
    async with api.transport.stream(
        "GET", DEFINITIONS, query={"watch": "true"}, headers={"accept": "application/json"}
    ) as stream:
        async for line in stream.lines():
            conditions = json.loads(line)["object"].get("status", {}).get("conditions") or ()
            if any((entry["type"], entry["status"]) == ("Established", "True") for entry in conditions):
                break
    await api("GET", DEFINITIONS)


async def test_a_webhook_sees_and_changes_a_custom_resource_in_the_version_of_its_rule(
    api: Api, hooks: Hooks
) -> None:
    await established(api)
    row = rule("widgets", apiGroups=["example.com"], apiVersions=["v2"])
    await hooks.mutating(hooks.webhook(rules=[row]))
    hooks.answer(
        "hook",
        patched(
            {"op": "add", "path": "/spec/size", "value": 7},
            {"op": "add", "path": "/spec/unknown", "value": True},
        ),
    )

    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}}
    made = await api.make(WIDGETS, body)

    [asked] = hooks.requests("hook")
    assert asked["object"]["apiVersion"] == "example.com/v2"
    assert (asked["kind"]["version"], asked["requestKind"]["version"]) == ("v2", "v1")
    assert (made["apiVersion"], made["spec"]) == ("example.com/v1", {"size": 7})


async def test_what_a_webhook_makes_of_a_custom_resource_is_validated(api: Api, hooks: Hooks) -> None:
    await established(api)
    await hooks.mutating(hooks.webhook(rules=[rule("widgets")]))
    hooks.answer("hook", patched({"op": "replace", "path": "/spec/size", "value": "large"}))

    body = {"apiVersion": "example.com/v1", "kind": "Widget", "metadata": {"name": "w"}, "spec": {}}
    answer = await api("POST", WIDGETS, body)

    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert "spec.size" in answer.body["message"]


async def test_a_proxy_is_a_connection(api: Api, hooks: Hooks) -> None:
    await hooks.validating(hooks.webhook(rules=[rule("services/proxy", "CONNECT")]))

    await api("GET", "/api/v1/namespaces/default/services/none:80/proxy/a/b")

    [asked] = hooks.requests("hook")
    assert asked["object"] == {"kind": "ServiceProxyOptions", "apiVersion": "v1", "path": "/a/b"}
    assert asked["name"] == "none:80"
