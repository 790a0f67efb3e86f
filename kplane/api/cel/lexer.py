"""Source text into tokens.

One regular expression, linear in the text. String literals are unescaped here. Faults go into the list of
issues and the text is read on, so that one compile reports as much as it can.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple

from .errors import Issue
from .values import UInt

RESERVED = frozenset(
    {
        *("as", "break", "const", "continue", "else", "for", "function", "if", "import", "let"),
        *("loop", "package", "namespace", "return", "var", "void", "while"),
    }
)
"""Words that no identifier may be; a field is escaped instead, e.g. `__namespace__`."""

_TOKEN = re.compile(
    r"""
    (?P<space>[\t\n\f\r ]+|//[^\n]*)
  | (?P<string>(?:[bB][rR]?|[rR][bB]?)?(?:\"{3}|'{3}|"|'))
  | (?P<float>(?:[0-9]+\.[0-9]+(?:[eE][+-]?[0-9]+)?|[0-9]+[eE][+-]?[0-9]+|\.[0-9]+(?:[eE][+-]?[0-9]+)?))
  | (?P<int>(?:0x[0-9a-fA-F]+|[0-9]+)(?P<unsigned>[uU]?))
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | `(?P<quoted>[A-Za-z0-9_.\-/ ]+)`
  | (?P<op>&&|\|\||==|!=|<=|>=|[-+*/%!<>=?:.,()\[\]{}])
    """,
    re.VERBOSE,
)
_PLAIN = {
    quote: re.compile(body, re.DOTALL)
    for quote, body in {
        "'": r"[^'\\\r\n]*(?:\\.[^'\\\r\n]*)*'",
        '"': r'[^"\\\r\n]*(?:\\.[^"\\\r\n]*)*"',
        "'''": r"[^'\\]*(?:(?:\\.|'(?!''))[^'\\]*)*'''",
        '"""': r'[^"\\]*(?:(?:\\.|"(?!""))[^"\\]*)*"""',
    }.items()
}
_RAW = {
    "'": re.compile(r"[^'\r\n]*'"),
    '"': re.compile(r'[^"\r\n]*"'),
    "'''": re.compile(r"[^']*(?:'(?!'')[^']*)*'''"),
    '"""': re.compile(r'[^"]*(?:"(?!"")[^"]*)*"""'),
}
_ESCAPE = re.compile(
    r"\\(?:([abfnrtv?\"'`\\])|[xX]([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8})|([0-3][0-7]{2})|(.))",
    re.DOTALL,
)
_SIMPLE = dict(zip("abfnrtv?\"'`\\", "\a\b\f\n\r\t\v?\"'`\\", strict=True))
_MOST_UINT = 2**64 - 1


class Token(NamedTuple):
    kind: str
    """literal, name, quoted (a back-quoted field), op or end."""
    text: str
    at: int
    value: Any = None
    """Of literals."""


class _Escape(ValueError):
    """A bad escape sequence."""


def tokens(source: str, issues: list[Issue]) -> list[Token]:
    """Every token, the end included. Whole numbers too large for their type are reported by the parser."""
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _TOKEN.match(source, at)
        if match is None:
            issues.append(Issue(at, f"Syntax error: token recognition error at: '{source[at]}'"))
            at += 1
            continue
        kind, text = match.lastgroup or "", match[0]
        if kind == "string":
            at = _string(source, at, text, found, issues)
            continue
        if kind == "op":
            found.append(Token("op", text, at))
        elif kind == "name":
            found.append(Token("name", text, at))
        elif kind == "quoted":
            found.append(Token("quoted", match["quoted"], at))
        elif kind in ("int", "unsigned"):
            found.append(_integer(match, at, issues))
        elif kind == "float":
            found.append(Token("literal", text, at, float(text)))
        at = match.end()
    found.append(Token("end", "<EOF>", len(source)))
    return found


def _integer(match: re.Match[str], at: int, issues: list[Issue]) -> Token:
    unsigned = bool(match["unsigned"])
    digits = match["int"].rstrip("uU")
    # Longer than any number that fits; int() of very long texts is slow.
    value = int(digits, 16 if digits.startswith("0x") else 10) if len(digits) <= 100 else 2**70
    # Whether a number without `u` fits depends on its sign, which the parser sees.
    if unsigned and value > _MOST_UINT:
        issues.append(Issue(at, "invalid uint literal"))
        value = 0
    return Token("literal", match["int"], at, UInt(value) if unsigned else value)


def _string(source: str, at: int, opening: str, found: list[Token], issues: list[Issue]) -> int:
    """Append the literal that starts here; where it ends."""
    prefix = opening.rstrip("'\"")
    quote = opening[len(prefix) :]
    raw, is_bytes = "r" in prefix.lower(), "b" in prefix.lower()
    body = at + len(opening)
    match = (_RAW if raw else _PLAIN)[quote].match(source, body)
    if match is None:
        rest = source[at:].split("\n", 1)[0]
        issues.append(Issue(at, f"Syntax error: token recognition error at: '{rest}'"))
        return at + len(rest) or at + 1
    text = match[0][: -len(quote)].replace("\r\n", "\n").replace("\r", "\n")
    value: str | bytes = ""
    try:
        if is_bytes:
            value = _unescaped_bytes(text, raw)
        else:
            value = text if raw or "\\" not in text else _ESCAPE.sub(_character, text)
    except _Escape as error:
        kind = "bytes" if is_bytes else "string"
        issues.append(Issue(at, f"invalid {kind} literal: {error}"))
    found.append(Token("literal", source[at : match.end()], at, value))
    return match.end()


def _character(match: re.Match[str]) -> str:
    simple, short, four, eight, octal, bad = match.groups()
    if simple:
        return _SIMPLE[simple]
    if bad is not None:
        raise _Escape("unable to unescape string")
    code = int(octal, 8) if octal else int(short or four or eight, 16)
    if code > 0x10FFFF or 0xD800 <= code < 0xE000:
        raise _Escape("unable to unescape string")
    return chr(code)


def _unescaped_bytes(text: str, raw: bool) -> bytes:
    if raw or "\\" not in text:
        return text.encode()
    parts: list[bytes] = []
    end = 0
    for match in _ESCAPE.finditer(text):
        parts.append(text[end : match.start()].encode())
        _, short, four, eight, octal, _ = match.groups()
        if four or eight:
            raise _Escape("unable to unescape string")
        # In bytes, hexadecimal and octal sequences are single bytes, not characters.
        code = octal or short
        parts.append(bytes([int(code, 8 if octal else 16)]) if code else _character(match).encode())
        end = match.end()
    return b"".join((*parts, text[end:].encode()))
