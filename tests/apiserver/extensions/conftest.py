"""Definitions and instances for the tests of custom resources."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from kplane.testing.waiting import eventually

from ..conftest import Api
from ..webhookserver import WebhookServer
from .converter import NEW, OLD, Converter

CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
GROUP = "example.com"
WIDGETS = f"/apis/{GROUP}/v1/namespaces/default/widgets"

SPEC = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer", "minimum": 0, "default": 1},
        "color": {"type": "string", "enum": ["red", "green", "blue"]},
        "parts": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "properties": {"name": {"type": "string"}, "size": {"type": "integer"}},
            },
            "x-kubernetes-list-type": "map",
            "x-kubernetes-list-map-keys": ["name"],
        },
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "anything": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
    },
}
STATUS = {
    "type": "object",
    "properties": {
        "replicas": {"type": "integer"},
        "selector": {"type": "string"},
        "phase": {"type": "string"},
    },
}


def version(name: str = "v1", *, storage: bool = True, spec: Any = None, **more: Any) -> dict[str, Any]:
    properties = {"spec": spec or SPEC, "status": STATUS}
    return {
        "name": name,
        "served": True,
        "storage": storage,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": properties}},
    } | more


def crd(
    plural: str = "widgets", kind: str = "Widget", *, versions: Any = None, group: str = GROUP, **more: Any
) -> dict[str, Any]:
    names = {"plural": plural, "kind": kind} | more.pop("names", {})
    spec = {"group": group, "names": names, "scope": "Namespaced", "versions": versions or [version()]}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.{group}"} | more.pop("metadata", {}),
        "spec": spec | more,
    }


def widget(name: str = "one", *, api_version: str = f"{GROUP}/v1", **spec: Any) -> dict[str, Any]:
    return {
        "apiVersion": api_version,
        "kind": "Widget",
        "metadata": {"name": name},
        "spec": spec or {"color": "red"},
    }


def condition(body: Any, kind: str) -> tuple[str, str, str]:
    """Status, reason and message."""
    for entry in body["status"].get("conditions") or ():
        if entry["type"] == kind:
            return entry["status"], entry["reason"], entry["message"]
    return "", "", ""


async def established(api: Api, name: str = f"widgets.{GROUP}") -> Any:
    """The definition, once it is served."""

    async def ready() -> Any:
        body = (await api("GET", f"{CRDS}/{name}")).body
        return body if condition(body, "Established")[0] == "True" else None

    return await eventually(ready)


@pytest.fixture
def define(api: Api) -> Callable[..., Any]:
    """Create a definition, and wait until it is served."""

    async def make(**more: Any) -> Any:
        made = await api.make(CRDS, crd(**more))
        return await established(api, made["metadata"]["name"])

    return make


@pytest.fixture
def converter() -> Converter:
    return Converter()


@pytest.fixture
async def hook(tmp_path: Path, converter: Converter) -> AsyncIterator[WebhookServer]:
    async with WebhookServer(tmp_path / "hook", converter) as server:
        yield server


async def converting(define: Callable[..., Any], hook: WebhookServer, **more: Any) -> Any:
    """`more`: of the second version."""
    webhook = {"clientConfig": hook.by_url(), "conversionReviewVersions": ["v1"]}
    versions = [version(spec=OLD), version("v2", spec=NEW, storage=False, **more)]
    return await define(versions=versions, conversion={"strategy": "Webhook", "webhook": webhook})
