"""Objects into a `meta.k8s.io/v1` Table."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from .printer import CREATED_AT, NAME, Cells, Printer
from .printers import PRINTERS

META_API = "meta.k8s.io/v1"


def _default_cells(obj: Object, now: datetime) -> Cells:
    metadata = obj["metadata"]
    return [metadata["name"], metadata.get("creationTimestamp", "<unknown>")]


DEFAULT = Printer((NAME, CREATED_AT), _default_cells)
"""For kinds without a printer."""


def printer_for(group: str, kind: str) -> Printer:
    return PRINTERS.get((group, kind), DEFAULT)


def table(
    info: ResourceInfo,
    objects: Sequence[Object],
    *,
    now: datetime,
    include_object: Literal["None", "Metadata", "Object"] = "Metadata",
    list_metadata: Object | None = None,
    api_version: str = META_API,
    printer: Printer | None = None,
) -> Object:
    """The Table of some objects of one resource, in their order.

    `list_metadata` is that of the list, or of the object if only one was asked for. `printer` overrides the
    kind's own (subresources, custom resources).
    """
    chosen = printer or printer_for(info.group, info.kind)
    return {
        "kind": "Table",
        "apiVersion": api_version,
        "metadata": list_metadata or {},
        "columnDefinitions": chosen.column_definitions,
        "rows": [_row(chosen, obj, now, include_object, api_version) for obj in objects],
    }


def _row(printer: Printer, obj: Object, now: datetime, include_object: str, api_version: str) -> Object:
    row: Object = {"cells": printer.cells(obj, now)}
    if printer.conditions and (conditions := printer.conditions(obj)):
        row["conditions"] = conditions
    row["object"] = _included(obj, include_object, api_version)
    return row


def _included(obj: Object, include_object: str, api_version: str) -> Any:
    match include_object:
        case "None":
            return None
        case "Object":
            return obj
    return {"kind": "PartialObjectMetadata", "apiVersion": api_version, "metadata": obj["metadata"]}
