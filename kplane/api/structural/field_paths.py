"""`fieldPath` of a rule: `.spec.items['a.b']`, a way from the rule's place to the field that is at fault.

Rules: apiextensions `schema/cel/validation.go`, ValidFieldPath. Lists cannot be entered.
"""

from __future__ import annotations

import re

from kplane.api.field import Path
from kplane.api.structural.spec import Spec

_TOKEN = re.compile(r"'(?:[^'\\]|\\.|\\')*'|[.\[\]]|[^.\[\]]+", re.DOTALL)
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_ESCAPED = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v", "'": "'", "\\": "\\"}


class FieldPathError(ValueError):
    """Not a path to a field of the schema; the text says why."""


def parse_field_path(text: str, spec: Spec) -> Path:
    """The path, relative to the place of `spec`. Raises FieldPathError."""
    parts = _TOKEN.findall(text)
    path, place, current = Path(), 0, spec
    while place < len(parts):
        part = parts[place]
        if part == "[":
            name = _quoted(_at(parts, place + 1))
            if (closing := _at(parts, place + 2)) != "]":
                raise FieldPathError(f"expected ] but got {closing}")
            place += 3
        elif part == ".":
            name = _at(parts, place + 1)
            place += 2
        else:
            raise FieldPathError(f"expected [ or . but got: {part}")
        path, current = _enter(path, current, name)
    return path


def _enter(path: Path, spec: Spec, name: str) -> tuple[Path, Spec]:
    if spec.properties:
        child = spec.properties.get(name)
        path = path.child(name)
    else:
        child = spec.additional if isinstance(spec.additional, Spec) else None
        path = path[name]
    if child is None:
        raise FieldPathError("does not refer to a valid field")
    return path, child


def _at(parts: list[str], place: int) -> str:
    if place >= len(parts):
        raise FieldPathError("unexpected end of JSON path")
    return parts[place]


def _quoted(part: str) -> str:
    if len(part) < 2 or part[0] != "'" or part[-1] != "'":
        raise FieldPathError(f"expected single quoted string but got {part}")
    if bad := next((match for match in _ESCAPE.finditer(part[1:-1]) if match[1] not in _ESCAPED), None):
        raise FieldPathError(f"invalid string literal: invalid escape char {bad[0]}")
    return _ESCAPE.sub(lambda match: _ESCAPED[match[1]], part[1:-1])
