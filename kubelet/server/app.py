"""The node server's HTTP interface: routes, who may use them, and errors as plain text (upstream's form).

Elsewhere: who may pass (gate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from typing import Any
from urllib.parse import parse_qs, unquote

from starlette.responses import StreamingResponse

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import ApiError, BadRequest, NotFound
from kplane.client.codec import encode
from kplane.client.streams.duplex import SocketDuplex
from kplane.client.streams.websocket import HandshakeRefused
from kplane.runtime.health import respond
from kplane.runtime.serving import Hijack, Scope, hijack

from ..runtime.interface import RuntimeFailure
from ..usage import Usage
from . import portforward, remote
from .containers import NodePods
from .gate import Gate
from .logreader import LogOptions, read_log
from .usage import TEXT, resource_metrics, summary

RELAYED_HEADERS = (b"connection", b"upgrade", b"x-stream-protocol-version", b"content-length")

Query = Mapping[str, Sequence[str]]


class NodeServer:
    """The ASGI application. `component` answers health and metrics."""

    def __init__(
        self, pods: NodePods, usage: Usage, gate: Gate, clock: Clock, component: Callable[..., Any]
    ) -> None:
        self._pods = pods
        self._usage = usage
        self._gate = gate
        self._clock = clock
        self._component = component
        self._routes = {
            "containerLogs": self._logs,
            "exec": self._exec,
            "attach": self._attach,
            "portForward": self._port_forward,
        }

    async def __call__(self, scope: Scope, receive: Any, send: Any) -> None:
        try:
            await self._serve(scope, receive, send)
        except ApiError as error:
            await respond(send, error.code, f"{error.message}\n".encode())
        except RuntimeFailure as failure:
            await respond(send, 500, f"{failure}\n".encode())

    async def _serve(self, scope: Scope, receive: Any, send: Any) -> None:
        path: str = scope["raw_path"].decode()
        root, *rest = [unquote(part) for part in path.strip("/").split("/")]
        await self._gate.admit(scope, root)
        if [root, *rest] == ["metrics", "resource"]:
            text = await resource_metrics(self._usage)
            await respond(send, 200, text, TEXT)
            return
        if [root, *rest] == ["stats", "summary"]:
            await respond(send, 200, encode(await summary(self._usage)), "application/json")
            return
        route = self._routes.get(root)
        if route is None:
            await self._component(scope, receive, send)
            return
        query = parse_qs(scope["query_string"].decode(), keep_blank_values=True)
        await route(scope, receive, send, rest, query)

    async def _logs(self, scope: Scope, receive: Any, send: Any, path: list[str], query: Query) -> None:
        namespace, name, container = _parts(path, 3)
        pod = self._pods.pod(namespace, name)
        options = log_options(query, self._clock)
        file, run = await self._pods.log_file(pod, container, previous=flag(query, "previous"))
        if not file.exists():
            scheme = self._pods.runtime_of(pod).scheme
            raise BadRequest(f"unable to retrieve container logs for {scheme}://{run.id}")
        text = read_log(file, options, lambda: self._pods.is_running(pod, run))
        # Ends the reading when the client leaves, which matters to those who follow.
        await StreamingResponse(text, media_type="text/plain")(scope, receive, send)

    async def _exec(self, scope: Scope, receive: Any, send: Any, path: list[str], query: Query) -> None:
        namespace, name, container = _parts(path, 3)
        pod = self._pods.pod(namespace, name)
        run = await self._pods.running(pod, container)
        wanted = wanted_streams(query)
        command = list(query.get("command", ()))
        if not command:
            raise BadRequest("you must specify at least 1 command")
        url = await self._pods.runtime_of(pod).exec_url(
            run.id, command, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        await _remote(scope, url, wanted)

    async def _attach(self, scope: Scope, receive: Any, send: Any, path: list[str], query: Query) -> None:
        namespace, name, container = _parts(path, 3)
        pod = self._pods.pod(namespace, name)
        run = await self._pods.running(pod, container)
        wanted = wanted_streams(query)
        url = await self._pods.runtime_of(pod).attach_url(
            run.id, stdin=wanted.stdin, stdout=wanted.stdout, stderr=wanted.stderr, tty=wanted.tty
        )
        await _remote(scope, url, wanted)

    async def _port_forward(
        self, scope: Scope, receive: Any, send: Any, path: list[str], query: Query
    ) -> None:
        namespace, name = _parts(path, 2)
        pod = self._pods.pod(namespace, name)
        sandbox = await self._pods.sandbox(pod)
        ports = [_number("port", value) for text in query.get("port", ()) for value in text.split(",")]
        url = await self._pods.runtime_of(pod).port_forward_url(sandbox.id, ports)
        connection, socket = _upgrade(scope)
        duplex = SocketDuplex(*await connection.take())
        try:
            if socket:
                await portforward.serve_websocket(duplex, _target(scope), scope["headers"], url, ports)
            else:
                await remote.relay_upgrade(duplex, scope["method"], url, _relayed(scope))
        except HandshakeRefused:
            return  # the client has been told
        finally:
            await duplex.close()


async def _remote(scope: Scope, url: str, wanted: remote.Wanted) -> None:
    connection, socket = _upgrade(scope)
    duplex = SocketDuplex(*await connection.take())
    try:
        if socket:
            await remote.serve_websocket(duplex, _target(scope), scope["headers"], url, wanted)
        else:
            await remote.relay_upgrade(duplex, scope["method"], url, _relayed(scope))
    except HandshakeRefused:
        return  # the client has been told
    finally:
        await duplex.close()


def flag(query: Query, name: str) -> bool:
    """A boolean parameter: `1`, `true`, or present without a value."""
    return query.get(name, ["false"])[0].lower() in ("1", "true", "")


def wanted_streams(query: Query) -> remote.Wanted:
    """Upstream's kubelet takes `input`, `output`, `error`; newer API servers pass on the client's names."""

    def asked(*names: str) -> bool:
        return any(flag(query, name) for name in names)

    tty = asked("tty")
    wanted = remote.Wanted(
        stdin=asked("input", "stdin"),
        stdout=asked("output", "stdout"),
        # A terminal is one stream: what was asked for beside it is passed over, as upstream does.
        stderr=asked("error", "stderr") and not tty,
        tty=tty,
    )
    if not (wanted.stdin or wanted.stdout or wanted.stderr):
        raise BadRequest("you must specify at least 1 of stdin, stdout, stderr")
    return wanted


def log_options(query: Query, clock: Clock) -> LogOptions:
    """Raises BadRequest."""
    since = query.get("sinceTime", [""])[0]
    if seconds := query.get("sinceSeconds"):
        since = rfc3339(clock.now() - timedelta(seconds=_number("sinceSeconds", seconds[0])))
    tail, limit = query.get("tailLines"), query.get("limitBytes")
    stream = query.get("stream", ["All"])[0]
    return LogOptions(
        follow=flag(query, "follow"),
        timestamps=flag(query, "timestamps"),
        tail=_number("tailLines", tail[0]) if tail else None,
        since=since,
        limit=_number("limitBytes", limit[0]) if limit else None,
        stream="" if stream == "All" else stream.lower(),
    )


def _number(name: str, text: str) -> int:
    if not text.isdecimal():
        raise BadRequest(f'invalid {name} "{text}"')
    return int(text)


def _parts(path: list[str], count: int) -> list[str]:
    """Namespace, Pod and container; upstream's form with the Pod's uid before the container is taken too."""
    if len(path) == count + 1:
        del path[2]
    if len(path) != count:
        raise NotFound("404 page not found")
    return path


def _upgrade(scope: Scope) -> tuple[Hijack, bool]:
    """The raw connection, and whether the client wants a WebSocket. Raises BadRequest."""
    connection = hijack(scope)
    if connection is None:
        raise BadRequest("Upgrade request required")
    protocol = dict(scope["headers"]).get(b"upgrade", b"")
    return connection, protocol.lower() == b"websocket"


def _target(scope: Scope) -> str:
    query = scope["query_string"].decode()
    path: str = scope["raw_path"].decode()
    return f"{path}?{query}" if query else path


def _relayed(scope: Scope) -> list[tuple[str, str]]:
    return [
        (name.decode(), value.decode("latin-1"))
        for name, value in scope["headers"]
        if name in RELAYED_HEADERS
    ]
