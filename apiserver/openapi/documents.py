"""The documents as bytes with ETags, made on first use and kept for as long as the scheme stays the same."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping

import msgspec

from kplane.api.resource import Object
from kplane.api.schema import Schema
from kplane.api.scheme import Scheme

from ..discovery import Document, document
from . import protobuf, system, v2, v3
from .definitions import lookup
from .operations import PathItem, paths


class OpenApi:
    """OpenAPI of a scheme. `custom` holds the definitions of rows that the schema data does not know."""

    def __init__(self, scheme: Scheme, custom: Mapping[str, Schema] | None = None) -> None:
        self._scheme = scheme
        self._find = lookup(custom if custom is not None else {})
        self._generation = scheme.generation
        self._documents: dict[str, Document] = {}

    def v2(self) -> Document:
        """`/openapi/v2`, as JSON."""
        return self._kept("v2", lambda: v2.document(self._everything(), self._find))

    def v2_protobuf(self) -> Document:
        """`/openapi/v2` for those who ask for `protobuf.MEDIA_TYPE`."""
        return self._kept("v2 protobuf", lambda: v2.document(self._everything(), self._find), protobuf.encode)

    def v3_index(self) -> Document:
        """`/openapi/v3`: where the documents are; the hash in an address changes with the content."""
        return self._kept("v3", self._index)

    def v3(self, group: str, version: str) -> Document | None:
        """`/openapi/v3/api/v1` and `/openapi/v3/apis/{group}/{version}`; None if it is not served."""
        if not self._scheme.resources(group, version):
            return None
        return self._kept(
            _relative(group, version), lambda: v3.document(self._paths(group, version), self._find)
        )

    def _index(self) -> Object:
        entries = {}
        for group, version in self._scheme.group_versions():
            path, made = _relative(group, version), self.v3(group, version)
            assert made is not None
            digest = hashlib.sha512(made.body).hexdigest().upper()
            entries[path] = {"serverRelativeURL": f"/openapi/v3/{path}?hash={digest}"}
        return {"paths": entries}

    def _everything(self) -> Iterator[PathItem]:
        yield from system.general()
        for group in dict.fromkeys(group for group, _ in self._scheme.group_versions()):
            if group:
                yield system.of_group(group)
        for group, version in self._scheme.group_versions():
            yield from self._paths(group, version)

    def _paths(self, group: str, version: str) -> Iterator[PathItem]:
        yield system.of_version(group, version)
        for row in self._scheme.resources(group, version):
            yield from paths(row)

    def _kept(
        self, key: str, make: Callable[[], Object], encode: Callable[[Object], bytes] = msgspec.json.encode
    ) -> Document:
        if self._generation != self._scheme.generation:
            self._documents.clear()
            self._generation = self._scheme.generation
        if key not in self._documents:
            self._documents[key] = document(make(), encode)
        return self._documents[key]


def _relative(group: str, version: str) -> str:
    return f"apis/{group}/{version}" if group else f"api/{version}"
