"""Bearer tokens of browsers: a page can set no header on a WebSocket, so its token is a subprotocol.

    Sec-WebSocket-Protocol: base64url.bearer.authorization.k8s.io.<token, base64url>, v4.channel.k8s.io

Another subprotocol must be beside it, which the server can agree to. Nobody behind the API server sees the
token: it is taken out of the request.

Source: apiserver `pkg/authentication/request/websocket`.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence

from .identity import Refused

HEADER = b"sec-websocket-protocol"
PREFIX = "base64url.bearer.authorization.k8s.io."

Headers = Sequence[tuple[bytes, bytes]]


def protocol_token(headers: Headers) -> str:
    """The token; empty for a request that is no WebSocket's, or has none. Raises Refused."""
    if not _is_websocket(headers):
        return ""
    offered = [*_offered(headers)]
    tokens = [text.removeprefix(PREFIX) for text in offered if text.startswith(PREFIX)]
    if not tokens:
        return ""
    if len(tokens) > 1:
        raise Refused("multiple base64.bearer.authorization tokens specified")
    if len(offered) == 1:
        raise Refused("missing additional subprotocol")
    try:
        decoded = base64.b64decode(tokens[0] + "=" * (-len(tokens[0]) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise Refused("invalid base64.bearer.authorization token encoding") from error
    try:
        return decoded.decode()
    except UnicodeDecodeError as error:
        raise Refused("invalid base64.bearer.authorization token") from error


def without_token(headers: Headers) -> list[tuple[bytes, bytes]]:
    """The headers, with the other subprotocols alone."""
    kept = ",".join(text for text in _offered(headers) if not text.startswith(PREFIX))
    others = [(name, value) for name, value in headers if name != HEADER]
    return [*others, (HEADER, kept.encode("latin-1"))] if kept else others


def _offered(headers: Headers) -> Iterator[str]:
    for name, value in headers:
        if name == HEADER:
            yield from (text.strip() for text in value.decode("latin-1").split(","))


def _is_websocket(headers: Headers) -> bool:
    """Whether it asks for one: by any of several words of `Connection`."""
    said = {name: value.lower() for name, value in headers if name in (b"connection", b"upgrade")}
    return b"upgrade" in said.get(b"connection", b"") and said.get(b"upgrade") == b"websocket"
