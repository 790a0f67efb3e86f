"""Messages that are not objects in JSON: times, quantities, int-or-string, raw JSON, schemas or else.

Their Go types write their own JSON, so that tags say nothing about it. Each is read and written like any
message, of which only the fields that the wire has are there, and what was read becomes its JSON value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeAlias

import msgspec

from kplane.api import quantity
from kplane.api.decode_error import DecodeError
from kplane.api.protobuf.extensions import APIEXTENSIONS
from kplane.api.protobuf.row import Row
from kplane.api.schema import META, QUANTITY, RAW_EXTENSION

Fields: TypeAlias = Mapping[str, Any]

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_ZERO_TIME = datetime(1, 1, 1, tzinfo=UTC)


class Special(NamedTuple):
    """`value` makes the JSON value; of no fields, that of Go's zero value. It raises DecodeError. `fields`
    makes the fields that Go writes of a JSON value; of None, those of its zero value."""

    rows: list[Row]
    value: Callable[[Fields], Any]
    fields: Callable[[Any], Fields]


def _row(number: int, name: str, kind: str, shape: str = "pointer") -> Row:
    """A field that is there if and only if the wire has it."""
    return Row(number, name, kind, shape, True, name[:1].upper() + name[1:])


def _moment(seconds: int, nanoseconds: int) -> datetime | None:
    """None for Go's zero time."""
    try:
        moment = _EPOCH + timedelta(seconds=seconds, microseconds=int(nanoseconds / 1000))
    except OverflowError as error:
        raise DecodeError("Time.MarshalJSON: year outside of range [0,9999]") from error
    return None if moment == _ZERO_TIME else moment


def _time(fields: Fields) -> str | None:
    """Whole seconds: the rest is dropped, because JSON clients could not tell it."""
    moment = _moment(fields.get("seconds", 0), 0) if fields else None
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z".rjust(20, "0") if moment else None


def _micro_time(fields: Fields) -> str | None:
    moment = _moment(fields.get("seconds", 0), fields.get("nanos", 0)) if fields else None
    return f"{moment:%Y-%m-%dT%H:%M:%S.%f}Z".rjust(27, "0") if moment else None


def _quantity(fields: Fields) -> str:
    try:
        return quantity.canonical(fields["string"]) if fields else "0"
    except quantity.QuantityError as error:
        raise DecodeError(str(error)) from error


def _int_or_string(fields: Fields) -> int | str:
    match fields.get("type", 0):
        case 0:
            number: int = fields.get("intVal", 0)
            return number
        case 1:
            text: str = fields.get("strVal", "")
            return text
    raise DecodeError("impossible IntOrString.Type")


def _raw_json(fields: Fields) -> Any:
    raw = fields.get("raw", b"")
    try:
        return msgspec.json.decode(raw) if raw else None
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise DecodeError(f"json parse error: {error}") from error
    except RecursionError as error:
        raise DecodeError("exceeded max depth") from error


def _schema_or_flag(fields: Fields) -> Any:
    return fields.get("schema", fields.get("allows", False))


def _schema_or_list(fields: Fields) -> Any:
    return fields.get("list") or fields.get("schema")


def _time_fields(value: str | None) -> Fields:
    return {"seconds": _since_epoch(value) // timedelta(seconds=1), "nanos": 0} if value else {}


def _micro_time_fields(value: str | None) -> Fields:
    if not value:
        return {}
    seconds, rest = divmod(_since_epoch(value), timedelta(seconds=1))
    return {"seconds": seconds, "nanos": rest.microseconds * 1000}


def _since_epoch(value: str) -> timedelta:
    return datetime.fromisoformat(value) - _EPOCH


def _quantity_fields(value: str | float | None) -> Fields:
    return {"string": "0" if value is None else str(value)}


def _int_or_string_fields(value: int | str | None) -> Fields:
    if isinstance(value, str):
        return {"type": 1, "intVal": 0, "strVal": value}
    return {"type": 0, "intVal": value or 0, "strVal": ""}


def _raw_json_fields(value: Any) -> Fields:
    return {} if value is None else {"raw": msgspec.json.encode(value)}


def _schema_or_flag_fields(value: Any) -> Fields:
    is_flag = value is None or isinstance(value, bool)
    return {"allows": bool(value)} if is_flag else {"allows": True, "schema": value}


def _schema_or_list_fields(value: Any) -> Fields:
    return {"list": value} if isinstance(value, list) else {"schema": value}


_SCHEMA = f"{APIEXTENSIONS}JSONSchemaProps"
_TIMESTAMP = [_row(1, "seconds", "int64"), _row(2, "nanos", "int32")]
_RAW = [_row(1, "raw", "raw")]

SPECIAL: Mapping[str, Special] = {
    f"{META}Time": Special(_TIMESTAMP, _time, _time_fields),
    f"{META}MicroTime": Special(_TIMESTAMP, _micro_time, _micro_time_fields),
    QUANTITY: Special([_row(1, "string", "string")], _quantity, _quantity_fields),
    "io.k8s.apimachinery.pkg.util.intstr.IntOrString": Special(
        [_row(1, "type", "int64"), _row(2, "intVal", "int32"), _row(3, "strVal", "string")],
        _int_or_string,
        _int_or_string_fields,
    ),
    RAW_EXTENSION: Special(_RAW, _raw_json, _raw_json_fields),
    f"{META}FieldsV1": Special(_RAW, _raw_json, _raw_json_fields),
    f"{APIEXTENSIONS}JSON": Special(_RAW, _raw_json, _raw_json_fields),
    f"{_SCHEMA}OrBool": Special(
        [_row(1, "allows", "bool"), _row(2, "schema", _SCHEMA)], _schema_or_flag, _schema_or_flag_fields
    ),
    f"{_SCHEMA}OrArray": Special(
        [_row(1, "schema", _SCHEMA), _row(2, "list", _SCHEMA, "list")],
        _schema_or_list,
        _schema_or_list_fields,
    ),
    f"{_SCHEMA}OrStringArray": Special(
        [_row(1, "schema", _SCHEMA), _row(2, "list", "string", "list")],
        _schema_or_list,
        _schema_or_list_fields,
    ),
}
"""By message."""
