"""The numbers of every message's fields, as data: `data/protobuf.json`, made when kplane is built.

Reads: the file, once, on first use; a message's rows are decoded when they are asked for.
Elsewhere: `deploy/build/protobuf_table.py` makes the file, and knows where the numbers come from; what it
cannot find out is in `extensions.py`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec

from kplane.api.protobuf.extensions import messages
from kplane.api.protobuf.row import Row

__all__ = ["Row", "is_known", "names", "rows"]


@cache
def _raw() -> dict[str, msgspec.Raw]:
    """The file, split into undecoded messages."""
    data = Path(__file__).parents[1].joinpath("data", "protobuf.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


@cache
def rows(message: str) -> tuple[Row, ...]:
    """The fields of a message. Raises KeyError."""
    if (found := messages().get(message)) is not None:
        return found
    return msgspec.json.decode(_raw()[message], type=tuple[Row, ...])


def is_known(message: str) -> bool:
    """Whether the message has numbers, and bodies of it can be read."""
    return message in _raw() or message in messages()


def names() -> list[str]:
    """Every message of the table."""
    return [*_raw(), *messages()]
