"""Columns of custom resources: a name, and what `additionalPrinterColumns` ask for; by default the age.

Rules: apiextensions `registry/customresource/tableconvertor`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import msgspec

from kplane.api import jsonpath
from kplane.api.resource import Object
from kplane.api.scheme import CustomVersion

from .durations import human, moment
from .printer import NAME, Cells, Column, Printer

log = logging.getLogger(__name__)

AGE: Object = {
    "name": "Age",
    "type": "date",
    "jsonPath": ".metadata.creationTimestamp",
    "field": "meta.v1.ObjectMeta.creationTimestamp",
}
_KEPT_PRINTERS = 1024


def custom_printer(custom: CustomVersion) -> Printer:
    """The printer of one version."""
    return _printer(msgspec.json.encode(custom.columns or (AGE,)))


@lru_cache(maxsize=_KEPT_PRINTERS)
def _printer(encoded: bytes) -> Printer:
    """By its columns, so that definitions that are gone are not kept."""
    columns = list(_understood(msgspec.json.decode(encoded)))

    def cells(obj: Object, now: datetime) -> Cells:
        return [obj["metadata"]["name"], *(_cell(kind["type"], path, obj, now) for kind, path in columns)]

    return Printer((NAME, *(_column(column) for column, _ in columns)), cells)


def _understood(columns: Sequence[Object]) -> Iterator[tuple[Object, jsonpath.Template]]:
    """The columns up to the first whose path cannot be parsed, as upstream shows them."""
    for column in columns:
        try:
            yield column, jsonpath.parse(f"{{{column['jsonPath']}}}")
        except jsonpath.JSONPathError as error:
            log.warning("column not understood path=%s error=%s", column["jsonPath"], error)
            return


def _column(column: Object) -> Column:
    path = column["jsonPath"]
    field = column.get("field", "")
    shown = "" if field else f"Custom resource definition column (in JSONPath format): {path}"
    return Column(
        column["name"],
        type=column["type"],
        format=column.get("format", ""),
        priority=column.get("priority", 0),
        description=column.get("description") or shown,
        field=field,
    )


def _cell(kind: str, template: jsonpath.Template, obj: Object, now: datetime) -> Any:
    try:
        found = template.find(obj)
    except jsonpath.JSONPathError:
        return None
    return cell(kind, found, now) if found else None


def cell(kind: str, found: Sequence[Any], now: datetime) -> Any:
    """What a column of this type shows of the values that its path found."""
    value = found[0]
    if value is None:
        return "<nil>" if kind == "string" else None
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    match kind:
        case "string":
            return _text(value)
        case "integer" if number:
            return int(value)
        case "number" if number:
            return float(value)
        case "boolean" if isinstance(value, bool):
            return value
        case "date" if isinstance(value, str):
            return _age(value, now)
    return None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return msgspec.json.encode(value, order="sorted").decode()


def _age(text: str, now: datetime) -> str:
    try:
        return human((now - moment(text)).total_seconds())
    except ValueError:
        return "<invalid>"
