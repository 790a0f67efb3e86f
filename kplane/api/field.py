"""Field paths and field errors: what validation reports, worded as upstream words it.

A validator receives a `Path` and yields `FieldError`s:

    yield path.spec.replicas.invalid(-1, "must be greater than or equal to 0")

Source of the wording: apimachinery `util/validation/field`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import msgspec


@dataclass(frozen=True, slots=True)
class FieldError:
    """One fault of one field; `reason` is the API cause reason, `text` the message after the path."""

    field: str
    reason: str
    text: str

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"

    def cause(self) -> dict[str, str]:
        """The entry for `status.details.causes`."""
        return {"reason": self.reason, "message": self.text, "field": self.field}


def quoted(value: Any) -> str:
    """A value as upstream prints it inside a message: strings in quotes, the rest as JSON."""
    if value is None:
        return "null"
    return msgspec.json.encode(value).decode()


class Path(msgspec.Struct, eq=False, gc=False):
    """A field's place in an object: attributes name fields, `[n]` an item, `[key]` a map entry.

    Use `child(name)` where a field's name is also a method of this class (`required`, `invalid`, …).
    """

    # A Struct is made in a third of the time, and validation of a Pod makes fifty.
    _text: str = ""

    def __getattr__(self, name: str) -> Path:
        if name[:2] == "__":
            raise AttributeError(name)
        return Path(f"{self._text}.{name}" if self._text else name)

    def child(self, name: str) -> Path:
        return Path(f"{self._text}.{name}" if self._text else name)

    def __getitem__(self, key: int | str) -> Path:
        return Path(f"{self._text}[{key}]")

    def __str__(self) -> str:
        return self._text or "<nil>"

    def required(self, detail: str = "") -> FieldError:
        return FieldError(str(self), "FieldValueRequired", _with("Required value", detail))

    def invalid(self, value: Any, detail: str) -> FieldError:
        return FieldError(str(self), "FieldValueInvalid", _with(f"Invalid value: {quoted(value)}", detail))

    def type_invalid(self, value: Any, detail: str) -> FieldError:
        return FieldError(
            str(self), "FieldValueTypeInvalid", _with(f"Invalid value: {quoted(value)}", detail)
        )

    def not_supported(self, value: Any, supported: Iterable[str]) -> FieldError:
        names = ", ".join(quoted(name) for name in supported)
        text = f"Unsupported value: {quoted(value)}"
        return FieldError(
            str(self), "FieldValueNotSupported", f"{text}: supported values: {names}" if names else text
        )

    def forbidden(self, detail: str) -> FieldError:
        return FieldError(str(self), "FieldValueForbidden", _with("Forbidden", detail))

    def duplicate(self, value: Any) -> FieldError:
        return FieldError(str(self), "FieldValueDuplicate", f"Duplicate value: {quoted(value)}")

    def not_found(self, value: Any) -> FieldError:
        return FieldError(str(self), "FieldValueNotFound", f"Not found: {quoted(value)}")

    def too_long(self, limit: int) -> FieldError:
        return FieldError(str(self), "FieldValueTooLong", f"Too long: may not be more than {limit} bytes")

    def too_many(self, count: int, limit: int) -> FieldError:
        items = "item" if limit == 1 else "items"
        return FieldError(
            str(self), "FieldValueTooMany", f"Too many: {count}: must have at most {limit} {items}"
        )


def _with(text: str, detail: str) -> str:
    return f"{text}: {detail}" if detail else text
