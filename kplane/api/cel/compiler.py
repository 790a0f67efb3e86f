"""A checked tree into Python closures that count what they cost.

Costs that do not depend on values are added up at compile time and paid once for each stretch of nodes that
is always evaluated together: the whole expression, the right side of `&&` and `||`, a branch, one round of a
loop. What depends on values is paid before it is done. Loops look at the budget in every round, calls with a
price at every call, so no evaluation goes on for long without money.

Invariant: a closure raises nothing but EvaluationError and BudgetExceeded, and keeps nothing between
evaluations.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple, TypeAlias

from .ast import Bind, Call, Expr, Fold, Ident, ListExpr, Literal, MapExpr, Select, StructExpr
from .errors import BudgetExceeded, EvaluationError
from .library.optionals import find, index_any
from .overload import Overload
from .types import Type
from .values import Optional, Struct, TypeValue, is_map

MISSING = object()
"""Stands in the slot of a variable that the bindings lack."""
LIST_COST, MAP_COST, STRUCT_COST = 10, 30, 40
_SCALARS = frozenset({"int", "uint", "bool", "timestamp", "duration", "double", "opaque"})
_BAD_VALUE = (TypeError, AttributeError, ValueError, KeyError, IndexError)
"""What Python raises when a null, or data that its schema does not describe, reaches a function."""


class Frame:
    """One evaluation: what it may still cost, and the variables' values."""

    __slots__ = ("left", "slots")

    def __init__(self, left: int, slots: list[Any]) -> None:
        self.left = left
        self.slots = slots


Run: TypeAlias = Callable[[Frame], Any]


class Code(NamedTuple):
    """A closure, and what it always costs; whoever calls it pays."""

    run: Run
    cost: int = 0


class Compiler:
    """Compiles one tree. `slots` grows: the declared variables first, then those of loops and binds."""

    def __init__(self, variables: Iterable[str]) -> None:
        self._scopes: list[tuple[str, int]] = [(name, slot) for slot, name in enumerate(variables)]
        self.slots = len(self._scopes)

    def compile(self, node: Expr) -> Code:
        match node:
            case Literal():
                value = node.value
                return Code(lambda frame: value)
            case Ident():
                return self._ident(node)
            case Select():
                return self._select(node)
            case Call():
                return self._call(node)
            case ListExpr():
                return self._list(node)
            case MapExpr():
                return self._map(node)
            case StructExpr():
                return self._struct(node)
            case Fold():
                return self._fold(node)
            case Bind():
                return self._bind(node)

    def _slot(self, name: str) -> int:
        return next(slot for scoped, slot in reversed(self._scopes) if scoped == name)

    def _declare(self, names: Sequence[str]) -> list[int]:
        slots = list(range(self.slots, self.slots + len(names)))
        self._scopes += zip(names, slots, strict=True)
        self.slots += len(names)
        return slots

    def _ident(self, node: Ident) -> Code:
        if node.denotes is not None:
            value = TypeValue(node.name)
            return Code(lambda frame: value, 1)
        name, slot = node.name, self._slot(node.name)

        def read(frame: Frame) -> Any:
            value = frame.slots[slot]
            if value is MISSING:
                raise EvaluationError(f"no such attribute(s): {name}")
            return value

        return Code(read, 1)

    def _select(self, node: Select) -> Code:
        if node.resolved is not None:
            return self._ident(node.resolved)
        operand = self.compile(node.operand)
        key = _json_key(node.operand.type, node.field)
        if node.test:
            return Code(_has(operand.run, key), operand.cost)
        return Code(_field(operand.run, key), operand.cost + 1)

    # Calls

    def _call(self, node: Call) -> Code:
        match node.function:
            case "_&&_":
                return self._logical(node, stop=False)
            case "_||_":
                return self._logical(node, stop=True)
            case "_?_:_":
                return self._conditional(node)
            case "_?._":
                return self._optional_field(node)
            case "_==_" | "_!=_" if _one_scalar(node.args):
                return self._scalar_equality(node)
        operands = node.operands()
        codes = [self.compile(operand) for operand in operands]
        cost = sum(code.cost for code in codes)
        runs = [code.run for code in codes]
        if len(node.overloads) == 1 and _static(operands, node.overloads[0]):
            overload = node.overloads[0]
            if overload.charge is None:
                return Code(_direct(overload.run, runs), cost + 1)
            return Code(_charged(overload, runs), cost)
        if node.function == "_[_]":
            return Code(_direct(index_any, runs), cost + 1)
        return Code(_dispatch(node.overloads, runs), cost)

    def _logical(self, node: Call, stop: bool) -> Code:
        """`stop` decides at once; an error is forgiven when the other side decides."""
        first, second = (self.compile(arg) for arg in node.args)
        left, right, price = first.run, second.run, second.cost

        def logical(frame: Frame) -> Any:
            failure: EvaluationError | None = None
            try:
                value = left(frame)
                if value is stop:
                    return stop
                if value is not True and value is not False:
                    failure = EvaluationError("no such overload")
            except EvaluationError as error:
                failure = error
            frame.left -= price
            value = right(frame)
            if value is stop:
                return stop
            if failure is not None:
                raise failure
            if value is not True and value is not False:
                raise EvaluationError("no such overload")
            return not stop

        return Code(logical, first.cost)

    def _conditional(self, node: Call) -> Code:
        condition, yes, no = (self.compile(arg) for arg in node.args)
        test, positive, negative, price, other = condition.run, yes.run, no.run, yes.cost, no.cost

        def conditional(frame: Frame) -> Any:
            value = test(frame)
            if value is True:
                frame.left -= price
                return positive(frame)
            if value is False:
                frame.left -= other
                return negative(frame)
            raise EvaluationError("no such overload")

        return Code(conditional, condition.cost)

    def _scalar_equality(self, node: Call) -> Code:
        first, second = (self.compile(arg) for arg in node.args)
        left, right, cost = first.run, second.run, first.cost + second.cost
        if node.args[0].type.kind in _SCALARS:
            if node.function == "_==_":
                return Code(lambda frame: left(frame) == right(frame), cost + 1)
            return Code(lambda frame: left(frame) != right(frame), cost + 1)
        wanted = node.function == "_==_"

        def texts(frame: Frame) -> bool:
            one, other = left(frame), right(frame)
            if one is not None and other is not None:
                # A tenth of the shorter one, rounded up.
                frame.left -= (min(len(one), len(other)) + 9) // 10
            return (one == other) is wanted

        return Code(texts, cost)

    def _optional_field(self, node: Call) -> Code:
        operand = self.compile(node.args[0])
        name = node.args[1]
        assert isinstance(name, Literal)
        kind = node.args[0].type
        run, key = (
            operand.run,
            _json_key(kind.params[0] if kind.kind == "optional_type" else kind, name.value),
        )
        return Code(lambda frame: find(run(frame), key), operand.cost + 1)

    # Literals

    def _list(self, node: ListExpr) -> Code:
        if all(isinstance(item, Literal) for item in node.items) and not node.optional:
            constant = [item.value for item in node.items if isinstance(item, Literal)]
            return Code(lambda frame: constant, 0 if constant else LIST_COST)
        codes = [self.compile(item) for item in node.items]
        runs, cost = [code.run for code in codes], sum(code.cost for code in codes) + LIST_COST
        if not node.optional:
            return Code(lambda frame: [run(frame) for run in runs], cost)
        parts = [(run, index in node.optional) for index, run in enumerate(runs)]

        def build(frame: Frame) -> list[Any]:
            items: list[Any] = []
            for run, optional in parts:
                _add(run(frame), optional, items.append)
            return items

        return Code(build, cost)

    def _map(self, node: MapExpr) -> Code:
        codes = [(self.compile(e.key), self.compile(e.value), e.optional) for e in node.entries]
        parts = [(key.run, value.run, optional) for key, value, optional in codes]

        def build(frame: Frame) -> dict[Any, Any]:
            made: dict[Any, Any] = {}
            for key_of, value_of, optional in parts:
                key = key_of(frame)
                _insert(made, key, Optional(value_of(frame), True) if not optional else value_of(frame))
            return made

        return Code(build, sum(key.cost + value.cost for key, value, _ in codes) + MAP_COST)

    def _struct(self, node: StructExpr) -> Code:
        codes = [(_json_key(node.type, f.name), self.compile(f.value), f.optional) for f in node.fields]
        parts = [(key, code.run, optional) for key, code, optional in codes]
        name = node.type.name

        def build(frame: Frame) -> Struct:
            raw: dict[str, Any] = {}
            for key, run, optional in parts:
                value = run(frame)
                if not optional:
                    raw[key] = value
                elif type(value) is not Optional:
                    raise EvaluationError("no such overload")
                elif value.present:
                    raw[key] = value.value
            return Struct(name, raw)

        return Code(build, sum(code.cost for _, code, _ in codes) + STRUCT_COST)

    # Variables of the expression's own

    def _bind(self, node: Bind) -> Code:
        value = self.compile(node.value)
        (slot,) = self._declare([node.name])
        body = self.compile(node.body)
        self._scopes.pop()
        make, run = value.run, body.run

        def bind(frame: Frame) -> Any:
            frame.slots[slot] = make(frame)
            return run(frame)

        return Code(bind, value.cost + body.cost + LIST_COST)

    def _fold(self, node: Fold) -> Code:
        from .folds import fold

        over = self.compile(node.over)
        slots = self._declare(node.names)
        where = self.compile(node.where) if node.where is not None else None
        body = self.compile(node.body)
        del self._scopes[-len(slots) :]
        run, cost = fold(node.kind, over.run, slots, where, body)
        return Code(run, over.cost + cost)


def _json_key(operand: Type, field: str) -> str:
    """The name of a field in JSON: that of a known object is unescaped."""
    found = operand.structure.field(field) if operand.structure is not None else None
    return found.key if found is not None else field


def _one_scalar(args: Sequence[Expr]) -> bool:
    kind = args[0].type.kind
    return kind == args[1].type.kind and (kind in _SCALARS or kind in ("string", "bytes"))


def _static(operands: Sequence[Expr], overload: Overload) -> bool:
    return all(_known(arg.type, param) for arg, param in zip(operands, overload.params, strict=True))


def _known(found: Type, wanted: Type) -> bool:
    """Whether values of a checked type need no test at run time."""
    if wanted.kind in ("var", "dyn"):
        return True
    if found.kind in ("dyn", "null", "error"):
        return False
    return all(map(_known, found.params, wanted.params))


def _field(operand: Run, key: str) -> Run:
    def select(frame: Frame) -> Any:
        value = operand(frame)
        try:
            return value[key]
        except KeyError:
            raise EvaluationError(f"no such key: {key}") from None
        except TypeError:
            if type(value) is Optional:
                return find(value, key)
            raise EvaluationError("no such overload") from None

    return select


def _has(operand: Run, key: str) -> Run:
    def has(frame: Frame) -> bool:
        value = operand(frame)
        if type(value) is dict or is_map(value):
            return key in value
        if type(value) is Optional:
            return find(value, key).present
        raise EvaluationError("no such overload")

    return has


def _direct(function: Callable[..., Any], runs: Sequence[Run]) -> Run:
    """A call of known overload and fixed cost."""
    if len(runs) == 1:
        (only,) = runs

        def unary(frame: Frame) -> Any:
            value = only(frame)
            try:
                return function(value)
            except _BAD_VALUE as error:
                raise _sound(error) from None

        return unary
    if len(runs) == 2:
        left, right = runs

        def binary(frame: Frame) -> Any:
            one, other = left(frame), right(frame)
            try:
                return function(one, other)
            except _BAD_VALUE as error:
                raise _sound(error) from None

        return binary

    def call(frame: Frame) -> Any:
        values = [run(frame) for run in runs]
        try:
            return function(*values)
        except _BAD_VALUE as error:
            raise _sound(error) from None

    return call


def _sound(error: Exception) -> EvaluationError:
    return error if isinstance(error, EvaluationError) else EvaluationError("no such overload")


def _charged(overload: Overload, runs: Sequence[Run]) -> Run:
    def call(frame: Frame) -> Any:
        return _pay_and_run(frame, overload, [run(frame) for run in runs])

    return call


def _pay_and_run(frame: Frame, overload: Overload, values: Sequence[Any]) -> Any:
    charge = overload.charge
    try:
        if charge is None:
            frame.left -= 1
        elif charge.before is not None:
            frame.left -= charge.before(*values)
        if frame.left < 0:
            raise BudgetExceeded
        result = overload.run(*values)
        if charge is not None and charge.after is not None:
            frame.left -= charge.after(result, *values)
    except _BAD_VALUE as error:
        raise _sound(error) from None
    return result


def _dispatch(overloads: Sequence[Overload], runs: Sequence[Run]) -> Run:
    """A call whose overload depends on the values."""

    def call(frame: Frame) -> Any:
        values = [run(frame) for run in runs]
        for overload in overloads:
            if overload.accepts(values):
                return _pay_and_run(frame, overload, values)
        raise EvaluationError("no such overload")

    return call


def _add(value: Any, optional: bool, add: Callable[[Any], None]) -> None:
    if not optional:
        add(value)
    elif type(value) is not Optional:
        raise EvaluationError("no such overload")
    elif value.present:
        add(value.value)


def _insert(made: dict[Any, Any], key: Any, value: Any) -> None:
    """Put an optional's value under a key that is new."""
    if type(value) is not Optional:
        raise EvaluationError("no such overload")
    if not value.present:
        return
    try:
        if key in made:
            raise EvaluationError(f"Failed with repeated key: {key}")
    except TypeError:
        raise EvaluationError("unsupported key type") from None
    made[key] = value.value
