"""Secrets: types and what each needs, size, immutability. Values never appear in a fault."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Mapping

import msgspec

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .configmaps import MAX_SIZE, decoded_size, validate_immutable
from .immutable import unchanged
from .keypairs import pair_fault
from .strategy import Strategy

SERVICE_ACCOUNT_TOKEN = "kubernetes.io/service-account-token"  # noqa: S105  (a type's name)
_SERVICE_ACCOUNT = "kubernetes.io/service-account.name"
_REQUIRED_KEYS = {
    "kubernetes.io/dockercfg": (".dockercfg",),
    "kubernetes.io/dockerconfigjson": (".dockerconfigjson",),
    "kubernetes.io/ssh-auth": ("ssh-privatekey",),
    "kubernetes.io/tls": ("tls.crt", "tls.key"),
}
_HIDDEN = "<secret contents redacted>"


class SecretStrategy(Strategy):
    immutable_spec_generation = True
    selectable = ("type",)
    warns_always = True

    def default(self, obj: Object) -> None:
        if not obj.get("type"):
            obj["type"] = "Opaque"
        plain = obj.pop("stringData", None)
        if plain:
            data = obj.setdefault("data", {})
            for key, value in plain.items():
                data[key] = base64.b64encode(value.encode()).decode()

    def warnings(self, obj: Object) -> Iterator[str]:
        if obj.get("type") == "kubernetes.io/tls":
            data = obj.get("data") or {}
            pair = (_decoded(data.get(key, "")) for key in _REQUIRED_KEYS["kubernetes.io/tls"])
            if fault := pair_fault(*pair):
                yield fault

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        data = obj.get("data") or {}
        for key in data:
            for text in names.config_key(key):
                yield path.data[key].invalid(key, text)
        if sum(map(decoded_size, data.values())) > MAX_SIZE:
            yield path.data.too_long(MAX_SIZE)
        yield from _validate_type(obj, data, path)

    def validate_update(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        yield from unchanged(new.get("type"), old.get("type"), path.type)
        yield from validate_immutable(new, old, ("data",), path)

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"type": obj.get("type", "")}


def _validate_type(obj: Object, data: Object, path: Path) -> Iterator[FieldError]:
    kind = obj.get("type", "")
    for key in _REQUIRED_KEYS.get(kind, ()):
        if key not in data:
            yield path.data[key].required()
        elif kind.startswith("kubernetes.io/dockerc") and not _is_json(data[key]):
            yield path.data[key].invalid(_HIDDEN, "invalid character in JSON")
    if kind == "kubernetes.io/basic-auth" and not data.keys() & {"username", "password"}:
        yield path.data["username"].required()
        yield path.data["password"].required()
    if kind == SERVICE_ACCOUNT_TOKEN:
        annotations = obj["metadata"].get("annotations") or {}
        if not annotations.get(_SERVICE_ACCOUNT):
            yield path.metadata.annotations[_SERVICE_ACCOUNT].required()


def _decoded(encoded: str) -> bytes:
    try:
        return binascii.a2b_base64(encoded)
    except ValueError:
        return b""


def _is_json(encoded: str) -> bool:
    try:
        return isinstance(msgspec.json.decode(binascii.a2b_base64(encoded)), dict)
    except (msgspec.DecodeError, ValueError):
        return False
