"""`-o json|yaml|name|jsonpath=…`: objects as text. Tables are elsewhere (tables.py)."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

from kplane.api.resource import Object

from .failures import CommandError

Printer: TypeAlias = Callable[[Object], str]

TABLES = ("", "wide")
ALLOWED = ("json", "jsonpath", "jsonpath-file", "name", "wide", "yaml")
_ESCAPED = {ord(char): f"\\u{ord(char):04x}" for char in "<>&\u2028\u2029"}


def printer(output: str) -> Printer:
    """How `-o` wants objects printed; `TABLES` are not its business. Raises CommandError."""
    form, given, argument = output.partition("=")
    match form:
        case "json" if not given:
            return to_json
        case "yaml" if not given:
            from .yaml_text import dump

            return dump
        case "name" if not given:
            return _names
        case "jsonpath" | "jsonpath-file":
            return _jsonpath(form, argument)
    raise CommandError(
        f'unable to match a printer suitable for the output format "{output}", '
        f"allowed formats are: {','.join(ALLOWED)}"
    )


def to_json(obj: Object) -> str:
    """For people to read, keys in order of name."""
    return escaped(json.dumps(obj, indent=4, sort_keys=True, ensure_ascii=False)) + "\n"


def escaped(text: str) -> str:
    """JSON as Go writes it: what HTML and JavaScript could take for their own is escaped."""
    return text.translate(_ESCAPED)


def listed(items: Sequence[Object]) -> Object:
    """Several objects as one, as kubectl prints them."""
    return {"apiVersion": "v1", "kind": "List", "metadata": {"resourceVersion": ""}, "items": list(items)}


def full_name(obj: Object) -> str:
    """`deployment.apps/hello`."""
    group, slash, _ = obj.get("apiVersion", "").partition("/")
    kind = obj.get("kind", "").lower()
    return f"{kind}{f'.{group}' if slash else ''}/{obj['metadata'].get('name', '')}"


def _names(obj: Object) -> str:
    objects = obj["items"] if "items" in obj and obj.get("kind", "").endswith("List") else [obj]
    return "".join(f"{full_name(one)}\n" for one in objects)


def _jsonpath(form: str, argument: str) -> Printer:
    from kplane.api import jsonpath

    if not argument:
        raise CommandError("template format specified but no template given")
    try:
        text = Path(argument).read_text() if form == "jsonpath-file" else argument
    except OSError as error:
        raise CommandError(f"error reading --template {argument}, {error.strerror}") from error
    try:
        template = jsonpath.parse(text)
    except jsonpath.JSONPathError as error:
        raise CommandError(f"error parsing jsonpath {text}, {error}") from error

    def render(obj: Object) -> str:
        try:
            return template.render(obj)
        except jsonpath.JSONPathError as error:
            raise CommandError(f'error executing jsonpath "{text}": {error}') from error

    return render
