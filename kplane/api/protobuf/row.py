"""What the table says of one field of a message."""

from __future__ import annotations

import msgspec


class Row(msgspec.Struct, array_like=True, frozen=True):
    """One field of a message."""

    number: int
    name: str
    """In JSON; empty where the message is shown as this list, or the field is inline."""
    type: str
    """string, bytes, raw, bool, int32, int64, double, or a message's name, which is its definition's."""
    shape: str = "value"
    """value, pointer, list, map (from strings), or inline: its fields are those of the message around it."""
    omitted: bool = False
    """Whether JSON leaves an empty one out."""
    go_name: str = ""
    """For error messages."""
