"""Defaults of a definition: they must be values that their own schema allows, without unknown fields.

Rules and wording: apiextensions `schema/defaulting/validation.go`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import msgspec

from kplane.api.cel import Budget
from kplane.api.field import FieldError, Path
from kplane.api.structural.checking import compile_checker
from kplane.api.structural.comparing import ABSENT
from kplane.api.structural.embedded import compile_embedded
from kplane.api.structural.faults import Faults
from kplane.api.structural.pruning import compile_pruner
from kplane.api.structural.rules import compile_rules
from kplane.api.structural.spec import META_FIELDS, Spec

_Surround: TypeAlias = Callable[[Any], dict[str, Any]]
"""Puts a default of a metadata field into a whole resource."""


@dataclass(frozen=True, slots=True)
class _Context:
    root: Spec
    """Of the resource around."""
    surround: _Surround
    in_meta: bool
    budget: Budget
    """Of the rules of all defaults together."""

    def at(self, surround: _Surround, in_meta: bool) -> _Context:
        return replace(self, surround=surround, in_meta=in_meta)


def check_defaults(spec: Spec, path: Path) -> Iterator[FieldError]:
    yield from _check(replace(spec, embedded=True), _Context(spec, _resource, False, Budget()), path)


def _resource(value: Any) -> dict[str, Any]:
    return {"apiVersion": "validation/v1", "kind": "Validation", **value}


def _check(spec: Spec, context: _Context, path: Path) -> Iterator[FieldError]:
    if spec.embedded:
        context = replace(context, root=spec, surround=_resource, in_meta=False)
    surround = context.surround
    if spec.default is not None:
        check = _check_in_meta if context.in_meta else _check_value
        yield from check(spec, context, path)
    # Not additionalProperties: defaults have no effect there.
    if spec.items is not None:
        inner = context.at(lambda value: surround([value]), context.in_meta)
        yield from _check(spec.items, inner, path.child("items"))
    for name, child in spec.properties.items():
        inside = context.in_meta or (spec.embedded and name in META_FIELDS)
        yield from _check(child, context.at(_field(surround, name), inside), path.properties[name])


def _field(surround: _Surround, name: str) -> _Surround:
    return lambda value: surround({name: value})


def _check_in_meta(spec: Spec, context: _Context, path: Path) -> Iterator[FieldError]:
    walk = compile_embedded(replace(context.root, embedded=True))
    assert walk is not None
    faults = list(walk(context.surround(spec.default), Path()))
    if faults:
        shown = str(faults[0]) if len(faults) == 1 else f"[{', '.join(map(str, faults))}]"
        yield path.default.invalid(spec.default, f"must result in valid metadata: {shown}")
    else:
        yield from _check_against(spec, context.budget, path.default)


def _check_value(spec: Spec, context: _Context, path: Path) -> Iterator[FieldError]:
    text = msgspec.json.encode(spec.default)
    pruned = msgspec.json.decode(text)
    if isinstance(pruned, (dict, list)) and compile_pruner(spec, coerce=False)(pruned):
        yield path.default.invalid(spec.default, "must not have unknown fields")
    walk = compile_embedded(spec)
    faults = list(walk(spec.default, path.default)) if walk is not None else []
    yield from faults or _check_against(spec, context.budget, path.default)


def _check_against(spec: Spec, budget: Budget, path: Path) -> Iterator[FieldError]:
    found = Faults()
    compile_checker(spec)(spec.default, None, found, ABSENT)
    for fault in dict.fromkeys(found):
        place = path if fault.field == "<nil>" else path.child(fault.field)
        yield replace(fault, field=str(place))
    rules = compile_rules(spec) if not found else None
    if rules is not None:
        faults = rules(spec.default, spec.default, path, budget, ratchet=False)
        # Rules for which an old value is optional must hold without one, too.
        yield from faults or rules(spec.default, None, path, budget)
