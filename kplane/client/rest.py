"""The REST client: typed reads, plain-object writes, errors as `kplane.api.errors`.

`what` is a View class (`Pod`), or a `Resource` such as `info.resource` for undecoded objects. Reads decode
straight from the wire into the view. Writes send a plain object or a patch: a view is never written back.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Literal, TypeVar

import msgspec

from kplane.api.clock import Clock, SystemClock
from kplane.api.errors import InternalError
from kplane.api.resource import Object, Resource, resource_of
from kplane.client import codec
from kplane.client.kubeconfig import Credentials
from kplane.client.transport import Response, Stream, Transport
from kplane.client.transport_https import HttpsTransport

T = TypeVar("T")

JSON = "application/json"

MAX_RETRIES = 10
"""How often a request is sent again when the server asks for it with `Retry-After`; client-go's number."""


class PatchType(StrEnum):
    JSON = "application/json-patch+json"
    MERGE = "application/merge-patch+json"
    STRATEGIC = "application/strategic-merge-patch+json"
    APPLY = "application/apply-patch+yaml"


@dataclass(frozen=True, slots=True)
class Listing(Generic[T]):
    """One page of a list. Pass `continue_token` on for the next one; empty on the last."""

    items: Sequence[T]
    resource_version: str
    continue_token: str = ""
    remaining: int = 0


@dataclass(frozen=True, slots=True)
class WatchEvent(Generic[T]):
    """`object` is None for BOOKMARK; its revision is in `resource_version` for every type."""

    type: Literal["ADDED", "MODIFIED", "DELETED", "BOOKMARK"]
    object: T | None
    resource_version: str


class Client:
    """All calls raise `ApiError` subclasses; `Unreachable` where no answer came."""

    def __init__(
        self, transport: Transport, *, user_agent: str = "kplane", clock: Clock | None = None
    ) -> None:
        self.transport = transport
        self.user_agent = user_agent
        self._clock = clock or SystemClock()

    async def get(self, what: type[T] | Resource[T], name: str, namespace: str = "") -> T:
        resource = resource_of(what)
        response = await self._send("GET", resource.path(namespace, name))
        return codec.codec(resource.view).one(response.body)

    async def list(
        self,
        what: type[T] | Resource[T],
        namespace: str = "",
        *,
        label_selector: str = "",
        field_selector: str = "",
        limit: int = 0,
        continue_token: str = "",
        resource_version: str | None = None,
    ) -> Listing[T]:
        """One page (with `limit` 0: everything). `resource_version` "0" allows the cache's state."""
        resource = resource_of(what)
        query = _set(
            labelSelector=label_selector,
            fieldSelector=field_selector,
            limit=str(limit or ""),
            resourceVersion=resource_version or "",
        )
        query |= _set(**{"continue": continue_token})
        response = await self._send("GET", resource.path(namespace), query)
        return listing(resource, response.body)

    async def create(
        self,
        what: type[T] | Resource[T],
        body: Object,
        namespace: str = "",
        *,
        name: str = "",
        subresource: str = "",
        field_manager: str = "",
    ) -> T:
        """POST. The namespace is that of the body where none is given. `name` with `subresource` posts to
        e.g. `pods/NAME/binding`; the answer then decodes as `what` only if it is one (otherwise use raw)."""
        resource = resource_of(what)
        namespace = namespace or body.get("metadata", {}).get("namespace", "")
        path = resource.path(namespace, name, subresource)
        return await self._write("POST", resource, path, body, _set(fieldManager=field_manager))

    async def update(
        self, what: type[T] | Resource[T], body: Object, *, subresource: str = "", field_manager: str = ""
    ) -> T:
        """PUT of a whole object, to the place that its metadata names."""
        resource = resource_of(what)
        metadata = body["metadata"]
        path = resource.path(metadata.get("namespace", ""), metadata["name"], subresource)
        return await self._write("PUT", resource, path, body, _set(fieldManager=field_manager))

    async def patch(
        self,
        what: type[T] | Resource[T],
        name: str,
        namespace: str,
        patch: Object | Sequence[Object],
        *,
        kind: PatchType = PatchType.MERGE,
        subresource: str = "",
        field_manager: str = "",
        force: bool = False,
    ) -> T:
        resource = resource_of(what)
        query = _set(fieldManager=field_manager, force="true" if force else "")
        path = resource.path(namespace, name, subresource)
        return await self._write("PATCH", resource, path, patch, query, kind.value)

    async def delete(
        self,
        what: type[T] | Resource[T],
        name: str,
        namespace: str = "",
        *,
        uid: str = "",
        resource_version: str = "",
        grace_seconds: int | None = None,
        propagation: Literal["", "Background", "Foreground", "Orphan"] = "",
    ) -> None:
        """`uid` and `resource_version` are preconditions: Conflict where they do not hold."""
        options: Object = {}
        if preconditions := _set(uid=uid, resourceVersion=resource_version):
            options["preconditions"] = preconditions
        if grace_seconds is not None:
            options["gracePeriodSeconds"] = grace_seconds
        if propagation:
            options["propagationPolicy"] = propagation
        if options:
            options = {"kind": "DeleteOptions", "apiVersion": "v1", **options}
        await self._send("DELETE", resource_of(what).path(namespace, name), body=options or None)

    async def watch(
        self,
        what: type[T] | Resource[T],
        namespace: str = "",
        *,
        resource_version: str = "",
        label_selector: str = "",
        field_selector: str = "",
        bookmarks: bool = True,
        timeout_seconds: int | None = None,
    ) -> AsyncIterator[WatchEvent[T]]:
        """One watch request; ends when the server ends it. Raises Expired where history is gone.
        Resuming is the informer's business."""
        resource = resource_of(what)
        query = _set(
            watch="true",
            resourceVersion=resource_version,
            labelSelector=label_selector,
            fieldSelector=field_selector,
            allowWatchBookmarks="true" if bookmarks else "",
            timeoutSeconds=str(timeout_seconds or ""),
        )
        decode = codec.codec(resource.view).one
        async with (
            self.stream(resource.path(namespace), query=query) as stream,
            aclosing(stream.lines()) as lines,  # type: ignore[type-var]
        ):
            async for line in lines:
                yield _event(codec.frame(line), decode)

    @asynccontextmanager
    async def stream(
        self, path: str, *, query: Mapping[str, str] | None = None, accept: str = JSON
    ) -> AsyncIterator[Stream]:
        """A GET whose body arrives over time: logs, and watches in another form than objects."""
        headers = self._headers(accept)
        async with self.transport.stream("GET", path, query=query, headers=headers) as stream:
            if stream.status >= 400:
                body = b"".join([chunk async for chunk in stream.chunks()])
                raise codec.error_from(Response(stream.status, stream.headers, body))
            yield stream

    async def raw(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        query: Mapping[str, str] | None = None,
        accept: str = JSON,
        content_type: str = JSON,
    ) -> bytes:
        """Any other request (tokens, bindings, discovery, /metrics); `body` is encoded as JSON. `accept` and
        `content_type` where another form is wanted, such as a Table, or sent, such as a patch."""
        response = await self._send(method, path, dict(query or {}), body, content_type, accept)
        return response.body

    async def close(self) -> None:
        await self.transport.close()

    async def _write(
        self,
        method: str,
        resource: Resource[T],
        path: str,
        body: Any,
        query: dict[str, str],
        content_type: str = JSON,
    ) -> T:
        response = await self._send(method, path, query, body, content_type)
        return codec.codec(resource.view).one(response.body)

    async def _send(
        self,
        method: str,
        path: str,
        query: Mapping[str, str] | None = None,
        body: Any = None,
        content_type: str = JSON,
        accept: str = JSON,
    ) -> Response:
        """The answer, if it is a success; the error that it stands for otherwise."""
        headers = self._headers(accept)
        data = b""
        if body is not None:
            data = codec.encode(body)
            headers["Content-Type"] = content_type
        for attempt in range(MAX_RETRIES + 1):
            response = await self.transport.request(method, path, query=query, headers=headers, body=data)
            if response.status < 400:
                return response
            error = codec.error_from(response)
            wait = _retry_delay(method, response)
            if wait is None or attempt == MAX_RETRIES:
                raise error
            await self._clock.sleep(wait)
        raise AssertionError("the last attempt returns or raises")

    def _headers(self, accept: str) -> dict[str, str]:
        return {"Accept": accept, "User-Agent": self.user_agent}


def connect(credentials: Credentials, *, user_agent: str = "kplane", clock: Clock | None = None) -> Client:
    """A client over HTTPS. Nothing is sent until the first call."""
    return Client(HttpsTransport(credentials, clock), user_agent=user_agent, clock=clock)


def listing(resource: Resource[T], body: bytes) -> Listing[T]:
    """A list from the wire."""
    page = codec.codec(resource.view).list(body)
    meta = page.metadata
    return Listing(
        page.items or (), meta.resource_version, meta.continue_token, meta.remaining_item_count or 0
    )


def _retry_delay(method: str, response: Response) -> int | None:
    """Seconds after which the same request may be sent again, None if it must not be.

    429 and 503 with `Retry-After` say that the request was refused before it had any effect. Other server
    errors may come from a write that did happen: only reads are repeated after them.
    """
    if response.status not in (429, 503) and (response.status < 500 or method != "GET"):
        return None
    return codec.retry_after(response)


def _event(frame: codec.Frame, decode: Callable[[msgspec.Raw], T]) -> WatchEvent[T]:
    kind = frame.type
    if kind == "BOOKMARK":
        return WatchEvent("BOOKMARK", None, codec.bookmark_revision(frame.object))
    if kind in ("ADDED", "MODIFIED", "DELETED"):
        obj = decode(frame.object)
        return WatchEvent(kind, obj, codec.revision_of(obj))  # type: ignore[arg-type]
    if kind == "ERROR":
        raise codec.error_from_frame(frame.object)
    raise InternalError(f"the server sent a watch event of unknown type {kind!r}")


def _set(**values: str) -> dict[str, str]:
    """Those of the values that are not empty."""
    return {name: value for name, value in values.items() if value}
