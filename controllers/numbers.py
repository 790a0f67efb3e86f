"""Numbers in annotations and statuses, as Go reads them: anybody may have written anything there."""

from __future__ import annotations

import re

_INTEGER = re.compile(r"[+-]?[0-9]{1,40}", re.ASCII).fullmatch


def integer(text: str, *, bits: int = 32) -> int | None:
    """The signed number of so many bits that the text is; None where it is none."""
    if _INTEGER(text) is None:
        return None
    number = int(text)
    return number if -(1 << bits - 1) <= number < 1 << bits - 1 else None
