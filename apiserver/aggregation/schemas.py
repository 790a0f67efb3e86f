"""OpenAPI with the schemas of aggregated servers: v2 merged into one document, v3 as an index of theirs.

Rules: kube-openapi `pkg/aggregator`: only the paths of a server's own group and version are taken, with the
definitions that they need; a definition whose name is taken by another one gets a new name.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from kplane.api.resource import Object
from kplane.api.scheme import Scheme

from ..discovery import Document, document
from ..openapi import OpenApi, protobuf
from .catalogue import Catalogue
from .remotes import Remotes

_DEFINITIONS = "#/definitions/"


class MergedOpenApi(OpenApi):
    """Our own documents for as long as nothing is aggregated."""

    def __init__(self, scheme: Scheme, remotes: Remotes, catalogue: Catalogue) -> None:
        super().__init__(scheme)
        self._remotes = remotes
        self._catalogue = catalogue
        self._made_for: tuple[int, ...] = ()
        self._merged: dict[str, Document] = {}

    def v2(self) -> Document:
        if not self._remotes.known():
            return super().v2()
        return self._keep("v2", lambda: document(self._whole()))

    def v2_protobuf(self) -> Document:
        if not self._remotes.known():
            return super().v2_protobuf()
        return self._keep("v2 protobuf", lambda: document(self._whole(), protobuf.encode))

    def v3_index(self) -> Document:
        if not self._remotes.known():
            return super().v3_index()
        return self._keep("v3", lambda: document(self._addresses()))

    def _keep(self, key: str, make: Callable[[], Document]) -> Document:
        stamp = (self._scheme.generation, self._remotes.generation, self._catalogue.generation)
        if self._made_for != stamp:
            self._merged.clear()
            self._made_for = stamp
        if key not in self._merged:
            self._merged[key] = make()
        return self._merged[key]

    def _whole(self) -> Object:
        whole: Object = msgspec.json.decode(super().v2().body)
        for remote in self._remotes.known().values():
            merge(whole, self._catalogue.of(remote).document, remote.root)
        return whole

    def _addresses(self) -> Object:
        index: Object = msgspec.json.decode(super().v3_index().body)
        for remote in self._remotes.known().values():
            index["paths"].pop(remote.root.lstrip("/"), None)
            if remote.available:
                index["paths"].update(self._catalogue.of(remote).schemas)
        return index


def merge(whole: Object, other: Object, root: str) -> None:
    """Take what is below `root` of another server's document into ours."""
    paths = {
        path: copy.deepcopy(item)
        for path, item in _items(other.get("paths"))
        if path == root or path.startswith(f"{root}/")
    }
    theirs = dict(_items(other.get("definitions")))
    needed = {name: copy.deepcopy(theirs[name]) for name in _closure(paths, theirs)}
    ours = whole["definitions"]
    renamed = {
        name: _free(name, ours, theirs) for name in needed if ours.get(name, theirs[name]) != theirs[name]
    }
    for value in (paths, needed):
        _rename(value, renamed)
    whole["definitions"] = ours | {renamed.get(name, name): value for name, value in needed.items()}
    # A path that is there already stays ours.
    whole["paths"] = paths | whole["paths"]


def _items(value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        yield from value.items()


def _closure(paths: Object, definitions: Object) -> set[str]:
    """The definitions that these paths need, directly or through others."""
    found: set[str] = set()
    waiting = [ref for ref, _ in _references(paths)]
    while waiting:
        name = waiting.pop()
        if name in definitions and name not in found:
            found.add(name)
            waiting += [ref for ref, _ in _references(definitions[name])]
    return found


def _references(value: Any) -> Iterator[tuple[str, Object]]:
    """Every name that is referred to, and the object that does it."""
    waiting = [value]
    while waiting:
        value = waiting.pop()
        if isinstance(value, list):
            waiting += value
        elif isinstance(value, dict):
            ref = value.get("$ref")
            if isinstance(ref, str) and ref.startswith(_DEFINITIONS):
                yield ref.removeprefix(_DEFINITIONS), value
            waiting += value.values()


def _free(name: str, ours: Object, theirs: Object) -> str:
    number = 2
    while f"{name}_v{number}" in ours or f"{name}_v{number}" in theirs:
        number += 1
    return f"{name}_v{number}"


def _rename(value: Any, renamed: dict[str, str]) -> None:
    for name, holder in list(_references(value)):
        if name in renamed:
            holder["$ref"] = _DEFINITIONS + renamed[name]
