"""Evaluates the expressions of one policy for one request: variables on demand, costs against a budget.

Source: apiserver `admission/plugin/cel` (`activation.go`, `composition.go`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplane.api.cel import PER_CALL_LIMIT, Budget, BudgetExceeded, EvaluationError
from kplane.api.cel.admission import Expression
from kplane.api.cel.library.authorizer import Undecided

from ..expressions import Permissions

DEEPEST = 16
"""Variables that may be under way at once, each within the one before."""
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class Faulty(Exception):
    """An expression has no value; the text is upstream's."""


class OutOfBudget(Exception):
    """All that the policy may cost for one request is spent."""

    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


class TooDeep(Exception):
    """Variables are nested so deep that this one is to be computed by itself first. No fault of an
    expression, and never to be taken for one."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        self.name = name


class Variables(Mapping[str, Any]):
    """The value of `variables`: each is computed when it is asked for, once."""

    def __init__(self, expressions: Mapping[str, Expression], bindings: Mapping[str, Any]) -> None:
        self._expressions = expressions
        self._bindings = {**bindings, "variables": self}
        self._values: dict[str, Any] = {}
        self._faults: dict[str, str] = {}
        self._depth = 0
        self.cost = 0
        """What was spent since somebody last looked."""
        self.limit = 0
        """What may be spent until then."""

    def __len__(self) -> int:
        return len(self._expressions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._expressions)

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __getitem__(self, name: str) -> Any:
        """Raises EvaluationError; KeyError for one that is not there; TooDeep, OutOfBudget."""
        if name in self._values:
            return self._values[name]
        if name not in self._faults:
            expression = self._expressions[name]
            if self._depth == DEEPEST:
                raise TooDeep(name)
            self._depth += 1
            try:
                value = self._values[name] = self._compute(name, expression)
                return value
            except EvaluationError as error:
                self._faults[name] = str(error)
            finally:
                self._depth -= 1
        raise EvaluationError(self._faults[name])

    def prepare(self, name: str) -> None:
        """Compute one, and before it those that it needs, without nesting deep. Raises OutOfBudget."""
        waiting = [name]
        while waiting:
            try:
                self[waiting[-1]]
            except TooDeep as deep:
                waiting.append(deep.name)
                continue
            except EvaluationError:
                # Kept: whoever asks for it will be told.
                pass
            waiting.pop()

    def _compute(self, name: str, expression: Expression) -> Any:
        if expression.program is None:
            raise EvaluationError(f'composited variable "{name}" fails to compile: {expression.fault}')
        budget = Budget(PER_CALL_LIMIT)
        try:
            value = expression.program.evaluate(self._bindings, budget)
        except (EvaluationError, BudgetExceeded) as error:
            self._spend(PER_CALL_LIMIT - budget.left)
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error
        self._spend(PER_CALL_LIMIT - budget.left)
        return value

    def _spend(self, cost: int) -> None:
        self.cost += cost
        if self.cost > self.limit:
            raise OutOfBudget


class Evaluation:
    """Expressions that share variables and a budget."""

    def __init__(
        self,
        bindings: Mapping[str, Any],
        variables: Mapping[str, Expression],
        permissions: Permissions,
        limit: int,
    ) -> None:
        self._variables = Variables(variables, bindings) if variables else None
        self._bindings = {**bindings, "variables": self._variables} if variables else bindings
        self._permissions = permissions
        self._left = limit

    async def value(self, expression: Expression) -> Any:
        """Raises Faulty, OutOfBudget."""
        program = expression.program
        if program is None:
            raise Faulty(f"compilation error: {expression.fault}")
        if self._variables is not None:
            self._variables.limit = self._left
        while True:
            budget = Budget(self._left)
            try:
                value = await self._permissions.evaluate(program, self._bindings, budget)
            except TooDeep as deep:
                await self._prepare(deep.name)
                continue
            except (EvaluationError, BudgetExceeded) as error:
                self._spend(budget.left)
                if isinstance(error, BudgetExceeded) and not error.per_call:
                    raise OutOfBudget from error
                raise Faulty(f"expression '{expression.source}' resulted in error: {error}") from error
            self._spend(budget.left)
            return value

    async def _prepare(self, name: str) -> None:
        assert self._variables is not None
        while True:
            try:
                return self._variables.prepare(name)
            except Undecided as question:
                await self._permissions.settle(question.check)

    def _spend(self, left: int) -> None:
        if self._variables is not None:
            left -= self._variables.cost
            self._variables.cost = 0
        self._left = left
        if left < 0:
            raise OutOfBudget
