"""Validating a value against a schema: everything but list types, embedded resources and rules.

A checker appends the faults of a value to a list and returns how many checks applied, by which upstream
chooses the branch of an `anyOf` or `oneOf` whose faults are worth telling. With the old value of an update,
what has not changed is not reported (validation ratcheting). Rules: kube-openapi `validation/validate`.

Invariant: a sound value costs no message and no path.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

import msgspec

from kplane.api.field import Path
from kplane.api.structural.comparing import ABSENT, correlated_items, is_same
from kplane.api.structural.faults import MOST_FAULTS, Faults, Place, composite, invalid, name_of
from kplane.api.structural.spec import META_FIELDS, Spec
from kplane.api.structural.values import (
    Fast,
    compile_enum,
    compile_fast,
    compile_format,
    compile_number,
    compile_string,
    compile_type,
    plain_types,
)

Checker: TypeAlias = Callable[[Any, Place, Faults, Any], int]
"""(value, place, faults, old value or ABSENT) -> the number of checks that applied."""

_Entry: TypeAlias = "tuple[frozenset[type], Fast | None, Checker | None]"
"""Types that need no look, a quick look, the whole look."""

_NO_TYPES: frozenset[type] = frozenset()
_OBJECT_KEYWORDS = frozenset({"minProperties", "maxProperties", "required"})
_LIST_KEYWORDS = frozenset({"minItems", "maxItems", "uniqueItems"})


def compile_checker(spec: Spec, root: bool = False, counting: bool = False) -> Checker:
    """The checker of a schema. `counting`: whether the count must be exact, as in a quantifier's branch."""
    right = plain_types(spec)
    check_type = compile_type(spec)
    check_enum = compile_enum(spec)
    check_string, check_format = compile_string(spec), compile_format(spec)
    check_number = compile_number(spec)
    quantifiers = _compile_quantifiers(spec)
    check_object = _compile_object(spec, root, counting)
    check_list = _compile_list(spec, counting)
    typed = 2 if check_type is not None else 0

    def check(value: Any, place: Place, faults: Faults, old: Any) -> int:
        if old is not ABSENT and is_same(spec, value, old, faults.same):
            return 0
        count = 4 + typed
        kind = type(value)
        if kind not in right and check_type is not None:
            before = len(faults)
            check_type(value, place, faults)
            count -= len(faults) > before
        if value is None:
            if check_enum is not None:
                check_enum(value, place, faults)
            return count - 3 - typed
        if quantifiers is not None:
            count += quantifiers(value, place, faults)
        if kind is str:
            count += 1
            if check_string is not None:
                check_string(value, place, faults)
            if check_format is not None:
                count += 1
                check_format(value, place, faults)
        elif kind is dict:
            count += 1 + check_object(value, place, faults, old)
        elif kind is list:
            count += 2 + check_list(value, place, faults, old)
        elif kind is not bool:
            count += 2
            if check_number is not None:
                check_number(value, place, faults)
        if check_enum is not None:
            check_enum(value, place, faults)
        return count

    return check


def trivial_types(spec: Spec) -> frozenset[type]:
    """The scalar types whose values a schema accepts without a look at the value."""
    if spec.raw.get("enum") or spec.format not in ("", "int32", "int64", "float", "double"):
        return _NO_TYPES
    if spec.all_of or spec.one_of or spec.negated or spec.any_of:
        return _NO_TYPES
    kinds: set[type] = set()
    if compile_string(spec) is None:
        kinds.add(str)
    if compile_number(spec) is None:
        kinds |= {bool, float} if spec.type != "integer" else {bool}
    return plain_types(spec) & kinds | ({float} if spec.type == "number" and float in kinds else _NO_TYPES)


def _accept(value: Any, place: Place, faults: Faults, old: Any) -> int:
    """Most schemas say nothing of what is in an object or in a list."""
    return 0


def _compile_entry(spec: Spec, counting: bool) -> _Entry:
    checker = compile_checker(spec, counting=counting)
    return (_NO_TYPES, None, checker) if counting else (trivial_types(spec), compile_fast(spec), checker)


def _compile_object(spec: Spec, root: bool, counting: bool) -> Checker:
    if not (spec.properties or spec.additional is not None or _OBJECT_KEYWORDS & spec.raw.keys()):
        return _accept
    fewest, most = spec.raw.get("minProperties"), spec.raw.get("maxProperties")
    required = tuple(spec.raw.get("required") or ())
    fields = {name: _compile_entry(child, counting) for name, child in spec.properties.items()}
    closed = spec.additional is False
    fallback: _Entry = (_NO_TYPES, None, None)
    if isinstance(spec.additional, Spec):
        fallback = _compile_entry(spec.additional, counting)
    uncorrelated = META_FIELDS if root else frozenset()

    def check(value: dict[str, Any], place: Place, faults: Faults, old: Any) -> int:
        if fewest is not None and len(value) < fewest:
            invalid(faults, place, len(value), f"should have at least {fewest} properties")
            return 0
        if most is not None and len(value) > most:
            faults.append(Path(name_of(place)).too_many(len(value), most))
            return 0
        count = 0
        olds = old if type(old) is dict else None
        for key, entry in value.items():
            trivial, fast, checker = fields.get(key, fallback)
            if type(entry) in trivial or (fast is not None and fast(entry)):
                continue
            if checker is not None:
                was = ABSENT if olds is None or key in uncorrelated else olds.get(key, ABSENT)
                count += checker(entry, (place, f".{key}"), faults, was)
                if len(faults) >= MOST_FAULTS:
                    return count
            elif closed and key not in fields:
                name = name_of(place)
                detail = f"{name}.{key} in body is a forbidden property"
                faults.append(Path(name).invalid(key, detail))
        for key in required:
            if key not in value:
                faults.append(Path(name_of((place, f".{key}"))).required())
        return count

    return check


def _compile_list(spec: Spec, counting: bool) -> Checker:
    if spec.items is None and not _LIST_KEYWORDS & spec.raw.keys():
        return _accept
    fewest, most = spec.raw.get("minItems"), spec.raw.get("maxItems")
    unique = spec.raw.get("uniqueItems")
    items: _Entry = (_NO_TYPES, None, None)
    if spec.items is not None:
        items = _compile_entry(spec.items, counting)
    trivial, fast, checker = items

    def check(value: list[Any], place: Place, faults: Faults, old: Any) -> int:
        count = 0
        if checker is not None:
            olds = None if old is ABSENT else correlated_items(spec, value, old)
            for index, entry in enumerate(value):
                if type(entry) in trivial or (fast is not None and fast(entry)):
                    continue
                was = ABSENT if olds is None else olds[index]
                count += checker(entry, (place, f"[{index}]"), faults, was)
                if len(faults) >= MOST_FAULTS:
                    return count
        if fewest is not None and len(value) < fewest:
            invalid(faults, place, len(value), f"should have at least {fewest} items")
        if most is not None and len(value) > most:
            faults.append(Path(name_of(place)).too_many(len(value), most))
        if unique and _has_duplicates(value):
            invalid(faults, place, "", "shouldn't contain duplicates")
        return count

    return check


def _has_duplicates(value: list[Any]) -> bool:
    return len({msgspec.json.encode(entry, order="sorted") for entry in value}) != len(value)


def _compile_quantifiers(spec: Spec) -> Callable[[Any, Place, Faults], int] | None:
    checks = [
        compiled(branches)
        for compiled, branches in (
            (_any_of, spec.any_of),
            (_one_of, spec.one_of),
            (_all_of, spec.all_of),
            (_negation, (spec.negated,) if spec.negated is not None else ()),
        )
        if branches
    ]
    if not checks:
        return None

    def check(value: Any, place: Place, faults: Faults) -> int:
        return sum(each(value, place, faults) for each in checks)

    return check


def _run(checker: Checker, value: Any, place: Place) -> tuple[Faults, int]:
    # Quantifiers hide what a fault comes from: nothing inside them is ratcheted.
    found = Faults()
    return found, checker(value, place, found, ABSENT)


def _any_of(branches: tuple[Spec, ...]) -> Callable[[Any, Place, Faults], int]:
    checkers = [compile_checker(branch, counting=True) for branch in branches]

    def check(value: Any, place: Place, faults: Faults) -> int:
        best: tuple[Faults, int] | None = None
        for checker in checkers:
            found, count = _run(checker, value, place)
            if not found:
                return count
            if best is None or count > best[1]:
                best = (found, count)
        assert best is not None
        composite(faults, place, "must validate at least one schema (anyOf)")
        faults += best[0]
        return best[1]

    return check


def _one_of(branches: tuple[Spec, ...]) -> Callable[[Any, Place, Faults], int]:
    checkers = [compile_checker(branch, counting=True) for branch in branches]

    def check(value: Any, place: Place, faults: Faults) -> int:
        best: tuple[Faults, int] | None = None
        valid, first = 0, 0
        for checker in checkers:
            found, count = _run(checker, value, place)
            if not found:
                valid, first, best = valid + 1, first or count, None
            elif not valid and (best is None or count > best[1]):
                best = (found, count)
        if valid == 1:
            return first
        detail = f"Found {valid} valid alternatives" if valid else "Found none valid"
        composite(faults, place, f"must validate one and only one schema (oneOf). {detail}")
        if best is None:
            return 0
        faults += best[0]
        return best[1]

    return check


def _all_of(branches: tuple[Spec, ...]) -> Callable[[Any, Place, Faults], int]:
    checkers = [compile_checker(branch, counting=True) for branch in branches]

    def check(value: Any, place: Place, faults: Faults) -> int:
        valid, total = 0, 0
        for checker in checkers:
            found, count = _run(checker, value, place)
            valid += not found
            total += count
            faults += found
        if valid != len(checkers):
            composite(
                faults, place, f"must validate all the schemas (allOf){'' if valid else '. None validated'}"
            )
        return total

    return check


def _negation(branches: tuple[Spec, ...]) -> Callable[[Any, Place, Faults], int]:
    checker = compile_checker(branches[0], counting=True)

    def check(value: Any, place: Place, faults: Faults) -> int:
        if not _run(checker, value, place)[0]:
            composite(faults, place, "must not validate the schema (not)")
        return 0

    return check
