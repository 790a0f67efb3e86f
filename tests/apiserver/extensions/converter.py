"""A conversion webhook between two versions of a Widget, and what these say."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from ..webhookserver import Received, Reply

OLD = {"type": "object", "properties": {"hostPort": {"type": "string"}}}
NEW = {
    "type": "object",
    "properties": {"host": {"type": "string"}, "port": {"type": "string"}},
}


class Converter:
    """`hostPort` of v1 is `host` and `port` of v2."""

    def __init__(self) -> None:
        self.spoil: Callable[[dict[str, Any]], None] = lambda response: None

    async def __call__(self, received: Received) -> Reply:
        request = received.body["request"]
        wanted = request["desiredAPIVersion"]
        response = {
            "uid": request["uid"],
            "result": {"status": "Success"},
            "convertedObjects": [self.convert(copy.deepcopy(obj), wanted) for obj in request["objects"]],
        }
        self.spoil(response)
        kind = {name: received.body[name] for name in ("kind", "apiVersion")}
        return Reply(200, json.dumps(kind | {"response": response}).encode())

    @staticmethod
    def convert(obj: dict[str, Any], wanted: str) -> dict[str, Any]:
        """Objects of which something was taken away are converted, too: so managed fields are withdrawn."""
        spec = obj.get("spec", {})
        if wanted.endswith("/v2") and "hostPort" in spec:
            spec["host"], _, spec["port"] = spec.pop("hostPort").partition(":")
        elif "host" in spec or "port" in spec:
            spec["hostPort"] = f"{spec.pop('host', '')}:{spec.pop('port', '')}"
        return obj | {"apiVersion": wanted}
