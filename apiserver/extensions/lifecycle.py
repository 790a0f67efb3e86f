"""What the status of a CustomResourceDefinition should say: accepted names and conditions. Pure.

A name is accepted while no other definition of its group has it; once all are, the definition is established
and stays so. Rules and wording: apiextensions `pkg/controller/status`, `establish`, `apiapproval`.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kplane.api.resource import Object

from . import approval, structure
from .conditions import (
    ESTABLISHED,
    NAMES_ACCEPTED,
    NON_STRUCTURAL,
    Condition,
    find,
    is_true,
    remove_condition,
    set_condition,
)

_ACCEPTED = Condition(NAMES_ACCEPTED, "True", "NoConflicts", "no conflicts found")
_ESTABLISHED = Condition(ESTABLISHED, "True", "InitialNamesAccepted", "the initial names have been accepted")
_NOT_ESTABLISHED = Condition(ESTABLISHED, "False", "NotAccepted", "not all names are accepted")


@dataclass(frozen=True)
class Taken:
    """Names that the definitions of a group use."""

    resources: set[str] = field(default_factory=set)
    kinds: set[str] = field(default_factory=set)


def is_complete(crd: Object) -> bool:
    """Whether it has what every definition that the API let in has: others write into stores, too."""
    spec = crd.get("spec")
    if not isinstance(spec, dict) or spec.get("scope") not in ("Cluster", "Namespaced"):
        return False
    versions = spec.get("versions")
    if not isinstance(versions, list) or not all(isinstance(version, dict) for version in versions):
        return False
    named = all(isinstance(version.get("name"), str) and "served" in version for version in versions)
    names = spec.get("names")
    return (
        named
        and isinstance(spec.get("group"), str)
        and isinstance(names, dict)
        and all(isinstance(names.get(key), str) for key in ("plural", "kind"))
        and sum(version.get("storage") is True for version in versions) == 1
    )


def taken(group: str, crds: Iterable[Object]) -> Taken:
    """The accepted names of all definitions of this group."""
    found = Taken()
    for crd in crds:
        if crd["spec"]["group"] == group:
            names = accepted_names(crd)
            found.resources.update((names.get("plural", ""), names.get("singular", "")))
            found.resources.update(names.get("shortNames") or ())
            found.kinds.update((names.get("kind", ""), names.get("listKind", "")))
    return found


def accepted_names(crd: Object) -> Object:
    names: Object = (crd.get("status") or {}).get("acceptedNames") or {}
    return names


def next_status(crd: Object, used: Taken, now: str) -> Object | None:
    """The status as it should be; None where it is. `used` are the names in the definition's group."""
    status: Object = copy.deepcopy(crd.get("status") or {})
    names, verdict = _accept(crd, used)
    status["acceptedNames"] = names
    for wanted in _conditions(crd, verdict):
        current = find({"status": status}, wanted.type)
        if current is None or _differs(current, wanted):
            set_condition(status, wanted, now)
    if find(crd, NON_STRUCTURAL) and structure.condition(crd) is None:
        remove_condition(status, NON_STRUCTURAL)
    return status if status != crd.get("status") else None


def _conditions(crd: Object, verdict: Condition) -> Iterator[Condition]:
    if violations := structure.condition(crd):
        yield violations
    if approved := approval.condition(crd):
        yield approved
    yield verdict
    if is_true(crd, ESTABLISHED):
        return
    yield _ESTABLISHED if verdict.status == "True" else _NOT_ESTABLISHED


def _differs(current: Object, wanted: Condition) -> bool:
    return (current["status"], current.get("reason"), current.get("message")) != wanted[1:]


def _accept(crd: Object, used: Taken) -> tuple[Object, Condition]:
    """The names to use, and whether they are all that were asked for. Of several conflicts, the last one is
    told."""
    wanted, names = crd["spec"]["names"], dict(accepted_names(crd))
    verdict = _ACCEPTED
    for key, pool in (("plural", used.resources), ("singular", used.resources)):
        verdict = _take(key, wanted, names, pool) or verdict
    verdict = _take_short_names(wanted, names, used.resources) or verdict
    for key, pool in (("kind", used.kinds), ("listKind", used.kinds)):
        verdict = _take(key, wanted, names, pool) or verdict
    _assign(names, "categories", wanted.get("categories"))
    return names, verdict


def _take(key: str, wanted: Object, names: Object, used: set[str]) -> Condition | None:
    name = wanted.get(key, "")
    if name != names.get(key, "") and name in used:
        return _conflict(key, f'"{name}" is already in use')
    _assign(names, key, name)
    return None


def _take_short_names(wanted: Object, names: Object, used: set[str]) -> Condition | None:
    own = {*(names.get("shortNames") or ()), names.get("plural"), names.get("singular")}
    asked = wanted.get("shortNames") or []
    clashes = [f'"{name}" is already in use' for name in asked if name not in own and name in used]
    if clashes:
        text = clashes[0] if len(clashes) == 1 else f"[{', '.join(dict.fromkeys(clashes))}]"
        return _conflict("shortNames", text)
    _assign(names, "shortNames", asked)
    return None


def _conflict(key: str, text: str) -> Condition:
    return Condition(NAMES_ACCEPTED, "False", f"{key[0].upper()}{key[1:]}Conflict", text)


def _assign(names: Object, key: str, value: Any) -> None:
    if value:
        names[key] = value
    elif key not in ("plural", "kind"):
        names.pop(key, None)
