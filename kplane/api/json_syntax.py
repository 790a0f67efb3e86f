"""What Go's JSON scanner says of a text that is not JSON. Runs only once decoding has failed."""

from __future__ import annotations

import re

_SPACE = re.compile(r"[ \t\r\n]*")
_STRING = r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"'
_NUMBER = r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][-+]?\d+)?"
_SCALAR = re.compile(f"{_STRING}|true|false|null|{_NUMBER}", re.ASCII)
_START_OF_VALUE = frozenset('"tfn-0123456789[{')
_NOTHING_MORE = "unexpected end of JSON input"


class _Fault(Exception):
    """The scan is over; the text says why."""


def fault(text: str) -> str:
    """The first fault of `text`, in Go's words; empty if it is JSON after all."""
    try:
        _Scanner(text).run()
    except _Fault as found:
        return str(found)
    return ""


class _Scanner:
    """A cursor, and the brackets that are open."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._position = 0
        self._closers: list[str] = []

    def run(self) -> None:
        self._value()
        while self._closers:
            self._continue()
        if char := self._peek():
            raise _invalid(char, "after top-level value")

    def _value(self) -> None:
        """Read a scalar, or open an array or object and read as far as its first value."""
        while True:
            char = self._need()
            if char not in _START_OF_VALUE:
                raise _invalid(char, "looking for beginning of value")
            if char not in "[{":
                return self._scalar()
            self._position += 1
            closer = "]" if char == "[" else "}"
            self._closers.append(closer)
            if self._need() == closer:
                return None
            if closer == "}":
                self._key()

    def _continue(self) -> None:
        """What follows a value: the end of what it is in, or another one."""
        char, closer = self._need(), self._closers[-1]
        self._position += 1
        if char == closer:
            self._closers.pop()
        elif char == ",":
            if closer == "}":
                self._key()
            self._value()
        else:
            raise _invalid(char, "after object key:value pair" if closer == "}" else "after array element")

    def _key(self) -> None:
        char = self._need()
        if char != '"':
            raise _invalid(char, "looking for beginning of object key string")
        self._scalar()
        char = self._need()
        if char != ":":
            raise _invalid(char, "after object key")
        self._position += 1

    def _scalar(self) -> None:
        match = _SCALAR.match(self._text, self._position)
        if match is None:
            raise _scalar_fault(self._text, self._position)
        self._position = match.end()

    def _peek(self) -> str:
        """The next character that is not space; empty at the end."""
        match = _SPACE.match(self._text, self._position)
        assert match is not None
        self._position = match.end()
        return self._text[self._position : self._position + 1]

    def _need(self) -> str:
        char = self._peek()
        if not char:
            raise _Fault(_NOTHING_MORE)
        return char


def _scalar_fault(text: str, position: int) -> _Fault:
    """Why a string, number or literal that begins well does not end so."""
    if text[position] == '"':
        return _string_fault(text, position + 1)
    if text[position] == "-":
        following = text[position + 1 : position + 2]
        return _invalid(following, "in numeric literal") if following else _Fault(_NOTHING_MORE)
    word = next(word for word in ("true", "false", "null") if word[0] == text[position])
    for offset, wanted in enumerate(word):
        found = text[position + offset : position + offset + 1]
        if found and found != wanted:
            return _invalid(found, f"in literal {word} (expecting {_go_char(wanted)})")
    return _Fault(_NOTHING_MORE)


def _string_fault(text: str, position: int) -> _Fault:
    while position < len(text):
        char = text[position]
        if char < " ":
            return _invalid(char, "in string literal")
        if char == "\\":
            position += 1
            escape = text[position : position + 1]
            if escape and escape not in '"\\/bfnrtu':
                return _invalid(escape, "in string escape code")
            digits = text[position + 1 : position + 5] if escape == "u" else ""
            if wrong := re.search("[^0-9a-fA-F]", digits):
                return _invalid(wrong[0], "in \\u hexadecimal character escape")
        position += 1
    return _Fault(_NOTHING_MORE)


def _invalid(char: str, where: str) -> _Fault:
    return _Fault(f"invalid character {_go_char(char)} {where}")


_SPECIAL = {"'": r"'\''", '"': "'\"'", "\n": r"'\n'", "\t": r"'\t'", "\r": r"'\r'"}


def _go_char(char: str) -> str:
    return _SPECIAL.get(char) or (f"'{char}'" if char.isprintable() else f"'\\x{ord(char):02x}'")
