"""The numbers of every message's fields, as data: `data/protobuf.json`, made when kplane is built.

Reads: the file, once, on first use; a message's rows are decoded when they are asked for.
Elsewhere: `deploy/build/protobuf_table.py` makes the file, and knows where the numbers come from.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One field of a message."""

    number: int
    name: str
    """In JSON; empty where the message is shown as this list, or the field is inline."""
    type: str
    """string, bytes, raw, bool, int32, int64, or a message's name: that of its definition in the schema."""
    shape: str = "value"
    """value, pointer, list, map (from strings), or inline: its fields are those of the message around it."""
    omitted: bool = False
    """Whether JSON leaves an empty one out."""
    go_name: str = ""
    """For error messages."""


@cache
def _raw() -> dict[str, msgspec.Raw]:
    """The file, split into undecoded messages."""
    data = Path(__file__).parents[1].joinpath("data", "protobuf.json").read_bytes()
    return msgspec.json.decode(data, type=dict[str, msgspec.Raw])


@cache
def rows(message: str) -> tuple[Row, ...]:
    """The fields of a message. Raises KeyError."""
    return msgspec.json.decode(_raw()[message], type=tuple[Row, ...])


def is_known(message: str) -> bool:
    """Whether the message has numbers, and bodies of it can be read."""
    return message in _raw()


def names() -> list[str]:
    """Every message of the table."""
    return list(_raw())
