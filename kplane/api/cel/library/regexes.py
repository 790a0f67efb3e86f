"""`find` and `findAll`, Kubernetes' regex library."""

from __future__ import annotations

from .. import charges
from ..overload import Overload, method
from ..regular import compiled
from ..types import INT, STRING, list_of


def _find(text: str, pattern: str) -> str:
    match = compiled(pattern).search(text)
    return str(match[0]) if match else ""


def _find_all(text: str, pattern: str, limit: int = -1) -> list[str]:
    found: list[str] = []
    if limit == 0:
        return found
    for match in compiled(pattern).finditer(text):
        found.append(match[0])
        if len(found) == limit:
            break
    return found


OVERLOADS: list[Overload] = [
    method("find", (STRING, STRING), STRING, _find, charges.FIND),
    method("findAll", (STRING, STRING), list_of(STRING), _find_all, charges.FIND),
    method("findAll", (STRING, STRING, INT), list_of(STRING), _find_all, charges.FIND),
]
