"""Field paths and field errors: what validation reports, worded as upstream words it.

A validator receives a `Path` and yields `FieldError`s:

    yield path.spec.replicas.invalid(-1, "must be greater than or equal to 0")

Paths below ROOT are made once and kept: validation of an object names fifty places, and nearly always reports
none. A place that stands in no object's schema is better a Path of its own.

Source of the wording: apimachinery `util/validation/field`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import count
from typing import Any

import msgspec

MOST_KEPT = 20_000
"""Paths that are kept below ROOT, some 300 bytes each; those beyond are made anew each time."""
MOST_INDEXES = 64
"""Items of a list whose paths are kept; each long list would else use up the room of all."""


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

    # A Struct is made in a third of the time.
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


class _Kept(Path, eq=False, gc=True, dict=True):
    """A path that keeps its children. Attributes are found without a call once they were asked for."""

    _children: dict[int | str, Path] = msgspec.field(default_factory=dict)

    def __getattr__(self, name: str) -> Path:
        found = super().__getattr__(name) if name[:2] == "__" else self.child(name)
        if type(found) is _Kept:
            self.__dict__[name] = found
        return found

    def child(self, name: str) -> Path:
        return self._children.get(name) or self._keep(name, super().child(name))

    def __getitem__(self, key: int | str) -> Path:
        if type(key) is not int or key >= MOST_INDEXES:
            # Keys of maps are data, which never ends.
            return super().__getitem__(key)
        return self._children.get(key) or self._keep(key, super().__getitem__(key))

    def _keep(self, key: int | str, path: Path) -> Path:
        if next(_made) >= MOST_KEPT:
            return path
        kept = self._children[key] = _Kept(path._text)
        return kept


_made = count()
ROOT: Path = _Kept()
"""The object itself."""
