"""Strings, as cel-go's `ext.Strings`: `charAt`, `indexOf`, `split`, `format`, `strings.quote` and others."""

from __future__ import annotations

from collections.abc import Sequence

from .. import charges
from ..errors import EvaluationError
from ..formatting import formatted
from ..overload import Overload, function, method
from ..types import DYN, INT, STRING, list_of

_LOWER = str.maketrans({chr(code): chr(code + 32) for code in range(ord("A"), ord("Z") + 1)})
_UPPER = str.maketrans({chr(code): chr(code - 32) for code in range(ord("a"), ord("z") + 1)})
_SPACE = "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
_SPACE += "\u2028\u2029\u202f\u205f\u3000"
_QUOTED = str.maketrans(
    {
        "\a": "\\a",
        "\b": "\\b",
        "\f": "\\f",
        "\n": "\\n",
        "\r": "\\r",
        "\t": "\\t",
        "\v": "\\v",
        "\\": "\\\\",
        '"': '\\"',
    }
)


def _out_of_range(index: int) -> EvaluationError:
    return EvaluationError(f"index out of range: {index}")


def _char_at(text: str, index: int) -> str:
    if not 0 <= index <= len(text):
        raise _out_of_range(index)
    return text[index : index + 1]


def _index_of(text: str, part: str, offset: int = 0) -> int:
    if not part:
        return offset
    if not 0 <= offset < len(text):
        if not text and not offset:
            return -1
        raise _out_of_range(offset)
    return text.find(part, offset)


def _last_index_of(text: str, part: str, offset: int | None = None) -> int:
    if not part:
        return len(text) if offset is None else offset
    if offset is None:
        return text.rfind(part)
    if not 0 <= offset < len(text):
        raise _out_of_range(offset)
    return text.rfind(part, 0, min(offset, len(text)) + len(part))


def _replace(text: str, old: str, new: str, count: int = -1) -> str:
    return text.replace(old, new, count)


def _split(text: str, separator: str, limit: int = -1) -> list[str]:
    """As Go's SplitN: no limit below zero, nothing for zero; an empty separator splits into characters."""
    if limit == 0:
        return []
    if separator:
        return text.split(separator, limit - 1 if limit > 0 else -1)
    if limit < 0 or limit >= len(text):
        return list(text)
    return [*text[: limit - 1], text[limit - 1 :]]


def _substring(text: str, start: int, end: int | None = None) -> str:
    if end is not None and start > end:
        raise EvaluationError(f"invalid substring range. start: {start}, end: {end}")
    for index in (start, end if end is not None else start):
        if not 0 <= index <= len(text):
            raise _out_of_range(index)
    return text[start:end]


def _join(items: Sequence[str], separator: str = "") -> str:
    return separator.join(items)


def quote(text: str) -> str:
    return f'"{text.translate(_QUOTED)}"'


_TRANSFORM = charges.reads(keeps_size=True)

OVERLOADS: list[Overload] = [
    method("charAt", (STRING, INT), STRING, _char_at),
    method("indexOf", (STRING, STRING), INT, _index_of, charges.reads()),
    method("indexOf", (STRING, STRING, INT), INT, _index_of, charges.reads()),
    method("lastIndexOf", (STRING, STRING), INT, _last_index_of, charges.reads()),
    method("lastIndexOf", (STRING, STRING, INT), INT, _last_index_of, charges.reads()),
    method("lowerAscii", (STRING,), STRING, lambda text: text.translate(_LOWER), _TRANSFORM),
    method("upperAscii", (STRING,), STRING, lambda text: text.translate(_UPPER), _TRANSFORM),
    method("trim", (STRING,), STRING, lambda text: text.strip(_SPACE), _TRANSFORM),
    method("reverse", (STRING,), STRING, lambda text: text[::-1], _TRANSFORM),
    method("replace", (STRING, STRING, STRING), STRING, _replace, charges.REPLACE),
    method("replace", (STRING, STRING, STRING, INT), STRING, _replace, charges.REPLACE),
    method("split", (STRING, STRING), list_of(STRING), _split, charges.SPLIT),
    method("split", (STRING, STRING, INT), list_of(STRING), _split, charges.SPLIT),
    method("substring", (STRING, INT), STRING, _substring, _TRANSFORM),
    method("substring", (STRING, INT, INT), STRING, _substring, _TRANSFORM),
    method("join", (list_of(STRING),), STRING, _join, charges.JOIN),
    method("join", (list_of(STRING), STRING), STRING, _join, charges.JOIN),
    method("format", (STRING, list_of(DYN)), STRING, formatted, charges.FORMAT),
    function("strings.quote", (STRING,), STRING, quote, charges.QUOTE),
]
