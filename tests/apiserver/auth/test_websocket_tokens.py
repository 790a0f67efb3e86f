"""Tokens of browsers, which a WebSocket carries as a subprotocol."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kplane.apiserver.auth.websockettokens import without_token

from ..conftest import Api

PREFIX = "base64url.bearer.authorization.k8s.io."
UPGRADE = {"Connection": "keep-alive, Upgrade", "Upgrade": "WebSocket"}
PATH = "/api/v1/namespaces"


def offered(token: str | bytes, *others: str) -> dict[str, str]:
    encoded = base64.urlsafe_b64encode(token if isinstance(token, bytes) else token.encode()).rstrip(b"=")
    return {"Sec-WebSocket-Protocol": ", ".join((PREFIX + encoded.decode(), *others))}


async def code(server: Any, headers: dict[str, str]) -> int:
    return (await Api(server.app, "").transport.request("GET", PATH, headers=headers)).status


async def test_a_subprotocol_is_who_one_is(server: Any) -> None:
    assert await code(server, UPGRADE | offered("secret", "v4.channel.k8s.io")) == 200
    assert await code(server, UPGRADE | offered("wrong", "v4.channel.k8s.io")) == 401
    # Of nothing but WebSockets: a page could not be kept from setting it otherwise.
    assert await code(server, offered("secret", "v4.channel.k8s.io")) in (401, 403)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param(offered("secret"), id="nothing to agree to"),
        pytest.param(offered("secret", offered("secret")["Sec-WebSocket-Protocol"], "x"), id="two tokens"),
        pytest.param({"Sec-WebSocket-Protocol": f"{PREFIX}c2Vj$, x"}, id="encoding"),
        pytest.param(offered(b"\xff\xfe", "x"), id="no text"),
    ],
)
async def test_what_is_no_token_is_refused(server: Any, headers: dict[str, str]) -> None:
    assert await code(server, UPGRADE | headers) == 401


async def test_a_bad_header_does_not_keep_a_good_subprotocol_out(server: Any) -> None:
    headers = UPGRADE | offered("secret", "x") | {"Authorization": "Bearer wrong"}

    assert await code(server, headers) == 200


def test_nobody_behind_the_server_sees_the_token() -> None:
    name = b"sec-websocket-protocol"
    sent = [(b"host", b"h"), (name, f"{PREFIX}c2Vj, v4".encode()), (name, b"v5")]

    assert without_token(sent) == [(b"host", b"h"), (name, b"v4,v5")]
    assert without_token([(name, f"{PREFIX}c2Vj".encode())]) == []
