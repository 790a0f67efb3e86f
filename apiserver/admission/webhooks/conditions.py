"""`matchConditions` of webhooks: CEL expressions that must all be true for a webhook to be called.

One that is false settles it. Where none is, but one cannot be evaluated, the failure policy decides: the
request fails, or the webhook is not called.
Rules: apiserver `admission/plugin/webhook/matchconditions`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplane.api.cel import MATCH_CONDITIONS_BUDGET, Budget, BudgetExceeded, CelError, EvaluationError, Program
from kplane.api.errors import forbidden
from kplane.api.resource import Object

from ..chain import Attributes
from ..expressions import compiled
from .configuration import Conditions
from .metrics import WebhookMetrics
from .review import Shown, described

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class MatchConditions:
    """The conditions of one webhook."""

    def __init__(self, webhook: Object, type: str, metrics: WebhookMetrics) -> None:
        self._name = webhook.get("name", "")
        self._type = type
        self._metrics = metrics
        self._fatal = webhook.get("failurePolicy") != "Ignore"
        self._programs = [_program(entry.get("expression", "")) for entry in webhook["matchConditions"]]

    def match(self, attributes: Attributes, shown: Shown) -> bool:
        """Whether the webhook is to be called. Raises Forbidden."""
        bindings = {
            "object": shown.object,
            "oldObject": shown.old,
            "request": described(attributes, shown),
            "namespaceObject": None,
        }
        faults: list[str] = []
        budget = Budget(MATCH_CONDITIONS_BUDGET)
        for program in self._programs:
            value = self._evaluate(program, bindings, budget, attributes, faults)
            if value is False:
                return False
            if value is None and budget.left <= 0:
                faults = [OUT_OF_BUDGET]
                break
        if not faults:
            return True
        if self._fatal:
            info = attributes.info
            raise forbidden(info.plural, info.group, attributes.name, _joined(faults))
        return False

    def _evaluate(
        self,
        program: Program | CelError,
        bindings: dict[str, Any],
        budget: Budget,
        attributes: Attributes,
        faults: list[str],
    ) -> bool | None:
        """None, and a fault, where there is no value."""
        if isinstance(program, CelError):
            faults.append(f"compilation failed: {program}")
            return None
        try:
            return bool(program.evaluate(bindings, budget))
        except (EvaluationError, BudgetExceeded) as error:
            self._metrics.unevaluated(self._name, self._type, attributes.operation)
            faults.append(f"expression '{program.source}' resulted in error: {error}")
            return None


class ConditionCompiler:
    """Makes the conditions of webhooks."""

    def __init__(self, metrics: WebhookMetrics) -> None:
        self._metrics = metrics

    def __call__(self, webhook: Object, type: str) -> Conditions | None:
        """None for a webhook without any."""
        if not webhook.get("matchConditions"):
            return None
        return MatchConditions(webhook, type, self._metrics)


def _program(expression: str) -> Program | CelError:
    """One that was stored before it was forbidden fails when it is needed."""
    try:
        return compiled(expression)
    except CelError as error:
        return error


def _joined(faults: Sequence[str]) -> str:
    different = list(dict.fromkeys(faults))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"
