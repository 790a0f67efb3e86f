"""`pods/log`: the text of a container's log, from its node's kubelet, as it comes."""

from __future__ import annotations

import base64
import contextlib
import ssl
from collections.abc import AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING
from urllib.parse import quote, urlencode

from starlette.responses import Response, StreamingResponse
from starlette.types import Receive, Scope, Send

from kplane.api import errors
from kplane.api.errors import ApiError, InternalError, from_status
from kplane.api.field import FieldError, Path
from kplane.api.scheme import ResourceInfo
from kplane.client.streams.duplex import SocketDuplex
from kplane.runtime.late import late
from kplane.runtime.serving import Hijack, hijack

from ..http.call import Call
from ..http.requestinfo import is_true
from .connection import NodeConnections, choose_container

if TYPE_CHECKING:
    import aiohttp

    from kplane.client.streams import websocket
else:
    aiohttp = late("aiohttp")
    websocket = late("kplane.client.streams.websocket")

PASSED_ON = ("sinceSeconds", "sinceTime", "tailLines", "limitBytes", "stream")
FLAGS = ("follow", "previous", "timestamps")
SMALLEST = {"tailLines": 0, "sinceSeconds": 1, "limitBytes": 1}
STREAMS = ("All", "Stdout", "Stderr")
TEXT = "base64.binary.k8s.io"
SUBPROTOCOLS = ("", "binary.k8s.io", TEXT)
"""Of a log over WebSocket, as upstream's readers offer them; none is binary, too."""


class PodLogs:
    """The handler of `pods/log`."""

    def __init__(self, nodes: NodeConnections) -> None:
        self._nodes = nodes

    async def __call__(
        self, call: Call, row: ResourceInfo, scope: Scope, receive: Receive, send: Send
    ) -> None:
        if (connection := hijack(scope)) is not None and is_websocket(scope):
            answer = await self._open(call)
            await _over_websocket(scope, connection, answer)
            return
        response = await self._response(call)
        await response(scope, receive, send)

    async def _response(self, call: Call) -> Response:
        answer = await self._open(call)
        if answer is None:
            return Response(b"", media_type="text/plain")
        return StreamingResponse(_text(answer), media_type="text/plain")

    async def _open(self, call: Call) -> aiohttp.ClientResponse | None:
        """The kubelet's answer; None where there is no log to show."""
        info, query = call.info, call.info.query
        pod = await self._nodes.pod(info.namespace, info.name)
        if faults := list(validate(query)):
            raise errors.invalid("PodLogOptions", "", info.name, faults)
        container = choose_container(pod, query.get("container", ""))
        if not pod.spec.node_name:
            return None
        location = await self._nodes.locate(pod.spec.node_name)
        asked = {name: query[name] for name in PASSED_ON if query.get(name)}
        asked |= {name: "true" for name in FLAGS if is_true(query.get(name))}
        path = "/".join(quote(part, safe="") for part in (info.namespace, info.name, container))
        url = f"{location.url}/containerLogs/{path}?{urlencode(asked)}"
        return await open_log(self._nodes.session, url, self._nodes.tls)


def is_websocket(scope: Scope) -> bool:
    return any(name == b"upgrade" and value.lower() == b"websocket" for name, value in scope["headers"])


async def _over_websocket(scope: Scope, connection: Hijack, answer: aiohttp.ClientResponse | None) -> None:
    """The log as messages; an empty one comes first. Source: apimachinery's `wsstream.Reader`."""
    target = f"{scope['path']}?{scope['query_string'].decode('latin-1')}"
    with contextlib.suppress(websocket.HandshakeRefused, ConnectionError):  # Told, or gone: nobody is left.
        client = SocketDuplex(*await connection.take())
        socket = await websocket.accept(client, target, scope["headers"], SUBPROTOCOLS)
        text = socket.subprotocol == TEXT
        await socket.write(b"", text=text)
        if answer is not None:
            async for chunk in _text(answer):
                await socket.write(base64.b64encode(chunk) if text else chunk, text=text)
        await socket.close()
        return
    if answer is not None:
        answer.close()


def validate(query: Mapping[str, str]) -> Iterator[FieldError]:
    """Faults of the log options."""
    for name, smallest in SMALLEST.items():
        text = query.get(name)
        if text is None:
            continue
        number = int(text) if text.lstrip("-").isdecimal() else None
        if number is None:
            yield Path(name).invalid(text, "must be an integer")
        elif number < smallest:
            detail = "must be greater than or equal to 0" if smallest == 0 else "must be greater than 0"
            yield Path(name).invalid(number, detail)
    if "sinceSeconds" in query and "sinceTime" in query:
        yield Path("").forbidden("at most one of `sinceTime` or `sinceSeconds` may be specified")
    if query.get("stream", "All") not in STREAMS:
        yield Path("stream").not_supported(query["stream"], STREAMS)
    if "tailLines" in query and query.get("stream", "All") != "All":
        yield Path("").forbidden("`tailLines` and specific `stream` are mutually exclusive for now")


async def open_log(session: aiohttp.ClientSession, url: str, tls: ssl.SSLContext) -> aiohttp.ClientResponse:
    """The kubelet's answer, its body unread. Raises the error that the kubelet tells of."""
    try:
        answer = await session.get(url, ssl=tls)
    except (aiohttp.ClientError, OSError) as error:
        raise InternalError(f'Get "{url}": {error}') from error
    if answer.status == 200:
        return answer
    async with answer:
        message = (await answer.text(errors="replace")).strip()
    raise relayed(answer.status, message)


def relayed(code: int, message: str) -> ApiError:
    """A kubelet's plain-text error as the API error with that code."""
    return from_status(code, {"message": message})


async def _text(answer: aiohttp.ClientResponse) -> AsyncIterator[bytes]:
    async with answer:
        async for chunk in answer.content.iter_any():
            yield chunk
