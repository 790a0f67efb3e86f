"""A server whose only authoriser is RBAC, and people who hold nothing yet."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.auth.authorization import AuthorizationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ...conftest import Answer, Api

RBAC = "/apis/rbac.authorization.k8s.io/v1"
TOKENS = """secret,admin,1,"system:masters"
ann,ann,2,"dev"
bob,bob,3
robot,system:serviceaccount:default:robot,4,"system:serviceaccounts,system:serviceaccounts:default"
"""


class Guarded:
    """The API as different people."""

    def __init__(self, server: ApiServer) -> None:
        self.server = server
        self.admin = Api(server.app)
        self.ann = Api(server.app, "ann")
        self.bob = Api(server.app, "bob")
        self.robot = Api(server.app, "robot")
        self.stranger = Api(server.app, "")

    async def role(self, name: str, *rules: dict[str, Any], namespace: str = "", **more: Any) -> None:
        await self.admin.make(
            path_of("roles", namespace), {"metadata": {"name": name}, "rules": rules} | more
        )

    async def bind(self, name: str, *subjects: dict[str, Any], namespace: str = "", kind: str = "") -> None:
        """Binds the role of that name, in a namespace or everywhere."""
        await self.admin.make(path_of("rolebindings", namespace), binding(name, *subjects, kind=kind))


def path_of(plural: str, namespace: str) -> str:
    return f"{RBAC}/namespaces/{namespace}/{plural}" if namespace else f"{RBAC}/cluster{plural}"


def binding(name: str, *subjects: dict[str, Any], kind: str = "") -> dict[str, Any]:
    return {
        "metadata": {"name": name},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind or "ClusterRole", "name": name},
        "subjects": subjects,
    }


def user(name: str) -> dict[str, Any]:
    return {"kind": "User", "name": name, "apiGroup": "rbac.authorization.k8s.io"}


def group(name: str) -> dict[str, Any]:
    return user(name) | {"kind": "Group"}


def rule(verbs: str, groups: str, resources: str, *names: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        "verbs": verbs.split(),
        "apiGroups": ["" if each == "core" else each for each in groups.split()],
        "resources": resources.split(),
    }
    return found | ({"resourceNames": list(names)} if names else {})


def message(answer: Answer) -> str:
    assert answer.code == 403, answer
    text: str = answer.body["message"]
    return text


@pytest.fixture
def rbac_config(config: ApiServerConfig) -> ApiServerConfig:
    assert config.token_auth_file is not None
    config.token_auth_file.write_text(TOKENS)
    return replace(config, authorization=AuthorizationSettings(modes=("RBAC",)))


@pytest.fixture
async def guarded(rbac_config: ApiServerConfig) -> AsyncIterator[Guarded]:
    async with ApiServer(rbac_config) as server:
        yield Guarded(server)
