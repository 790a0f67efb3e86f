"""LIST: cached bytes spliced into one document, sent in chunks, never decoded."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence

import msgspec
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from kplane.api.clock import Clock
from kplane.api.errors import Expired
from kplane.api.resource import Object

from ..audit import latency
from ..registry.generic import Registry
from ..storage.events import Item
from ..storage.listing import Listing
from ..storage.store import Compacted
from . import revisions
from .call import Call
from .negotiation import JSON, Output
from .output import render_list
from .selection import converted_fields, selection_of
from .transforms import Form

CHUNK = 256
"""Objects that are joined into one write: large enough to be cheap, small enough for other requests."""
GZIP_MIN = 128 * 1024
_GZIP = 16 + zlib.MAX_WBITS
_LOOPBACK = ("127.", "::1", "::ffff:127.")


async def read_page(call: Call, registry: Registry) -> Listing:
    """The page of objects that the request asks for. Raises BadRequest, Invalid, Expired, Timeout."""
    limit = revisions.check_numbers(call)
    # As upstream, what the cache has at hand is given whole.
    if call.query("resourceVersion") == "0":
        limit = 0
    prefix = registry.cache.key("", "")
    start = revisions.list_from(call, prefix, limit)
    selection, converted = selection_of(call, registry), converted_fields(call, registry)
    asked = 0 if converted else limit
    try:
        page = await registry.cache.list(
            selection, at_least=start.at_least, exact=start.exact, limit=asked, start=start.start
        )
    except Compacted as error:
        if call.query("continue"):
            token = revisions.encode_continue(-1, start.start.removeprefix(prefix))
            raise revisions.ContinueExpired(token) from error
        raise Expired(revisions.LIST_EXPIRED) from error
    return await converted.page(page, limit) if converted else page


async def list_response(call: Call, registry: Registry, output: Output, form: Form, clock: Clock) -> Response:
    page = await read_page(call, registry)
    metadata = list_metadata(page, registry.cache.key("", ""))
    plain = not output.form and output.media_type == JSON and not call.pretty
    if plain and all(registry.is_served(item.wire) for item in page.items):
        return SplicedList(call, registry, page, metadata)
    with latency.timing(latency.DECODE):
        objects = await registry.objects([item.wire for item in page.items])
    with latency.timing(latency.TRANSFORM):
        listing = form.listing(objects, metadata)
    with latency.timing(latency.SERIALIZE):
        body = await render_list(call, listing, output, clock)
    return Response(body, media_type=output.media_type)


def list_metadata(page: Listing, prefix: str) -> Object:
    """The list's metadata; a continue token where the page is not the last."""
    metadata: Object = {"resourceVersion": str(page.revision)}
    if page.next:
        metadata["continue"] = revisions.encode_continue(page.revision, page.next.removeprefix(prefix))
        if page.remaining:
            metadata["remainingItemCount"] = page.remaining
    return metadata


class SplicedList(Response):
    """A JSON list made of the items' bytes. As upstream, items carry no kind, unless they are custom."""

    def __init__(self, call: Call, registry: Registry, page: Listing, metadata: Object) -> None:
        self.status_code = 200
        self._items = page.items
        row = registry.info
        head = {"kind": row.list_kind, "apiVersion": row.api_version, "metadata": metadata}
        self._head = msgspec.json.encode(head)[:-1] + b',"items":['
        self._skip = 1 if row.custom else len(f'{{"kind":"{row.kind}","apiVersion":"{row.api_version}",')
        self._gzip = _worth_compressing(call, page.items)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", JSON.encode())]
        if self._gzip:
            headers += [(b"content-encoding", b"gzip"), (b"vary", b"Accept-Encoding")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        chunks = _compressed(self._chunks()) if self._gzip else self._chunks()
        for chunk in chunks:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b"", "more_body": False})

    def _chunks(self) -> Iterator[bytes]:
        items, skip = self._items, self._skip
        before = self._head
        for start in range(0, len(items), CHUNK):
            part = b",{".join([item.wire[skip:] for item in items[start : start + CHUNK]])
            yield b"%s{%s" % (before, part)
            before = b","
        yield (b"" if items else self._head) + b"]}\n"


def _worth_compressing(call: Call, items: Sequence[Item]) -> bool:
    """Whether the client asked for gzip and the network gains more by it than the processor loses."""
    if "gzip" not in call.header(b"accept-encoding"):
        return False
    client = call.scope.get("client")
    if client is None or str(client[0]).startswith(_LOOPBACK):
        return False
    size = 0
    for item in items:
        size += len(item.wire)
        if size >= GZIP_MIN:
            return True
    return False


def _compressed(chunks: Iterator[bytes]) -> Iterator[bytes]:
    packer = zlib.compressobj(1, zlib.DEFLATED, _GZIP)
    for chunk in chunks:
        if packed := packer.compress(chunk):
            yield packed
    yield packer.flush()
