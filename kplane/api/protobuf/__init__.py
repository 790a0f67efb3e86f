"""Bodies in protobuf, the form in which stock clients of built-in kinds send them, into JSON-shaped objects.

`unwrap` opens Kubernetes' envelope, `decode` makes of what is in it the object that Go's JSON encoder would
have written. Reads only: kplane answers in JSON, which every client that sends protobuf takes as well.

Invariant: whatever comes in, the only exception is `DecodeError`.
"""

from __future__ import annotations

from kplane.api.decode_error import DecodeError
from kplane.api.protobuf.envelope import MAGIC, Envelope, unwrap
from kplane.api.protobuf.message import decode
from kplane.api.protobuf.table import is_known

__all__ = ["MAGIC", "DecodeError", "Envelope", "decode", "is_known", "unwrap"]
