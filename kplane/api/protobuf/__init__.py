"""Bodies in protobuf, the form that stock clients of built-in kinds send, from and to JSON-shaped objects.

`unwrap` opens Kubernetes' envelope, `decode` makes of what is in it the object that Go's JSON encoder would
have written; `encode` and `wrap` are the way back.

Invariant: whatever comes in, the only exception is `DecodeError`.
"""

from __future__ import annotations

from kplane.api.decode_error import DecodeError
from kplane.api.protobuf.encoder import encode, encode_event, encode_field
from kplane.api.protobuf.envelope import MAGIC, Envelope, unwrap, wrap
from kplane.api.protobuf.message import decode
from kplane.api.protobuf.table import is_known

__all__ = [
    "MAGIC",
    "DecodeError",
    "Envelope",
    "decode",
    "encode",
    "encode_event",
    "encode_field",
    "is_known",
    "unwrap",
    "wrap",
]
