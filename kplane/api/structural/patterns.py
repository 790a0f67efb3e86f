"""Regular expressions of schemas: RE2's, the language of Go's `regexp`, matched in linear time.

A schema comes from anybody who may create a CustomResourceDefinition and a value from anybody who may create
its objects: a backtracking engine would let the two stop the server. Why RE2: docs/decisions/patterns.md.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import TypeAlias

import re2

Search: TypeAlias = Callable[[str], object]
"""True in a boolean context if the pattern is found somewhere in the text."""

MAX_MEMORY = 8 << 20
"""Bytes that one pattern and its automaton may take; larger patterns are refused."""


class PatternError(ValueError):
    """Not a regular expression; the text is Go's."""


@lru_cache(maxsize=1024)
def compiled(pattern: str) -> Search:
    """The search of a pattern. Raises PatternError."""
    options = re2.Options()
    options.log_errors = False
    options.max_mem = MAX_MEMORY
    try:
        search: Search = re2.compile(pattern, options).search
    except re2.error as error:
        raise PatternError(f"error parsing regexp: {_worded(error)}") from None
    return search


MAX_REMEMBERED = 128
"""Characters of the longest text whose verdict is kept."""


def matches(pattern: str, text: str) -> bool:
    """Whether a pattern that compiles is found in a text. The same few texts come again and again."""
    if len(text) > MAX_REMEMBERED:
        return bool(compiled(pattern)(text))
    return _remembered(pattern, text)


@lru_cache(maxsize=8192)
def _remembered(pattern: str, text: str) -> bool:
    return bool(compiled(pattern)(text))


_GO_WORDS = {
    "invalid repetition size": "invalid repeat count",
    "bad repetition operator": "invalid nested repetition operator",
    "no argument for repetition operator": "missing argument to repetition operator",
    "missing ]": "missing closing ]",
    "missing )": "missing closing )",
    "invalid perl operator": "invalid or unsupported Perl syntax",
}


def _worded(error: Exception) -> str:
    """RE2 says `missing ): (a`, Go "missing closing ): `(a`"."""
    text = error.args[0].decode(errors="replace") if isinstance(error.args[0], bytes) else str(error.args[0])
    for ours, theirs in _GO_WORDS.items():
        if text.startswith(f"{ours}: "):
            return f"{theirs}: `{text[len(ours) + 2 :]}`"
    kind, found, place = text.partition(": ")
    return f"{kind}: `{place}`" if found else text
