"""An issuer of JSON Web Tokens behind real TLS, as well or as badly behaved as a test wants it."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeAlias

import jwt
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kplane.api.clock import Clock

AUDIENCE = "kplane"
DISCOVERY, KEYS = "/.well-known/openid-configuration", "/keys"

PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey
Handler: TypeAlias = Callable[[], Awaitable[web.Response]]


def jwk(key: PrivateKey, kid: str = "k1", **more: str) -> dict[str, Any]:
    """The public half of a key, as issuers publish it."""
    public = key.public_key()
    algorithm = (
        jwt.algorithms.RSAAlgorithm if isinstance(public, rsa.RSAPublicKey) else jwt.algorithms.ECAlgorithm
    )
    return {**algorithm.to_jwk(public, as_dict=True), "kid": kid, **more}  # type: ignore[arg-type]


def encoded(content: Mapping[str, Any] | bytes) -> str:
    data = content if isinstance(content, bytes) else json.dumps(content).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


@dataclass
class IssuerServer:
    """`async with IssuerServer(pki, clock, key) as issuer`: `folder` holds a PKI with a certificate for
    127.0.0.1. `answers` replaces what it says, by path."""

    folder: Path
    clock: Clock
    key: PrivateKey
    algorithm: str = "ES256"
    kid: str = "k1"
    keys: list[dict[str, Any]] = field(default_factory=list)
    headers: dict[str, str] = field(default_factory=dict)
    """Of the key set."""
    answers: dict[str, Handler] = field(default_factory=dict)
    asked: list[str] = field(default_factory=list)
    """Paths, in order."""
    url: str = ""

    async def __aenter__(self) -> Self:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.folder / "apiserver.crt", self.folder / "apiserver.key")
        self._tasks: set[asyncio.Task[Any]] = set()
        self._runner = web.ServerRunner(web.Server(self._answer), shutdown_timeout=0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=context)
        await site.start()
        self.url = f"https://127.0.0.1:{self._runner.addresses[0][1]}"
        self.keys = self.keys or [jwk(self.key, self.kid)]
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await self._runner.cleanup()

    @property
    def ca(self) -> str:
        return (self.folder / "ca.crt").read_text()

    def rotate(self, key: PrivateKey, kid: str) -> None:
        """Sign with another key from now on."""
        self.key, self.kid, self.keys = key, kid, [jwk(key, kid)]

    def claims(self, **changes: Any) -> dict[str, Any]:
        now = int(self.clock.now().timestamp())
        content = {"iss": self.url, "aud": AUDIENCE, "sub": "ann", "iat": now, "exp": now + 600} | changes
        return {name: value for name, value in content.items() if value is not None}

    def token(self, **changes: Any) -> str:
        return self.signed(json.dumps(self.claims(**changes)).encode())

    def signed(self, payload: bytes, **headers: Any) -> str:
        return jwt.PyJWS().encode(
            payload, self.key, algorithm=self.algorithm, headers={"kid": self.kid} | headers
        )

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(request.path)
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        if request.path in self.answers:
            return await self.answers[request.path]()
        if request.path == KEYS:
            return web.json_response({"keys": self.keys}, headers=self.headers)
        if request.path == DISCOVERY:
            return web.json_response({"issuer": self.url, "jwks_uri": self.url + KEYS})
        return web.Response(status=404)


def saying(text: str, status: int = 200) -> Handler:
    async def answer() -> web.Response:
        return web.Response(text=text, status=status)

    return answer


def waiting(gate: asyncio.Event, text: str) -> Handler:
    """Says it once the gate is open."""

    async def answer() -> web.Response:
        await gate.wait()
        return web.Response(text=text)

    return answer
