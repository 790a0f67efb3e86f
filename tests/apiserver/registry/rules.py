"""What an API server refuses, as its clients see it: every cause with field, reason and message."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

from ..conftest import Answer, Api

Object: TypeAlias = dict[str, Any]
Cause: TypeAlias = tuple[str, str, str]

REQUIRED, INVALID, FORBIDDEN = "FieldValueRequired", "FieldValueInvalid", "FieldValueForbidden"
DUPLICATE, UNSUPPORTED, TOO_MANY = "FieldValueDuplicate", "FieldValueNotSupported", "FieldValueTooMany"
TOO_LONG, NOT_FOUND = "FieldValueTooLong", "FieldValueNotFound"


def merged(base: Object, change: Mapping[str, Any]) -> Object:
    """A merge patch of a copy; lists are replaced."""
    result = copy.deepcopy(base)
    for name, value in change.items():
        if value is None:
            result.pop(name, None)
        elif isinstance(value, Mapping) and isinstance(result.get(name), dict):
            result[name] = merged(result[name], value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def causes(answer: Answer) -> list[Cause]:
    """Of a refusal; empty if it was none."""
    if answer.code < 400:
        return []
    assert answer.code == 422, answer.body
    listed = answer.body["details"]["causes"]
    return [(cause["field"], cause["reason"], cause["message"]) for cause in listed]


async def refused_creations(
    api: Api, path: str, base: Object, changes: Mapping[str, Mapping[str, Any]]
) -> dict[str, list[Cause]]:
    """What each change of a sound object is refused for; the object itself must be accepted."""
    sound = await api("POST", path, base, dryRun="All")
    assert sound.code == 201, sound.body
    return {
        name: causes(await api("POST", path, merged(base, change), dryRun="All"))
        for name, change in changes.items()
    }


async def refused_updates(
    api: Api, path: str, base: Object, changes: Mapping[str, Mapping[str, Any]], *, subresource: str = ""
) -> dict[str, list[Cause]]:
    """What each change of a stored object is refused for, sent to the object or to a subresource."""
    made = await api.make(path, base)
    place = f"{path}/{made['metadata']['name']}" + (f"/{subresource}" if subresource else "")
    return {
        name: causes(await api("PUT", place, merged(made, change), dryRun="All"))
        for name, change in changes.items()
    }


def one(field: str, reason: str, message: str) -> Sequence[Cause]:
    return [(field, reason, message)]
