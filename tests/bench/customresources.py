"""What custom resources cost: judging one instance, and serving a new definition.

    python -m tests.bench.customresources

Microseconds for one instance with 200 fields, on one core; milliseconds from the POST of a definition until
its resource answers, with up to DEFINITIONS of them, and for publishing one more.
"""

from __future__ import annotations

import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from kplane.api.structural import compile
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..apiserver.conftest import TOKENS, Api
from ..apiserver.extensions.conftest import CRDS, crd
from .values import measure

FIELDS, DEFINITIONS, GROUPS = 200, 200, 50
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
PROTOBUF = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf"
PUBLISHED = (
    ("aggregated discovery", "/apis", AGGREGATED),
    ("index of OpenAPI v3", "/openapi/v3", "application/json"),
    ("OpenAPI v2 in protobuf", "/openapi/v2", PROTOBUF),
)


def wide_schema() -> dict[str, Any]:
    """An object of FIELDS fields, of the kinds that people use."""
    kinds: list[dict[str, Any]] = [
        {"type": "string", "maxLength": 63},
        {"type": "string", "enum": ["a", "b"]},
        {"type": "integer", "minimum": 0, "default": 1},
        {"type": "boolean"},
        {"type": "object", "properties": {"name": {"type": "string"}, "size": {"type": "integer"}}},
        {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
    ]
    fields = {f"field{number}": kinds[number % len(kinds)] for number in range(FIELDS)}
    return {"type": "object", "properties": {"spec": {"type": "object", "properties": fields}}}


def wide_object() -> dict[str, Any]:
    values: list[Any] = ["text", "a", 7, True, {"name": "n", "size": 3}, ["a", "b"]]
    spec = {f"field{number}": values[number % len(values)] for number in range(FIELDS)}
    return {"apiVersion": "example.com/v1", "kind": "Wide", "metadata": {"name": "one"}, "spec": spec}


def instances() -> None:
    schema = compile(wide_schema())
    body = msgspec.json.encode(wide_object())
    stored = msgspec.json.decode(body)
    print(f"instance: {FIELDS} fields, {len(body)} bytes")
    decoding = measure("decode JSON", lambda: msgspec.json.decode(body))
    measure("prune", lambda: schema.prune(msgspec.json.decode(body)), less=decoding)
    measure("default", lambda: schema.default(msgspec.json.decode(body)), less=decoding)
    measure("validate", lambda: list(schema.validate(stored)))
    measure(
        "validate an update", lambda: list(schema.validate(stored, msgspec.json.decode(body))), less=decoding
    )


async def definitions(folder: Path) -> None:
    tokens = folder / "tokens.csv"
    tokens.write_text(TOKENS)
    config = ApiServerConfig(storage_dir=folder / "data", token_auth_file=tokens, bind_address="127.0.0.1")
    async with ApiServer(config) as server:
        api = Api(server.app)
        for _, path, accept in PUBLISHED:
            await api("GET", path, accept=accept)
        taken = [await serve(api, number) for number in range(DEFINITIONS)]
        print(
            f"POST of a definition until it is served: p50 {statistics.median(taken):.1f} ms, "
            f"slowest of {DEFINITIONS} {max(taken):.1f} ms"
        )
        for name, path, accept in PUBLISHED:
            await api("GET", path, accept=accept)
            await serve(api, DEFINITIONS + len(name))
            begun = time.perf_counter()
            await api("GET", path, accept=accept)
            print(f"{name} after one more: {(time.perf_counter() - begun) * 1000:.1f} ms")


async def serve(api: Api, number: int) -> float:
    """Milliseconds until a new definition's resource answers."""
    group = f"group{number % GROUPS}.example.com"
    begun = time.perf_counter()
    await api.make(CRDS, crd(plural=f"widget{number}s", kind=f"Widget{number}", group=group))
    while (await api("GET", f"/apis/{group}/v1/widget{number}s")).code != 200:
        await asyncio.sleep(0)
    return (time.perf_counter() - begun) * 1000


def main() -> int:
    instances()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(definitions(Path(folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
