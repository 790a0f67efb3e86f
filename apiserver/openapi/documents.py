"""The documents as bytes with ETags, made on first use and kept for as long as what they tell stays the same.

A change of one group remakes that group's part alone: the parts of v2 are kept as encoded pieces, the v3
documents are one for each group and version.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import msgspec

from kplane.api.resource import Object
from kplane.api.schema import Schema
from kplane.api.scheme import ResourceInfo, Scheme

from ..discovery import Document, document
from . import custom, protobuf, system, v2, v3
from .definitions import Lookup, lookup
from .operations import PathItem, paths
from .v2 import Fragment


@dataclass(frozen=True)
class _Part:
    """What is kept of one group and version, for as long as its rows are these."""

    rows: Sequence[ResourceInfo]
    v2: Fragment | None = None
    pieces: protobuf.Pieces | None = None
    """The same in protobuf."""
    v3: tuple[Document, str] | None = None
    """With the digest that the index names."""


class OpenApi:
    """OpenAPI of a scheme."""

    def __init__(self, scheme: Scheme) -> None:
        self._scheme = scheme
        self._generation = scheme.generation
        self._documents: dict[str, Document] = {}
        self._parts: dict[tuple[str, str], _Part] = {}

    def v2(self) -> Document:
        """`/openapi/v2`, as JSON."""
        return self._kept("v2", self._v2)

    def v2_protobuf(self) -> Document:
        """`/openapi/v2` for those who ask for `protobuf.MEDIA_TYPE`."""
        return self._kept("v2 protobuf", lambda: v2.document(()), self._protobuf)

    def v3_index(self) -> Document:
        """`/openapi/v3`: where the documents are; the hash in an address changes with the content."""
        return self._kept("v3", self._index)

    def v3(self, group: str, version: str) -> Document | None:
        """`/openapi/v3/api/v1` and `/openapi/v3/apis/{group}/{version}`; None if it is not served."""
        if not self._scheme.resources(group, version):
            return None
        return self._v3(group, version)[0]

    def _v3(self, group: str, version: str) -> tuple[Document, str]:
        part = self._part(group, version)
        if part.v3 is None:
            made = document(v3.document(self._paths(group, version), _finder(part.rows, v2=False)))
            digest = hashlib.sha512(made.body).hexdigest().upper()
            part = self._parts[group, version] = replace(part, v3=(made, digest))
        assert part.v3 is not None
        return part.v3

    def _index(self) -> Object:
        entries = {}
        for group, version in self._scheme.group_versions():
            path, (_, digest) = _relative(group, version), self._v3(group, version)
            entries[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": entries}

    def _v2(self) -> Object:
        served = self._scheme.group_versions()
        return v2.document([self._general(), *(self._fragment(*version) for version in served)])

    def _protobuf(self, document: Object) -> bytes:
        served = self._scheme.group_versions()
        general = _pieces(self._general())
        return protobuf.join(document, [general, *(self._pieces(*version) for version in served)])

    def _fragment(self, group: str, version: str) -> Fragment:
        part = self._part(group, version)
        if part.v2 is None:
            made = v2.fragment(self._paths(group, version), _finder(part.rows, v2=True))
            part = self._parts[group, version] = replace(part, v2=made)
        assert part.v2 is not None
        return part.v2

    def _pieces(self, group: str, version: str) -> protobuf.Pieces:
        fragment = self._fragment(group, version)
        part = self._part(group, version)
        if part.pieces is None:
            part = self._parts[group, version] = replace(part, pieces=_pieces(fragment))
        assert part.pieces is not None
        return part.pieces

    def _part(self, group: str, version: str) -> _Part:
        rows = self._scheme.resources(group, version)
        known = self._parts.get((group, version))
        if known is None or len(rows) != len(known.rows) or any(map(_is_not, rows, known.rows)):
            known = self._parts[group, version] = _Part(rows)
        return known

    def _general(self) -> Fragment:
        """What belongs to no version."""
        groups = dict.fromkeys(group for group, _ in self._scheme.group_versions() if group)
        return v2.fragment([*system.general(), *map(system.of_group, groups)], lookup({}))

    def _paths(self, group: str, version: str) -> Iterator[PathItem]:
        yield system.of_version(group, version)
        for row in self._scheme.resources(group, version):
            yield from paths(row)

    def _kept(
        self, key: str, make: Callable[[], Object], encode: Callable[[Object], bytes] = msgspec.json.encode
    ) -> Document:
        if self._generation != self._scheme.generation:
            self._documents.clear()
            served = set(self._scheme.group_versions())
            self._parts = {key: part for key, part in self._parts.items() if key in served}
            self._generation = self._scheme.generation
        if key not in self._documents:
            self._documents[key] = document(make(), encode)
        return self._documents[key]


def _is_not(one: Any, other: Any) -> bool:
    return one is not other


def _pieces(fragment: Fragment) -> protobuf.Pieces:
    decode = msgspec.json.decode
    return protobuf.pieces(
        {path: decode(item) for path, item in fragment.paths.items()},
        {name: decode(schema) for name, schema in fragment.definitions.items()},
    )


def _finder(rows: Sequence[ResourceInfo], *, v2: bool) -> Lookup:
    """Finds definitions, those of these rows' custom resources among them."""
    own: dict[str, Schema] = {}
    for row in rows:
        if row.custom:
            own |= custom.definitions(row, row.custom, v2=v2)
    return lookup(own)


def _relative(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"
