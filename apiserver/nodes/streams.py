"""`pods/exec`, `pods/attach`, `pods/portforward`: the client's connection, relayed to the kubelet's.

The client asks for an upgrade (WebSocket or SPDY); the same request goes to the kubelet, and from its answer
on bytes pass both ways unread. Which protocols there are is between the client and the kubelet.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import parse_qsl, quote, urlencode

from starlette.types import Receive, Scope, Send

from kplane.api.errors import BadRequest, InternalError
from kplane.api.scheme import ResourceInfo
from kplane.api.types import Pod
from kplane.client.streams.duplex import SocketDuplex, relay
from kplane.client.streams.upgrade import open_upgrade
from kplane.runtime.serving import hijack

from ..http.call import Call
from ..http.requestinfo import is_true
from .connection import NodeConnections, choose_container
from .logs import relayed

KUBELET_FLAGS = {"stdin": "input", "stdout": "output", "stderr": "error", "tty": "tty"}
"""The API's names of the wanted streams, and the kubelet's."""

DROPPED_HEADERS = frozenset({b"host", b"authorization", b"cookie"})
"""Never passed on: the kubelet learns who asks from our certificate."""

ERROR_BODY_LIMIT = 64 * 1024


class PodStream:
    """The handler of one of the three subresources; `kind` is its name towards the kubelet."""

    def __init__(self, nodes: NodeConnections, kind: str) -> None:
        self._nodes = nodes
        self._kind = kind

    async def __call__(
        self, call: Call, row: ResourceInfo, scope: Scope, receive: Receive, send: Send
    ) -> None:
        info = call.info
        pod = await self._nodes.pod(info.namespace, info.name)
        pairs = parse_qsl(scope["query_string"].decode("latin-1"), keep_blank_values=True)
        path, query = self._target(pod, pairs)
        if not pod.spec.node_name:
            raise BadRequest(f"pod {info.name} does not have a host assigned")
        connection = hijack(scope)
        if connection is None:
            raise BadRequest("Upgrade request required")
        location = await self._nodes.locate(pod.spec.node_name)
        url = f"{location.url}/{path}?{urlencode(query)}"
        headers = [
            (name.decode("latin-1"), value.decode("latin-1"))
            for name, value in scope["headers"]
            if name not in DROPPED_HEADERS
        ]
        try:
            answer = await open_upgrade(scope["method"], url, headers, tls=self._nodes.tls)
        except ConnectionError as error:
            raise InternalError(f"error dialing backend: {error}") from error
        if answer.status != 101:
            raise await _refusal(answer.status, answer.headers, answer.duplex)
        if call.audit is not None:
            await call.audit.responds(101)
        client = SocketDuplex(*await connection.take())
        await client.write(answer.head)
        await relay(client, answer.duplex)

    def _target(self, pod: Pod, pairs: Sequence[tuple[str, str]]) -> tuple[str, list[tuple[str, str]]]:
        """Path and query of the kubelet's request. Raises BadRequest."""
        names = [self._kind, pod.metadata.namespace, pod.metadata.name]
        if self._kind == "portForward":
            return _path(names), [("port", value) for name, value in pairs if name == "ports"]
        first = dict(reversed(pairs))
        names.append(choose_container(pod, first.get("container", "")))
        # Without a choice, upstream's defaults: output and errors.
        wanted = {"stdout": "true", "stderr": "true"} | first
        query = [(there, "1") for here, there in KUBELET_FLAGS.items() if is_true(wanted.get(here))]
        query += [(name, value) for name, value in pairs if name == "command"]
        return _path(names), query


def _path(names: Sequence[str]) -> str:
    return "/".join(quote(name, safe="") for name in names)


async def _refusal(status: int, headers: dict[str, str], duplex: SocketDuplex) -> Exception:
    """The kubelet's error, which stands in the body of its answer."""
    length = headers.get("content-length", "0")
    wanted = min(int(length) if length.isdecimal() else 0, ERROR_BODY_LIMIT)
    body = b""
    while len(body) < wanted and (data := await duplex.read()):
        body += data
    await duplex.close()
    return relayed(status, body.decode(errors="replace").strip())
