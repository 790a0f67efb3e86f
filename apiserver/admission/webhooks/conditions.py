"""`matchConditions` of webhooks: CEL expressions that must all be true for a webhook to be called.

One that is false settles it. Where none is, but one cannot be evaluated, the failure policy decides: the
request fails, or the webhook is not called.
Rules: apiserver `admission/plugin/webhook/matchconditions`.
"""

from __future__ import annotations

from collections.abc import Sequence

from kplane.api.cel import MATCH_CONDITIONS_BUDGET, Budget, BudgetExceeded, CelError, EvaluationError, Program
from kplane.api.errors import forbidden
from kplane.api.resource import Object

from ..chain import Attributes
from ..expressions import Allows, Permissions, compiled
from .configuration import Conditions
from .metrics import WebhookMetrics
from .review import Shown, described

OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"


class MatchConditions:
    """The conditions of one webhook."""

    def __init__(self, webhook: Object, type: str, metrics: WebhookMetrics, allows: Allows) -> None:
        self._allows = allows
        self._name = webhook.get("name", "")
        self._type = type
        self._metrics = metrics
        self._fatal = webhook.get("failurePolicy") != "Ignore"
        self._programs = [_program(entry.get("expression", "")) for entry in webhook["matchConditions"]]

    async def match(self, attributes: Attributes, shown: Shown) -> bool:
        """Whether the webhook is to be called. Raises Forbidden."""
        permissions = Permissions(attributes, self._allows)
        bindings = {
            "object": shown.object,
            "oldObject": shown.old,
            "request": described(attributes, shown),
            "namespaceObject": None,
            **permissions.bindings(),
        }
        faults: list[str] = []
        budget = Budget(MATCH_CONDITIONS_BUDGET)
        for program in self._programs:
            if isinstance(program, CelError):
                faults.append(f"compilation failed: {program}")
                continue
            try:
                if not await permissions.evaluate(program, bindings, budget):
                    return False
            except BudgetExceeded:
                faults = [OUT_OF_BUDGET]
                break
            except EvaluationError as error:
                self._metrics.unevaluated(self._name, self._type, attributes.operation)
                faults.append(f"expression '{program.source}' resulted in error: {error}")
        if not faults:
            return True
        if self._fatal:
            info = attributes.info
            raise forbidden(info.plural, info.group, attributes.name, _joined(faults))
        return False


class ConditionCompiler:
    """Makes the conditions of webhooks."""

    def __init__(self, metrics: WebhookMetrics, allows: Allows) -> None:
        self._metrics = metrics
        self._allows = allows

    def __call__(self, webhook: Object, type: str) -> Conditions | None:
        """None for a webhook without any."""
        if not webhook.get("matchConditions"):
            return None
        return MatchConditions(webhook, type, self._metrics, self._allows)


def _program(expression: str) -> Program | CelError:
    """One that was stored before it was forbidden fails when it is needed."""
    try:
        return compiled(expression)
    except CelError as error:
        return error


def _joined(faults: Sequence[str]) -> str:
    different = list(dict.fromkeys(faults))
    return different[0] if len(different) == 1 else f"[{', '.join(different)}]"
