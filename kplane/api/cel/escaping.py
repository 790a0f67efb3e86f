"""Names of fields as identifiers: `__dot__`, `__dash__`, `__slash__`, `__underscores__`, `__namespace__`.

Source: apiserver `pkg/cel/escaping.go`.
"""

from __future__ import annotations

import re

from .lexer import RESERVED

_RESERVED = RESERVED | {"true", "false", "null", "in"}
_PLAIN = re.compile(r"[A-Za-z_./-][A-Za-z0-9_./-]*", re.ASCII).fullmatch
_SPECIAL = re.compile(r"__|[-./]")
_ESCAPED = re.compile(r"__([^_]+)__")
_WORDS = {"__": "__underscores__", ".": "__dot__", "-": "__dash__", "/": "__slash__"}
_SIGNS = {"underscores": "__", "dot": ".", "dash": "-", "slash": "/"}


def escape(name: str) -> str | None:
    """The identifier for a field, or None if it cannot have one."""
    if name in _RESERVED:
        return f"__{name}__"
    if not _PLAIN(name):
        return None
    return _SPECIAL.sub(lambda match: _WORDS[match[0]], name)


def unescape(identifier: str) -> str | None:
    """The field that an identifier stands for, or None if it holds a wrong escape sequence."""
    faults: list[str] = []

    def sign(match: re.Match[str]) -> str:
        word = match[1]
        if word in _SIGNS:
            return _SIGNS[word]
        if word not in _RESERVED or len(match[0]) != len(identifier):
            faults.append(word)
        return word

    plain = _ESCAPED.sub(sign, identifier)
    return None if faults else plain
