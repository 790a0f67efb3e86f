"""Build step: turn `kubernetes-validate`'s JSON Schema definitions into kplane's schema data file.

Reads: the definitions of one Kubernetes release inside the PyPI package `kubernetes-validate`.
Writes: `kplane/api/data/schema.json`, one definition to a line, in the form of Kubernetes' OpenAPI v2.
Elsewhere: `setup.py` runs this in every build; `kplane/api/schema.py` reads the result.

The package rewrote the published definitions for JSON Schema validators; this undoes it: unions with null,
references into `$defs`, `oneOf` in place of Quantity and IntOrString, enumerations of apiVersion and kind.
It adds what the published definitions lack and clients need: enumerations, and defaults of list keys.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any, TypeAlias

from enumerations import ENUMERATIONS

Schema: TypeAlias = dict[str, Any]

RELEASE = "v1.37.0-local"
"""Folder of the release within the package."""

APIMACHINERY = "io.k8s.apimachinery.pkg."
REPLACED: dict[str, Schema] = {
    f"{APIMACHINERY}api.resource.Quantity": {
        "description": (
            "Quantity is a fixed-point number, written as a decimal number with an optional suffix: "
            "binary (Ki, Mi, Gi, Ti, Pi, Ei), decimal (n, u, m, k, M, G, T, P, E) or an exponent (e3, E3)."
        ),
        "type": "string",
    },
    f"{APIMACHINERY}util.intstr.IntOrString": {
        "description": "IntOrString is either an integer of 32 bits or a string.",
        "format": "int-or-string",
        "type": "string",
    },
}
"""Definitions that the package's form has lost."""

KEY_DEFAULTS = {
    ("io.k8s.api.core.v1.ContainerPort", "protocol"): "TCP",
    ("io.k8s.api.core.v1.ServicePort", "protocol"): "TCP",
}
"""Defaults of fields that are keys of associative lists. The published v2 form has no defaults, but
server-side apply cannot identify an item that leaves its key out without them."""


def restore(definitions: dict[str, Schema]) -> dict[str, Schema]:
    """The definitions as they were published: in OpenAPI v2 form."""
    result = {name: REPLACED.get(name) or _schema(schema) for name, schema in sorted(definitions.items())}
    for schema in result.values():
        for name in ("apiVersion", "kind"):
            schema.get("properties", {}).get(name, {}).pop("enum", None)
    return result


def complete(definitions: dict[str, Schema]) -> None:
    """Add what the published form lacks. A field that a release no longer has is a KeyError."""
    for (definition, name), values in ENUMERATIONS.items():
        definitions[definition]["properties"][name]["enum"] = values
    for (definition, name), default in KEY_DEFAULTS.items():
        definitions[definition]["properties"][name]["default"] = default


def _schema(schema: Schema) -> Schema:
    result: Schema = {}
    for key, value in schema.items():
        match key:
            case "type" if isinstance(value, list):
                result[key] = next(name for name in value if name != "null")
            case "$ref":
                result[key] = value.replace("#/$defs/", "#/definitions/")
            case "properties":
                result[key] = {name: _schema(prop) for name, prop in value.items()}
            case "items" | "additionalProperties":
                result[key] = _schema(value)
            case _:
                result[key] = value
    return result


def source(release: str = RELEASE) -> Path:
    """The package's file of definitions."""
    spec = importlib.util.find_spec("kubernetes_validate")
    if spec is None or spec.origin is None:
        raise SystemExit("building kplane needs the PyPI package kubernetes-validate: pip install it first")
    return Path(spec.origin).parent / "kubernetes-json-schema" / release / "_definitions.json"


def write(target: Path, release: str = RELEASE) -> None:
    """Write the data file, one definition to a line so that each can be found without decoding the rest."""
    definitions = restore(json.loads(source(release).read_text())["$defs"])
    complete(definitions)
    lines = (
        f"{json.dumps(name)}:{json.dumps(schema, separators=(',', ':'), ensure_ascii=False)}"
        for name, schema in definitions.items()
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    partial.replace(target)


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2] / "kplane" / "api" / "data" / "schema.json")
