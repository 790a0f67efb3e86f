"""A server that issues service account tokens, under a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from kplane.api.clock import SystemClock
from kplane.apiserver.auth.serviceaccounts.settings import ServiceAccountSettings
from kplane.apiserver.auth.settings import AuthenticationSettings
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Answer, Api, pod

ISSUER = "https://kubernetes.default.svc"
ACCOUNTS = "/api/v1/namespaces/default/serviceaccounts"


class Shifted(SystemClock):
    """The machine's clock, ahead of it by `ahead`."""

    ahead = timedelta()

    def now(self) -> Any:
        return super().now() + self.ahead


def pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@dataclass
class Accounts:
    """The API, and tokens of its accounts."""

    api: Api
    server: ApiServer
    clock: Shifted
    key: ec.EllipticCurvePrivateKey

    async def token(self, name: str = "robot", **spec: Any) -> str:
        answer = await self.request(name, **spec)
        assert answer.code == 201, answer.body
        text: str = answer.body["status"]["token"]
        return text

    async def request(self, name: str = "robot", **spec: Any) -> Answer:
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": spec}
        return await self.api("POST", f"{ACCOUNTS}/{name}/token", body)

    async def code(self, token: str) -> int:
        """The status with which the token is answered."""
        return (await Api(self.server.app, token)("GET", "/api/v1/namespaces")).code

    async def whoami(self, token: str) -> Any:
        answer = await Api(self.server.app, token)(
            "POST",
            "/apis/authentication.k8s.io/v1/selfsubjectreviews",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"},
        )
        assert answer.code == 201, answer.body
        return answer.body["status"]["userInfo"]

    async def review(self, token: str, *audiences: str) -> Any:
        spec: dict[str, Any] = {"token": token} | ({"audiences": list(audiences)} if audiences else {})
        body = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec}
        return (await self.api("POST", "/apis/authentication.k8s.io/v1/tokenreviews", body)).body["status"]

    async def make_pod(self, name: str = "web", node: str = "") -> Any:
        spec: dict[str, Any] = {"serviceAccountName": "robot"} | ({"nodeName": node} if node else {})
        return await self.api.make("/api/v1/namespaces/default/pods", pod(name, **spec))


def claims(token: str) -> Any:
    return jwt.decode(token, options={"verify_signature": False})


def forged(token: str, key: Any, algorithm: str | None = "ES256", *, kid: str = "", **changes: Any) -> str:
    """The token's claims, changed and signed by somebody."""
    content = {name: value for name, value in (claims(token) | changes).items() if value is not None}
    headers = {"kid": kid} if kid else {}
    return jwt.PyJWS().encode(json.dumps(content).encode(), key, algorithm=algorithm, headers=headers)


@pytest.fixture
async def accounts(config: ApiServerConfig, tmp_path: Path) -> AsyncIterator[Accounts]:
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "sa.key"
    path.write_bytes(pem(key))
    settings = ServiceAccountSettings(issuers=(ISSUER, "https://former"), signing_key_file=path)
    clock = Shifted()
    authentication = AuthenticationSettings(service_accounts=settings, bootstrap_tokens=True)
    async with ApiServer(replace(config, authentication=authentication), clock) as server:
        api = Api(server.app)
        await api.make(ACCOUNTS, {"metadata": {"name": "robot"}})
        yield Accounts(api, server, clock, key)
