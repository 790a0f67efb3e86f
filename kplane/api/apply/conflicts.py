"""Conflicts of an apply, in upstream's words: apimachinery `util/managedfields/internal/conflict.go`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from kplane.api.apply.fieldset import FieldSet, paths
from kplane.api.errors import Conflict
from kplane.api.field import quoted


class Held(NamedTuple):
    """Fields of another manager's entry that an apply would change."""

    entry: dict[str, Any]
    fields: FieldSet


def conflict_error(held: Sequence[Held]) -> Conflict:
    """409 with a cause for each field."""
    found = sorted((_shown(entry), path) for entry, fields in held for path in paths(fields))
    causes = [
        {"reason": "FieldManagerConflict", "message": f"conflict with {manager}", "field": path}
        for manager, path in found
    ]
    return Conflict(_message(found), {"causes": causes})


def _message(found: Sequence[tuple[str, str]]) -> str:
    if len(found) == 1:
        manager, path = found[0]
        return f"Apply failed with 1 conflict: conflict with {manager}: {path}"
    lines: dict[str, list[str]] = {}
    for manager, path in found:
        lines.setdefault(f"conflicts with {manager}:", []).append(f"- {path}")
    body = "\n".join("\n".join([head, *listed]) for head, listed in lines.items())
    return f"Apply failed with {len(found)} conflicts: {body}"


def _shown(entry: dict[str, Any]) -> str:
    text = quoted(entry.get("manager", ""))
    if subresource := entry.get("subresource"):
        text += f" with subresource {quoted(subresource)}"
    if entry["operation"] == "Update":
        text += f" using {entry.get('apiVersion', '')}"
    return text
