"""Evaluates the expressions of one policy for one request: variables on demand, costs against a budget.

Source: apiserver `admission/plugin/cel` (`activation.go`, `composition.go`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplane.api.cel import PER_CALL_LIMIT, Budget, BudgetExceeded, EvaluationError
from kplane.api.cel.admission import Expression

from ..expressions import Permissions

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class Faulty(Exception):
    """An expression has no value; the text is upstream's."""


class OutOfBudget(Exception):
    """All that the policy may cost for one request is spent."""

    def __init__(self) -> None:
        super().__init__(OUT_OF_BUDGET)


class Variables(Mapping[str, Any]):
    """The value of `variables`: each is computed when it is asked for, once."""

    def __init__(self, expressions: Mapping[str, Expression], bindings: Mapping[str, Any]) -> None:
        self._expressions = expressions
        self._bindings = {**bindings, "variables": self}
        self._values: dict[str, Any] = {}
        self._faults: dict[str, str] = {}
        self.cost = 0
        """What was spent since somebody last looked."""

    def __len__(self) -> int:
        return len(self._expressions)

    def __iter__(self) -> Iterator[str]:
        return iter(self._expressions)

    def __contains__(self, name: object) -> bool:
        return name in self._expressions

    def __getitem__(self, name: str) -> Any:
        """Raises EvaluationError; KeyError for one that is not there."""
        if name in self._values:
            return self._values[name]
        if name not in self._faults:
            try:
                value = self._values[name] = self._compute(name, self._expressions[name])
                return value
            except EvaluationError as error:
                self._faults[name] = str(error)
        raise EvaluationError(self._faults[name])

    def _compute(self, name: str, expression: Expression) -> Any:
        if expression.program is None:
            raise EvaluationError(f'composited variable "{name}" fails to compile: {expression.fault}')
        budget = Budget(PER_CALL_LIMIT)
        try:
            return expression.program.evaluate(self._bindings, budget)
        except (EvaluationError, BudgetExceeded) as error:
            raise EvaluationError(f'composited variable "{name}" fails to evaluate: {error}') from error
        finally:
            self.cost += PER_CALL_LIMIT - budget.left


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
        budget = Budget(self._left)
        try:
            return await self._permissions.evaluate(program, self._bindings, budget)
        except (EvaluationError, BudgetExceeded) as error:
            if isinstance(error, BudgetExceeded) and not error.per_call:
                raise OutOfBudget from error
            raise Faulty(f"expression '{expression.source}' resulted in error: {error}") from error
        finally:
            self._spend(budget.left)

    def _spend(self, left: int) -> None:
        if self._variables is not None:
            left -= self._variables.cost
            self._variables.cost = 0
        self._left = left
        if left < 0:
            raise OutOfBudget
