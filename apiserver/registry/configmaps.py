"""ConfigMaps: keys, size, immutability."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .strategy import Strategy

MAX_SIZE = 1024 * 1024
SET = "field is immutable when `immutable` is set"


class ConfigMapStrategy(Strategy):
    immutable_spec_generation = True

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        data, binary = obj.get("data") or {}, obj.get("binaryData") or {}
        size = 0
        for key, value in data.items():
            for text in names.config_key(key):
                yield path.data[key].invalid(key, text)
            if key in binary:
                yield path.data[key].invalid(key, "duplicate of key present in binaryData")
            size += len(value.encode())
        for key, value in binary.items():
            for text in names.config_key(key):
                yield path.binaryData[key].invalid(key, text)
            size += decoded_size(value)
        if size > MAX_SIZE:
            yield Path().too_long(MAX_SIZE)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from validate_immutable(new, old, ("data", "binaryData"), path)


def decoded_size(encoded: str) -> int:
    """How many bytes base64 text stands for."""
    return len(encoded) * 3 // 4 - encoded[-2:].count("=")


def validate_immutable(
    new: Object, old: Object, contents: tuple[str, ...], path: Path
) -> Iterator[FieldError]:
    """Once `immutable` is set neither it nor the contents change."""
    if not old.get("immutable"):
        return
    if not new.get("immutable"):
        yield path.immutable.forbidden(SET)
    for name in contents:
        if (new.get(name) or {}) != (old.get(name) or {}):
            yield path.child(name).forbidden(SET)
