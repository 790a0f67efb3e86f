"""The forms that objects can be read in besides their own: a Table, metadata alone.

A form turns one object, a list of them, or the object of a watch event into what the client asked for. The
objects are in the version that is served. Columns and cells of tables are in `tables/`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplane.api.clock import Clock
from kplane.api.errors import BadRequest
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..tables import custom_printer, table
from .negotiation import Output

_INCLUDES = ("None", "Metadata", "Object")


class Form:
    """One form for one resource and one request."""

    def __init__(self, row: ResourceInfo, output: Output, include_object: str, clock: Clock) -> None:
        """Raises BadRequest for an unknown `includeObject`."""
        if include_object not in ("", *_INCLUDES):
            raise BadRequest(f'unrecognized includeObject value: "{include_object}"')
        self._row = row
        self._version = f"meta.k8s.io/{output.form_version}"
        self._form = output.form
        self._include: Any = include_object or "Metadata"
        self._clock = clock
        self._columns_sent = False

    def single(self, obj: Object) -> Object:
        if self._form == "Table":
            return self._table([obj], {"resourceVersion": obj["metadata"].get("resourceVersion", "")})
        return self._partial(obj) if self._form else obj

    def listing(self, objects: Sequence[Object], list_metadata: Object) -> Object:
        if self._form == "Table":
            return self._table(objects, list_metadata)
        if self._form:
            kind, api_version = "PartialObjectMetadataList", self._version
            objects = [self._partial(obj) for obj in objects]
        else:
            kind, api_version = self._row.list_kind, self._row.api_version
            if not self._row.custom:
                objects = [_without_kind(obj) for obj in objects]
        return {"kind": kind, "apiVersion": api_version, "metadata": list_metadata, "items": objects}

    def event(self, obj: Object) -> Object:
        """The object of a watch event: only the first table of a watch has the columns."""
        shown = self.single(obj)
        if self._form == "Table":
            if self._columns_sent:
                shown["columnDefinitions"] = None
            self._columns_sent = True
        return shown

    def bookmark(self, obj: Object) -> Object:
        """The object of a bookmark, which says nothing but how far the watch is."""
        if self._form == "Table":
            return self._table([], obj["metadata"])
        return self._partial(obj) if self._form else obj

    def _table(self, objects: Sequence[Object], list_metadata: Object) -> Object:
        custom = self._row.custom
        return table(
            self._row,
            objects,
            printer=custom_printer(custom) if custom else None,
            now=self._clock.now(),
            include_object=self._include,
            list_metadata=list_metadata,
            api_version=self._version,
        )

    def _partial(self, obj: Object) -> Object:
        return {"kind": "PartialObjectMetadata", "apiVersion": self._version, "metadata": obj["metadata"]}


def _without_kind(obj: Object) -> Object:
    """An item of a list: upstream's carry neither kind nor version."""
    return {name: value for name, value in obj.items() if name not in ("kind", "apiVersion")}
