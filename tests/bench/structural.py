"""What the schema of a custom resource costs: one instance of 200 fields, pruned, defaulted and validated.

    python -m tests.bench.structural

Microseconds, the best of ROUNDS runs, on one core.
"""

from __future__ import annotations

import sys
from typing import Any

import msgspec

from kplane.api.field import Path
from kplane.api.structural import compile, validate_definition
from tests.bench.values import measure

GROUPS = 20


def schema() -> dict[str, Any]:
    """Twenty groups of ten fields: half of them with rules for their values, some with defaults."""
    group = {
        "type": "object",
        "required": ["name"],
        "properties": {
            "name": {"type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 63},
            "replicas": {"type": "integer", "format": "int32", "minimum": 0, "maximum": 100},
            "mode": {"type": "string", "enum": ["Auto", "Manual", "Off"], "default": "Auto"},
            "enabled": {"type": "boolean", "default": True},
            "description": {"type": "string"},
            "ratio": {"type": "number", "minimum": 0, "maximum": 1},
            "port": {"x-kubernetes-int-or-string": True},
            "address": {"type": "string", "format": "ipv4"},
            "note": {"type": "string", "nullable": True},
            "weight": {"type": "integer"},
        },
    }
    return {
        "type": "object",
        "properties": {
            "spec": {
                "type": "object",
                "properties": {
                    "items": {
                        "type": "array",
                        "items": group,
                        "x-kubernetes-list-type": "map",
                        "x-kubernetes-list-map-keys": ["name"],
                    }
                },
            }
        },
    }


def instance() -> dict[str, Any]:
    items = [
        {
            "name": f"item-{index}",
            "replicas": index,
            "enabled": False,
            "description": "one of twenty",
            "ratio": 0.5,
            "port": "http",
            "address": "10.1.2.3",
            "note": "none",
            "weight": 7,
        }
        for index in range(GROUPS)
    ]
    return {
        "apiVersion": "example.com/v1",
        "kind": "Widget",
        "metadata": {"name": "widget"},
        "spec": {"items": items},
    }


def main() -> int:
    definition, body = schema(), msgspec.json.encode(instance())
    compiled = compile(definition)
    decoding = measure("decode JSON", lambda: msgspec.json.decode(body))
    obj = msgspec.json.decode(body)
    compiled.default(obj)
    changed = msgspec.json.decode(msgspec.json.encode(obj))
    changed["spec"]["items"][-1]["replicas"] = 50

    def all_of_it() -> None:
        received = msgspec.json.decode(body)
        compiled.prune(received)
        compiled.default(received)
        assert not list(compiled.validate(received))

    measure("prune", lambda: compiled.prune(obj))
    measure("default", lambda: compiled.default(obj))
    measure("validate", lambda: list(compiled.validate(obj)))
    measure("validate an update of one field", lambda: list(compiled.validate(changed, obj)))
    measure("prune, default and validate", all_of_it, less=decoding)
    measure("compile the schema", lambda: compile(definition))
    measure("validate the definition", lambda: list(validate_definition(definition, Path("schema"))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
