"""Files that volumes write, and paths in pods: where they may be, and their modes."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .environment import VOLUME_FIELDS, validate_field_ref, validate_resource_ref

_FILE_MODE = "must be a number between 0 and 0777 (octal), both inclusive"


def validate_downward_items(items: list[Object], path: Path) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        here = path[index]
        if not item.get("path"):
            yield here.path.required()
        else:
            yield from local_path(item["path"], here.path)
        if "fieldRef" in item:
            yield from validate_field_ref(item["fieldRef"], VOLUME_FIELDS, here.fieldRef)
            if "resourceFieldRef" in item:
                yield here.invalid(
                    "resource", "fieldRef and resourceFieldRef can not be specified simultaneously"
                )
        elif "resourceFieldRef" in item:
            yield from validate_resource_ref(item["resourceFieldRef"], True, here.resourceFieldRef)
        else:
            yield here.required("one of fieldRef and resourceFieldRef is required")
        yield from validate_mode(item.get("mode"), here.mode)


def validate_key_paths(items: list[Object], path: Path) -> Iterator[FieldError]:
    for index, item in enumerate(items):
        here = path[index]
        if not item.get("key"):
            yield here.key.required()
        if not item.get("path"):
            yield here.path.required()
        else:
            yield from local_path(item["path"], here.path)
        yield from validate_mode(item.get("mode"), here.mode)


def validate_mode(mode: int | None, path: Path) -> Iterator[FieldError]:
    if mode is not None and not 0 <= mode <= 0o777:
        yield path.invalid(mode, _FILE_MODE)


def local_path(place: str, path: Path) -> Iterator[FieldError]:
    """A relative path that stays below where it starts, and whose first part is not reserved."""
    yield from descending_path(place, path)
    if place.startswith("..") and not place.startswith("../"):
        yield path.invalid(place, "must not start with '..'")


def descending_path(place: str, path: Path) -> Iterator[FieldError]:
    if place.startswith("/"):
        yield path.invalid(place, "must be a relative path")
    yield from no_backsteps(place, path)


def no_backsteps(place: str, path: Path) -> Iterator[FieldError]:
    if ".." in place.split("/"):
        yield path.invalid(place, "must not contain '..'")
