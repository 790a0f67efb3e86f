"""Servers that keep an audit log in a file."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.audit.settings import AuditSettings, LogSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api

METADATA: dict[str, Any] = {"rules": [{"level": "Metadata"}]}


@dataclass
class Audited:
    """A server, its administrator's API, and the log."""

    server: ApiServer
    api: Api
    path: Path

    def events(self, *, stage: str = "", uri: str = "", resource: str = "") -> list[dict[str, Any]]:
        """What is in the log so far."""
        found = [json.loads(line) for line in self.path.read_text().splitlines()]
        return [
            event
            for event in found
            if stage in ("", event["stage"])
            and event["requestURI"].startswith(uri)
            and (not resource or event.get("objectRef", {}).get("resource") == resource)
        ]

    def complete(self, resource: str) -> dict[str, Any]:
        """The one event at the end of the only request for a resource."""
        (event,) = self.events(stage="ResponseComplete", resource=resource)
        return event


Serve = Callable[..., AbstractAsyncContextManager[Audited]]


def write_policy(folder: Path, policy: dict[str, Any]) -> Path:
    path = folder / "policy.yaml"
    path.write_text(json.dumps({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", **policy}))
    return path


@pytest.fixture
def serve(config: ApiServerConfig, tmp_path: Path) -> Serve:
    @asynccontextmanager
    async def serve(
        policy: dict[str, Any], server: ApiServerConfig = config, **log: Any
    ) -> AsyncIterator[Audited]:
        path = tmp_path / "logs" / "audit.log"
        settings = AuditSettings(
            policy_file=write_policy(tmp_path, policy), log=LogSettings(path=str(path), **log)
        )
        async with ApiServer(replace(server, audit=settings)) as running:
            yield Audited(running, Api(running.app), path)

    return serve
