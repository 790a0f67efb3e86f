"""Objects as response bodies: wire bytes as they are, or as YAML or protobuf, indented, or in another form.

The common case, JSON of one stored object, passes the cache's bytes through untouched.
"""

from __future__ import annotations

import msgspec
import yaml
from starlette.responses import Response

from kplane.api.clock import Clock
from kplane.api.resource import Object

from ..audit import latency
from ..storage import codec
from . import binary
from .call import Call
from .negotiation import JSON, PROTOBUF, YAML, Output
from .transforms import Form

CHUNK = 64
"""Objects of a list that are rendered at a time, before other requests have a turn."""
_encoder = msgspec.json.Encoder()
_JSON_TYPE = (b"content-type", JSON.encode())
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def wire_response(
    call: Call, output: Output, wire: bytes, form: Form | None = None, code: int = 200
) -> Response:
    """One stored object."""
    if form is None and output.media_type == JSON:
        return _Json(finish(call, wire), code)
    with latency.timing(latency.DECODE):
        obj = codec.decode(wire)
    with latency.timing(latency.TRANSFORM):
        shown = form.single(obj) if form else obj
    with latency.timing(latency.SERIALIZE):
        body = render(call, shown, output)
    return Response(body, code, media_type=output.media_type)


class _Json(Response):
    """Starlette's would look at what else it might be told."""

    def __init__(self, body: bytes, code: int) -> None:
        self.status_code, self.body, self.background = code, body, None
        self.raw_headers = [(b"content-length", b"%d" % len(body)), _JSON_TYPE]


def object_response(call: Call, obj: Object, code: int = 200) -> Response:
    """An object that is not stored as such: a Status, a Scale, a discovery document."""
    output = call.output(convertible=False)
    return Response(render(call, obj, output), code, media_type=output.media_type)


def render(call: Call, obj: Object, output: Output) -> bytes:
    if output.media_type == YAML:
        return _yaml(obj)
    if output.media_type == PROTOBUF:
        return binary.body(obj)
    return finish(call, _encoder.encode(obj))


async def render_list(call: Call, listing: Object, output: Output, clock: Clock) -> bytes:
    """A list, whose `items` come last. JSON is written in no time; anything else takes so long for thousands
    of objects that other requests are let in between."""
    # A Table has rows.
    items = listing.get("items")
    if output.media_type == JSON or not items:
        return render(call, listing, output)
    in_yaml = output.media_type == YAML
    head = {name: value for name, value in listing.items() if name != "items"}
    parts = [_yaml(head) + b"items:\n"] if in_yaml else []
    for start in range(0, len(items), CHUNK):
        part = items[start : start + CHUNK]
        parts.append(_yaml(part) if in_yaml else binary.items(listing, part))
        await clock.sleep(0)
    return b"".join(parts) if in_yaml else binary.body(head, b"".join(parts))


def _yaml(value: object) -> bytes:
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
    return text.encode()


def finish(call: Call, body: bytes) -> bytes:
    """JSON as it is sent: indented for people, and with a line end."""
    return (msgspec.json.format(body, indent=2) if call.pretty else body) + b"\n"
