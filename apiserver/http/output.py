"""Objects as response bodies: wire bytes as they are, or as YAML, indented, or in another form.

The common case, JSON of one stored object, passes the cache's bytes through untouched.
"""

from __future__ import annotations

import msgspec
import yaml
from starlette.responses import Response

from kplane.api.resource import Object

from ..storage import codec
from .call import Call
from .negotiation import JSON, YAML, Output
from .transforms import Form

_encoder = msgspec.json.Encoder()
_Dumper = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


def wire_response(
    call: Call, output: Output, wire: bytes, form: Form | None = None, code: int = 200
) -> Response:
    """One stored object."""
    if form is None and output.media_type == JSON:
        return Response(finish(call, wire), code, media_type=JSON)
    obj = codec.decode(wire)
    shown = form.single(obj) if form else obj
    return Response(render(call, shown, output), code, media_type=output.media_type)


def object_response(call: Call, obj: Object, code: int = 200) -> Response:
    """An object that is not stored as such: a Status, a Scale, a discovery document."""
    output = call.output(convertible=False)
    return Response(render(call, obj, output), code, media_type=output.media_type)


def render(call: Call, obj: Object, output: Output) -> bytes:
    if output.media_type == YAML:
        text: str = yaml.dump(obj, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=1 << 30)
        return text.encode()
    return finish(call, _encoder.encode(obj))


def finish(call: Call, body: bytes) -> bytes:
    """JSON as it is sent: indented for people, and with a line end."""
    return (msgspec.json.format(body, indent=2) if call.pretty else body) + b"\n"
