"""A server with webhooks: `mutating` and `validating` configure them, `answer` says what they answer, and
`asked` is what they were asked.
"""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ..conftest import Api
from ..webhookserver import Received, Reply, WebhookServer
from .policies import Policies

GROUP = "/apis/admissionregistration.k8s.io/v1"
MUTATING = f"{GROUP}/mutatingwebhookconfigurations"
VALIDATING = f"{GROUP}/validatingwebhookconfigurations"

Answer = Callable[[dict[str, Any]], dict[str, Any]]
"""From a request to the response; uid is added."""


def allow(request: dict[str, Any]) -> dict[str, Any]:
    return {"allowed": True}


def patched(*operations: dict[str, Any]) -> Answer:
    """Allows with a JSON patch."""
    body = base64.b64encode(json.dumps(operations).encode()).decode()
    return lambda request: {"allowed": True, "patch": body, "patchType": "JSONPatch"}


def labelled(name: str, value: str = "yes") -> Answer:
    """Sets a label on objects that have some already."""
    return patched({"op": "add", "path": f"/metadata/labels/{name}", "value": value})


def denied(**status: Any) -> Answer:
    return lambda request: {"allowed": False, "status": status}


def rule(resources: str = "configmaps", operations: str = "*", **more: Any) -> dict[str, Any]:
    found = {"operations": operations.split(), "resources": resources.split()}
    return {"apiGroups": ["*"], "apiVersions": ["*"]} | found | more


class Hooks:
    """Webhooks by path. `asked` keeps path and request of every call, in order."""

    def __init__(self, api: Api, server: WebhookServer) -> None:
        self._api = api
        self.server = server
        self.answers: dict[str, Answer] = {}
        self.asked: list[tuple[str, dict[str, Any]]] = []
        server.handler = self.handle

    async def handle(self, received: Received) -> Reply:
        path = received.path.partition("?")[0].removeprefix("/")
        request = received.body["request"]
        self.asked.append((path, request))
        response = {"uid": request["uid"]} | self.answers.get(path, allow)(request)
        head = {key: received.body[key] for key in ("kind", "apiVersion")}
        return Reply(body=json.dumps(head | {"response": response}).encode())

    def answer(self, path: str, answer: Answer) -> None:
        self.answers[path] = answer

    def requests(self, path: str) -> list[dict[str, Any]]:
        return [request for asked, request in self.asked if asked == path]

    def webhook(self, path: str = "hook", **fields: Any) -> dict[str, Any]:
        """An entry of a configuration, about every write of ConfigMaps unless it says otherwise."""
        return {
            "name": f"{path}.example.com",
            "clientConfig": self.server.by_url(f"/{path}"),
            "rules": [rule()],
            "sideEffects": "None",
            "admissionReviewVersions": ["v1"],
        } | fields

    async def mutating(self, *webhooks: dict[str, Any], name: str = "m") -> None:
        await self._configure(MUTATING, name, webhooks)

    async def validating(self, *webhooks: dict[str, Any], name: str = "v") -> None:
        await self._configure(VALIDATING, name, webhooks)

    async def _configure(self, path: str, name: str, webhooks: Any) -> None:
        await self._api.make(path, {"metadata": {"name": name}, "webhooks": list(webhooks)})
        await self.settled(path, name)

    async def settled(self, path: str, name: str) -> None:
        """A consistent read: the watch cache has what was written."""
        await self._api("GET", f"{path}/{name}")


@pytest.fixture(scope="module")
def keys() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as folder:
        yield Path(folder) / "pki"


@pytest.fixture
async def hooks(api: Api, keys: Path) -> AsyncIterator[Hooks]:
    async def unused(received: Received) -> Reply:
        raise AssertionError

    async with WebhookServer(keys, unused) as server:
        yield Hooks(api, server)


@pytest.fixture
def policies(api: Api) -> Policies:
    return Policies(api)
