"""Connections: exec, attach and port forwarding are for those who may create them, and they are the operation
CONNECT of admission, whose object is made of the request's query.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import parse_qsl

from msgspec import structs
from starlette.types import Receive, Scope, Send

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..admission.chain import Attributes, Chain, Operation
from ..auth.authorizer import Authorizer, attributes_of, refusal
from .call import Call
from .requestinfo import is_true
from .resources import StreamHandler

REACHING = ("exec", "attach", "portforward")
_FLAGS = ("stdin", "stdout", "stderr", "tty")


def options_row(kind: str) -> ResourceInfo:
    """The row of an options kind, of which nothing but its name is ever served."""
    return ResourceInfo("", "v1", "", "", kind, namespaced=False, definition="")


class AdmittedStream:
    """A handler behind admission. `kind` is that of the subresource's options."""

    def __init__(self, handler: StreamHandler, kind: str, admission: Chain) -> None:
        self._handler = handler
        self._kind = options_row(kind)
        self._admission = admission

    async def __call__(
        self, call: Call, row: ResourceInfo, scope: Scope, receive: Receive, send: Send
    ) -> None:
        info = call.info
        attributes = Attributes(
            operation=Operation.CONNECT,
            info=row,
            subresource=info.subresource,
            namespace=info.namespace_of(row),
            name=info.name,
            object=connect_options(self._kind.kind, scope["query_string"], _rest(call)),
            old=None,
            user=call.user,
            dry_run=False,
            warn=call.warn,
            annotate=call.annotate,
            kind=self._kind,
        )
        await self._admission.admit(attributes)
        await self._admission.validate(attributes)
        await self._handler(call, row, scope, receive, send)


class CreatingStream:
    """A handler of exec and its like, for those who may create them, by whatever method they ask: a WebSocket
    begins with a GET, and who may get must not be able to run anything."""

    def __init__(self, handler: StreamHandler, authorizer: Authorizer) -> None:
        self._handler = handler
        self._authorizer = authorizer

    async def __call__(
        self, call: Call, row: ResourceInfo, scope: Scope, receive: Receive, send: Send
    ) -> None:
        """Raises Forbidden."""
        if call.info.verb != "create":
            asked = structs.replace(attributes_of(call.user, call.info), verb="create")
            verdict = await self._authorizer.authorize(asked)
            if not verdict.allowed:
                raise refusal(asked, ": ".join(filter(None, (verdict.error, verdict.reason))))
        await self._handler(call, row, scope, receive, send)


def creating(
    streams: Mapping[tuple[str, str, str], StreamHandler], authorizer: Authorizer
) -> Mapping[tuple[str, str, str], StreamHandler]:
    """The handlers by (group, plural, subresource), those that reach into Pods for who may create them."""
    reaching = [("", "pods", subresource) for subresource in REACHING]
    return {
        key: CreatingStream(handler, authorizer) if key in reaching else handler
        for key, handler in streams.items()
    }


def admitted(
    streams: Mapping[tuple[str, str, str], StreamHandler],
    rows: Mapping[tuple[str, str, str], ResourceInfo],
    admission: Chain,
) -> Mapping[tuple[str, str, str], StreamHandler]:
    """The handlers by (group, plural, subresource), those that connect behind admission; reading a log is no
    connection. `rows` are the scheme's."""
    found: dict[tuple[str, str, str], StreamHandler] = {}
    for key, handler in streams.items():
        kinds = [
            sub.kind
            for row in rows.values()
            if (row.group, row.plural) == key[:2] and (sub := row.subresource(key[2])) is not None
        ]
        connects = bool(kinds) and kinds[0].endswith("Options")
        found[key] = AdmittedStream(handler, kinds[0], admission) if connects else handler
    return found


def _rest(call: Call) -> str:
    """The path that a proxy is asked for, with the slashes that it was asked with."""
    path = f"/{call.info.rest}" if call.info.rest else ""
    return f"{path}/" if call.info.path.endswith("/") and not path.endswith("/") else path


def connect_options(kind: str, query: bytes, rest: str = "") -> Object:
    """PodExecOptions and their like, as the query says them; `rest` is what follows the subresource."""
    pairs = parse_qsl(query.decode("latin-1"), keep_blank_values=True)
    first = dict(reversed(pairs))
    options: Object = {"kind": kind, "apiVersion": "v1"}
    if kind == "PodPortForwardOptions":
        listed = (part for name, value in pairs if name == "ports" for part in value.split(","))
        ports = [int(part) for part in listed if part.isascii() and part.isdigit()]
        return options | ({"ports": ports} if ports else {})
    if kind.endswith("ProxyOptions"):
        return options | ({"path": rest} if rest else {})
    # Without a choice, upstream's defaults: output and errors.
    wanted = {"stdout": "true", "stderr": "true"} | first
    options |= {name: True for name in _FLAGS if is_true(wanted.get(name))}
    if container := first.get("container"):
        options["container"] = container
    if kind == "PodExecOptions":
        options["command"] = [value for name, value in pairs if name == "command"]
    return options
