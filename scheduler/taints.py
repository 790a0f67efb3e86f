"""Taints as nodes carry them, and which tolerations excuse them. Rules: API type `Toleration`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from kplane.api.types.core import Toleration

NO_SCHEDULE = "NoSchedule"
PREFER_NO_SCHEDULE = "PreferNoSchedule"
NO_EXECUTE = "NoExecute"

_INTEGER = re.compile(r"[-+]?[0-9]{1,19}").fullmatch


class Taint(NamedTuple):
    """A taint without its date: equal ones share a code in the node table."""

    key: str
    value: str
    effect: str


TaintSet = tuple[Taint, ...]

CORDON = Taint("node.kubernetes.io/unschedulable", "", NO_SCHEDULE)
"""What `spec.unschedulable` stands for; a toleration for it lets DaemonSets onto cordoned nodes."""


def tolerates(tolerations: Iterable[Toleration], taint: Taint) -> bool:
    return any(_excuses(toleration, taint) for toleration in tolerations)


def _excuses(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "" | "Equal":
            return toleration.value == taint.value
        case "Exists":
            return True
        case "Gt" | "Lt":
            return _compares(toleration, taint)
    return False


def _compares(toleration: Toleration, taint: Taint) -> bool:
    """Numeric tolerations (KEP-5471): the taint's value is greater or less than the toleration's."""
    if not _INTEGER(taint.value) or not _INTEGER(toleration.value):
        return False
    difference = int(taint.value) - int(toleration.value)
    return difference > 0 if toleration.operator == "Gt" else difference < 0
