"""`matchConditions` of policies: all must be true, or the policy is not about the request.

One that is false settles it. Where none is, but one cannot be evaluated, the failure policy decides.
Rules: apiserver `admission/plugin/webhook/matchconditions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.cel.admission import Expression

from ..chain import Operation
from ..context import aggregate
from ..webhooks.metrics import WebhookMetrics
from .evaluation import Evaluation, Faulty, OutOfBudget


class Undecidable(Exception):
    """The conditions cannot be evaluated, and the policy fails then."""


class MatchConditions:
    """Of one policy."""

    def __init__(
        self, policy: str, expressions: Sequence[Expression], *, fails: bool, metrics: WebhookMetrics
    ) -> None:
        self._policy = policy
        self._expressions = expressions
        self._fails = fails
        self._metrics = metrics

    def __bool__(self) -> bool:
        return bool(self._expressions)

    async def hold(self, evaluation: Evaluation, operation: Operation) -> bool:
        """Raises Undecidable."""
        faults: list[str] = []
        for expression in self._expressions:
            try:
                if await evaluation.value(expression) is not True:
                    self._metrics.excluded(self._policy, "validate", operation, kind="policy")
                    return False
            except OutOfBudget as error:
                faults = [str(error)]
                break
            except Faulty as error:
                self._metrics.unevaluated(self._policy, "validate", operation, kind="policy")
                faults.append(str(error))
        if not faults:
            return True
        if self._fails:
            raise Undecidable(aggregate(faults))
        return False
