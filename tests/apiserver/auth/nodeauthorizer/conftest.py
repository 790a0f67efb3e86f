"""A server that knows nodes and roles, and a kubelet on the node n1."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest

from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ...conftest import Api, pod

TOKENS = """secret,admin,1,"system:masters"
n1,system:node:n1,2,"system:nodes"
nobody,system:node:,3,"system:nodes"
outsider,system:node:n1,4,"people"
"""
IN = "/api/v1/namespaces/default"


@dataclass
class Nodes:
    admin: Api
    n1: Api
    nobody: Api
    outsider: Api

    async def pod(self, name: str = "web", node: str = "n1", **spec: Any) -> Any:
        await self.admin.make(f"{IN}/pods", pod(name, **({"nodeName": node} if node else {}), **spec))


@pytest.fixture
async def nodes(config: ApiServerConfig) -> AsyncIterator[Nodes]:
    assert config.token_auth_file is not None
    config.token_auth_file.write_text(TOKENS)
    settings = AuthorizationSettings(modes=("Node", "RBAC"))
    off = ("ServiceAccount", "NodeRestriction")
    async with ApiServer(replace(config, authorization=settings, disable_admission_plugins=off)) as server:
        yield Nodes(*(Api(server.app, token) for token in ("secret", "n1", "nobody", "outsider")))
