"""The way in: declare variables, compile a source, evaluate it.

environment = Environment({"self": type_of(schema), "oldSelf": type_of(schema)})
program = environment.compile("self.replicas <= self.maxReplicas")
program.evaluate({"self": obj["spec"]}, Budget())
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from .ast import Expr
from .checker import Checker
from .compiler import MISSING, Compiler, Frame
from .errors import BudgetExceeded, CelError, EvaluationError, Issue
from .library import functions
from .named import named_type
from .overload import Range
from .parser import parse, too_deep
from .types import BOOL, Type, View, same
from .values import NONE, Optional

PER_CALL_LIMIT = 1_000_000
"""What one evaluation may cost: upstream's `PerCallLimit`, about a tenth of a second."""
RUNTIME_BUDGET = 10_000_000
"""What all rules of one object, or all expressions of one policy, may cost: `RuntimeCELCostBudget`."""
PER_EXPRESSION_ESTIMATE = 10_000_000
PER_CRD_ESTIMATE = 100_000_000
"""How much rules of a CustomResourceDefinition may be estimated to cost: one rule, times how often it runs;
all.
"""
MATCH_CONDITIONS_BUDGET = 2_500_000
"""What all match conditions of one webhook or policy may cost, for one request."""


class Budget:
    """What a group of evaluations may still cost. Every evaluation takes its share, also a failed one."""

    __slots__ = ("left", "per_call")

    def __init__(self, limit: int = RUNTIME_BUDGET, per_call: int = PER_CALL_LIMIT) -> None:
        self.left = limit
        self.per_call = per_call


class Program:
    """A compiled expression. Immutable; one program may be evaluated by several tasks and threads at once."""

    __slots__ = ("_inputs", "_price", "_run", "_slots", "_tree", "references", "source", "type")

    def __init__(self, source: str, tree: Expr, references: Mapping[str, Type]) -> None:
        self.source = source
        self.type = tree.type
        """The type of the value."""
        self.references = frozenset(references)
        """The declared variables that it reads, e.g. `oldSelf` for a transition rule."""
        self._tree = tree
        compiler = Compiler(references)
        code = compiler.compile(tree)
        self._run, self._price = code.run, code.cost
        self._inputs = [(name, _view(kind)) for name, kind in references.items()]
        self._slots = compiler.slots - len(self._inputs)

    def evaluate(self, bindings: Mapping[str, Any], budget: Budget | None = None) -> Any:
        """The value, for these values of variables: decoded JSON, as it is, or values of this package.

        Variables that the bindings lack are an error only where they are read. Raises EvaluationError, and
        BudgetExceeded, whose `per_call` tells which of the two limits was hit.
        """
        budget = budget if budget is not None else Budget()
        limit = min(budget.left, budget.per_call)
        slots: list[Any] = []
        for name, view in self._inputs:
            value = bindings.get(name, MISSING)
            slots.append(view(value) if view is not None and value is not MISSING else value)
        slots += (None,) * self._slots
        frame = Frame(limit - self._price, slots)
        try:
            value = self._run(frame)
            if frame.left < 0:
                raise BudgetExceeded
        except BudgetExceeded as error:
            error.per_call = limit == budget.per_call
            raise
        except RecursionError:
            raise EvaluationError("expression recursion limit exceeded") from None
        finally:
            budget.left -= limit - frame.left
        return value

    def estimate(self, sizes: Mapping[str, int] | None = None) -> Range:
        """The least and the most that an evaluation can cost, as upstream estimates it from the schema's
        limits.

        `sizes` says how large (characters, items) the values of variables are whose types do not say.
        """
        from .estimate import estimate

        return estimate(self._tree, sizes or {})


def _view(kind: Type) -> View | None:
    """How the value of a variable is seen; one of an optional type may be given bare, None is none."""
    if kind.kind != "optional_type":
        return kind.view
    inner = kind.params[0].view

    def view(value: Any) -> Any:
        if isinstance(value, Optional):
            value = value.value
        return NONE if value is None else Optional(inner(value) if inner else value, True)

    return view


class Environment:
    """Declared variables by name, and the types that an expression may construct or name.

    `types` finds further types, such as those under `Object` in mutating policies; None if there is none.
    """

    def __init__(
        self, variables: Mapping[str, Type], types: Callable[[str], Type | None] | None = None
    ) -> None:
        self.variables = dict(variables)
        self._more_types = types

    def extended(self, variables: Mapping[str, Type]) -> Environment:
        """One with more variables, e.g. a policy's own."""
        return Environment({**self.variables, **variables}, self._more_types)

    def _type(self, name: str) -> Type | None:
        return named_type(name) or (self._more_types(name) if self._more_types else None)

    def compile(self, source: str, *, expected: Type | Sequence[Type] | None = BOOL) -> Program:
        """Parse, check and compile. `expected` is the type that the value must have, or several of which it
        must have one; None: any.

        Raises CelError and nothing else.
        """
        try:
            tree = parse(source)
            issues: list[Issue] = []
            checker = Checker(self.variables, self._type, functions(), issues)
            result = checker.check(tree)
            if issues:
                raise CelError(source, issues)
            if expected is not None and (wrong := _wrong_result(result, expected)):
                raise CelError(source, [], wrong_result=wrong)
            references = {name: self.variables[name] for name in sorted(checker.references)}
            return Program(source, tree, references)
        except RecursionError:
            raise CelError(source, [too_deep()]) from None


_GO_NAMES = {
    "null": "null_type",
    "timestamp": "google.protobuf.Timestamp",
    "duration": "google.protobuf.Duration",
}


def _go_name(kind: Type) -> str:
    """A type as cel-go's `Type.String` has it, which is not how its messages about overloads do."""
    if kind.kind in _GO_NAMES:
        return _GO_NAMES[kind.kind]
    if kind.kind in ("list", "map", "optional_type", "type") and kind.params:
        return f"{kind.kind}({', '.join(map(_go_name, kind.params))})"
    return str(kind)


def _wrong_result(found: Type, expected: Type | Sequence[Type]) -> str:
    """What is wrong with a result of this type; empty if nothing is."""
    wanted = [expected] if isinstance(expected, Type) else expected
    if any(same(found, kind) for kind in wanted):
        return ""
    names = [_go_name(kind) for kind in wanted]
    shown = names[0] if len(names) == 1 else f"one of [{' '.join(names)}]"
    return f"must evaluate to {shown} but got {_go_name(found)}"
