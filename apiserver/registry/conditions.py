"""`status.conditions` of the common form (metav1.Condition): their validation.

Rules and wording: apimachinery `apis/meta/v1/validation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .labels import validate_key

_STATUSES = ("False", "True", "Unknown")
_MAX_REASON = 1024
_MAX_MESSAGE = 32768
_REASON = "[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?"
_is_reason = re.compile(_REASON).fullmatch
_NO_REASON = names.pattern_fault(
    "a condition reason must start with alphabetic character, optionally followed by a string of alphanumeric"
    " characters or '_,:', and must end with an alphanumeric character or '_'",
    _REASON,
    "my_name",
    "MY_NAME",
    "MyName",
    "ReasonA,ReasonB",
    "ReasonA:ReasonB",
)


def validate_conditions(conditions: Sequence[Object], path: Path) -> Iterator[FieldError]:
    taken: set[str] = set()
    for index, condition in enumerate(conditions):
        kind = condition.get("type", "")
        if kind in taken:
            yield path[index].type.duplicate(kind)
        taken.add(kind)
        yield from _validate_condition(condition, path[index])


def _validate_condition(condition: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_key(condition.get("type", ""), path.type)
    status, reason = condition.get("status", ""), condition.get("reason", "")
    if status not in _STATUSES:
        yield path.status.not_supported(status, _STATUSES)
    observed = condition.get("observedGeneration", 0)
    if observed < 0:
        yield path.observedGeneration.invalid(observed, "must be greater than or equal to zero")
    if not condition.get("lastTransitionTime"):
        yield path.lastTransitionTime.required("must be set")
    if not reason:
        yield path.reason.required("must be set")
    elif not _is_reason(reason):
        yield path.reason.invalid(reason, _NO_REASON)
    if len(reason) > _MAX_REASON:
        yield path.reason.too_long(_MAX_REASON)
    if len(condition.get("message", "")) > _MAX_MESSAGE:
        yield path.message.too_long(_MAX_MESSAGE)
