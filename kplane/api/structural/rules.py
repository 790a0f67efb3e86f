"""Running the rules of a schema (`x-kubernetes-validations`) on an object.

A walk visits a value and its old one side by side. `oldSelf` is the old value where objects are compared
field by field and lists by their keys; a rule that does not use it is not reported where nothing has changed
(validation ratcheting). All rules of an object share one cost budget; whatever exhausts it ends the walk
with a fault. Rules and wording: apiextensions `schema/cel/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from kplane.api.cel import Budget, BudgetExceeded, EvaluationError, Program
from kplane.api.cel.values import NONE, Optional
from kplane.api.field import FieldError, Path
from kplane.api.structural.comparing import ABSENT, Memo, by_keys, correlated_items, is_same, keys_of
from kplane.api.structural.expressions import OLD_SELF, SELF, Rule, compile_node
from kplane.api.structural.faults import MOST_FAULTS
from kplane.api.structural.spec import Spec


class Rules(Protocol):
    """All rules of a schema.

    `old`: the old value, or None. `budget` is what they may cost, by default what one object may cost.
    `ratchet`: whether unchanged parts are spared.
    """

    def __call__(
        self, value: Any, old: Any, path: Path = ..., budget: Budget | None = None, ratchet: bool = True
    ) -> list[FieldError]: ...


MAX_MESSAGE = 5 * 1024
_NOWHERE = Path()
_NO_FURTHER = "no further validation rules will be run"
_OUT_OF_BUDGET = f"validation failed due to running out of cost budget, {_NO_FURTHER}"
_MESSAGE_OUT_OF_BUDGET = (
    f"messageExpression evaluation failed due to running out of cost budget, {_NO_FURTHER}"
)


class _Stop(Exception):
    """The budget is exhausted, as a fault says, or there are faults enough."""


class _Pair(NamedTuple):
    """A value and its old one, of the same schema."""

    spec: Spec
    new: Any
    old: Any

    def key(self, name: str) -> _Pair | None:
        child = self.spec.child(name)
        if child is None or type(self.old) is not dict or type(self.new) is not dict:
            return None
        return _Pair(child, self.new.get(name), self.old.get(name))


@dataclass(frozen=True, slots=True)
class _Change:
    """What is known of a value's past: itself, else its nearest ancestor that is comparable."""

    current: _Pair | None = None
    ancestor: _Pair | None = None

    def field(self, name: str) -> _Change:
        if self.current is None:
            return self
        if self.ancestor is None and name in ("apiVersion", "kind"):
            return _Change()
        return _Change(self.current.key(name), self.current)

    def items(self) -> Iterator[_Change]:
        pair = self.current
        assert pair is not None
        assert pair.spec.items is not None
        for entry, old in zip(pair.new, correlated_items(pair.spec, pair.new, pair.old), strict=True):
            yield _Change(None if old is ABSENT else _Pair(pair.spec.items, entry, old), pair)

    def is_none(self, memo: Memo) -> bool:
        pair = self.current or self.ancestor
        return pair is not None and is_same(pair.spec, pair.new, pair.old, memo)


@dataclass(slots=True)
class _Run:
    """One object's evaluation."""

    budget: Budget
    faults: list[FieldError] = field(default_factory=list)
    memo: Memo = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Node:
    """The schema nodes that have rules, or have such nodes beneath them."""

    spec: Spec
    rules: list[Rule]
    error: str
    fields: dict[str, _Node]
    items: _Node | None
    rest: _Node | None


def compile_rules(spec: Spec, root: bool = False) -> Rules | None:
    """What runs all rules of a schema; None if it has none."""
    node = _compile(spec, root)
    if node is None:
        return None

    def check(
        value: Any, old: Any, path: Path = _NOWHERE, budget: Budget | None = None, ratchet: bool = True
    ) -> list[FieldError]:
        run = _Run(budget if budget is not None else Budget())
        change = _Change(_Pair(spec, value, old) if old is not None and ratchet else None)
        with suppress(_Stop):
            _walk(node, value, old, path, change, run)
        return run.faults

    return check


def _compile(spec: Spec, root: bool) -> _Node | None:
    rules, error = compile_node(spec, root) if spec.rules else ([], "")
    fields = {name: node for name, child in spec.properties.items() if (node := _compile(child, False))}
    items = _compile(spec.items, False) if spec.items is not None else None
    rest = _compile(spec.additional, False) if isinstance(spec.additional, Spec) else None
    if not (rules or error or fields or items or rest):
        return None
    return _Node(spec, rules, error, fields, items, rest)


def _walk(node: _Node, value: Any, old: Any, path: Path, change: _Change, run: _Run) -> None:
    # A rule speaks of values; whether there may be none is for the surrounding schema to say.
    if value is None:
        return
    _check_node(node, value, old, path, change, run)
    if type(value) is dict and (node.fields or node.rest is not None):
        olds = old if type(old) is dict else {}
        for key, entry in value.items():
            if node.rest is not None:
                _walk(node.rest, entry, olds.get(key), path[key], change.field(key), run)
            if key in node.fields:
                _walk(node.fields[key], entry, olds.get(key), path.child(key), change.field(key), run)
    elif type(value) is list and node.items is not None:
        _walk_items(node, node.items, value, old, path, change, run)


def _walk_items(
    node: _Node, items: _Node, value: list[Any], old: Any, path: Path, change: _Change, run: _Run
) -> None:
    spec = node.spec
    keyed = by_keys(spec, old) if spec.list_type == "map" and type(old) is list else {}
    changes = change.items() if change.current is not None else None
    for index, entry in enumerate(value):
        was = keyed.get(keys_of(spec, entry)) if keyed else None
        _walk(items, entry, was, path[index], change if changes is None else next(changes), run)


def _check_node(node: _Node, value: Any, old: Any, path: Path, change: _Change, run: _Run) -> None:
    kind = node.spec.type
    if node.error:
        run.faults.append(path.invalid(kind, f"rule compiler initialization error: {node.error}"))
    if node.rules and run.budget.left <= 0:
        run.faults.append(path.invalid(kind, _OUT_OF_BUDGET))
        raise _Stop
    for rule in node.rules:
        if rule.error:
            run.faults.append(path.invalid(kind, f"rule compile error: {rule.error}"))
        elif rule.program is not None and not (rule.uses_old and old is None and not rule.optional_old):
            _check_rule(rule, rule.program, kind, _bindings(rule, value, old), path, change, run)


def _bindings(rule: Rule, value: Any, old: Any) -> dict[str, Any]:
    if not rule.uses_old:
        return {SELF: value}
    if not rule.optional_old:
        return {SELF: value, OLD_SELF: old}
    return {SELF: value, OLD_SELF: NONE if old is None else Optional(old, True)}


def _check_rule(
    rule: Rule,
    program: Program,
    kind: str,
    bindings: dict[str, Any],
    path: Path,
    change: _Change,
    run: _Run,
) -> None:
    try:
        holds = program.evaluate(bindings, run.budget)
    except BudgetExceeded as error:
        detail = _OUT_OF_BUDGET
        if error.per_call:
            detail = f"'{error}': {_NO_FURTHER} due to call cost exceeds limit for rule: {rule.shown}"
        run.faults.append(path.invalid(kind, detail))
        raise _Stop from None
    except EvaluationError as error:
        run.faults.append(path.invalid(kind, _failure(str(error), rule)))
        return
    if holds is True:
        return
    place = path.child(rule.field_path) if rule.field_path else path
    unchanged = not rule.uses_old and change.is_none(run.memo)
    detail, exhausted = _detail(rule, bindings, run)
    fault = place.invalid(kind, detail) if exhausted else _fault(rule, place, kind, detail)
    if not unchanged:
        run.faults.append(fault)
    if exhausted or len(run.faults) >= MOST_FAULTS:
        raise _Stop


def _failure(error: str, rule: Rule) -> str:
    if error.startswith("no such overload"):
        return (
            f"'{error}': call arguments did not match a supported operator, function or macro signature for"
            f" rule: {rule.shown}"
        )
    return f"{error} evaluating rule: {rule.shown}"


def _fault(rule: Rule, path: Path, kind: str, detail: str) -> FieldError:
    match rule.raw.get("reason"):
        case "FieldValueForbidden":
            return path.forbidden(detail)
        case "FieldValueRequired":
            return path.required(detail)
        case "FieldValueDuplicate":
            return path.duplicate(kind)
    return path.invalid(kind, detail)


def _detail(rule: Rule, bindings: dict[str, Any], run: _Run) -> tuple[str, bool]:
    """What a broken rule says, and whether saying it exhausted the budget."""
    if rule.message is not None:
        try:
            text = rule.message.evaluate(bindings, run.budget)
        except BudgetExceeded as error:
            if not error.per_call:
                return _MESSAGE_OUT_OF_BUDGET, True
            source = str(rule.raw.get("messageExpression"))
            return (f'{_NO_FURTHER} due to call cost exceeds limit for messageExpression: "{source}"'), True
        except EvaluationError:
            text = None  # The static message stands in.
        if isinstance(text, str) and _is_message(text.strip()):
            return text.strip(), False
    message: str = rule.raw.get("message") or ""
    return message.strip() if message else f"failed rule: {rule.source}", False


def _is_message(text: str) -> bool:
    return bool(text) and len(text.encode()) <= MAX_MESSAGE and "\n" not in text
