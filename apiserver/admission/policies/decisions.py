"""Evaluates a validating policy: what each of its validations and audit annotations comes to.

Source: apiserver `admission/plugin/policy/validating/validator.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplane.api.cel import MATCH_CONDITIONS_BUDGET, RUNTIME_BUDGET, STRING
from kplane.api.cel.admission import TEXT_OR_NULL, Composer, Expression
from kplane.api.clock import Clock
from kplane.api.resource import Object

from ..chain import Operation
from ..expressions import Permissions
from ..webhooks.metrics import WebhookMetrics
from .conditions import MatchConditions, Undecidable
from .evaluation import Evaluation, Faulty, OutOfBudget

LONGEST_MESSAGE = 5 * 1024
"""Bytes of what a messageExpression may come to."""


@dataclass(frozen=True, slots=True)
class Decision:
    """What one validation came to. `message` is empty if it holds."""

    index: int
    denied: bool
    message: str = ""
    reason: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Annotation:
    """What an audit annotation came to: a value to publish, or a fault for which the request is refused."""

    key: str
    value: str = ""
    fault: str = ""
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Decided:
    decisions: Sequence[Decision] = ()
    annotations: Sequence[Annotation] = ()


NOTHING = Decided()


@dataclass(frozen=True, slots=True)
class Validation:
    check: Expression
    message: str
    message_expression: Expression | None
    reason: str


@dataclass(frozen=True, slots=True)
class AuditAnnotation:
    key: str
    value: Expression


@dataclass(frozen=True, slots=True)
class ValidatingProgram:
    """What a ValidatingAdmissionPolicy is compiled to."""

    conditions: MatchConditions
    variables: Mapping[str, Expression]
    validations: Sequence[Validation]
    annotations: Sequence[AuditAnnotation]
    fails: bool
    sees_namespace: bool
    """Whether an expression names `namespaceObject`."""
    clock: Clock

    async def decide(
        self, bindings: Mapping[str, Any], permissions: Permissions, operation: Operation
    ) -> Decided:
        if self.conditions:
            conditions = Evaluation(bindings, self.variables, permissions, MATCH_CONDITIONS_BUDGET)
            try:
                if not await self.conditions.hold(conditions, operation):
                    return NOTHING
            except Undecidable as error:
                return self._undecided(str(error))
        evaluation = Evaluation(bindings, self.variables, permissions, RUNTIME_BUDGET)
        try:
            decisions = [
                await self._decide(index, validation, evaluation)
                for index, validation in enumerate(self.validations)
            ]
            if not self.annotations:
                return Decided(decisions)
            evaluation = Evaluation(bindings, self.variables, permissions, RUNTIME_BUDGET)
            annotations = [await self._annotate(annotation, evaluation) for annotation in self.annotations]
        except OutOfBudget as error:
            return self._undecided(str(error))
        return Decided(decisions, annotations)

    def _undecided(self, why: str) -> Decided:
        return Decided([Decision(0, self.fails, why)])

    async def _decide(self, index: int, validation: Validation, evaluation: Evaluation) -> Decision:
        began = self.clock.monotonic()
        try:
            held = await evaluation.value(validation.check)
        except Faulty as error:
            return Decision(index, self.fails, str(error), seconds=self.clock.monotonic() - began)
        if held is True:
            return Decision(index, False)
        seconds = self.clock.monotonic() - began
        try:
            message = await _message(validation, evaluation)
        except OutOfBudget as error:
            return Decision(index, self.fails, f"failed messageExpression: {error}", seconds=seconds)
        return Decision(index, True, message, validation.reason, seconds)

    async def _annotate(self, annotation: AuditAnnotation, evaluation: Evaluation) -> Annotation:
        began = self.clock.monotonic()
        try:
            value = await evaluation.value(annotation.value)
        except Faulty as error:
            fault = str(error) if self.fails else ""
            return Annotation(annotation.key, fault=fault, seconds=self.clock.monotonic() - began)
        return Annotation(annotation.key, value.strip() if isinstance(value, str) else "")


async def _message(validation: Validation, evaluation: Evaluation) -> str:
    """For a validation that does not hold: never empty."""
    message = ""
    if validation.message_expression is not None:
        try:
            value = await evaluation.value(validation.message_expression)
        except Faulty:
            # The message is a courtesy: the request is refused all the same.
            value = ""
        message = value.strip() if isinstance(value, str) else ""
        if "\n" in message or len(message.encode()) > LONGEST_MESSAGE:
            message = ""
    return message or validation.message.strip() or f"failed expression: {validation.check.source.strip()}"


class ValidatingCompiler:
    """Makes the programs of validating policies."""

    def __init__(self, metrics: WebhookMetrics, clock: Clock) -> None:
        self._metrics = metrics
        self._clock = clock

    def __call__(self, policy: Object) -> ValidatingProgram:
        spec = policy["spec"]
        composer = Composer(params=spec.get("paramKind") is not None)
        fails = spec.get("failurePolicy") != "Ignore"
        variables = compiled_variables(composer, spec)
        conditions = compiled_conditions(composer, spec)
        validations = [_validation(composer, entry) for entry in spec.get("validations") or ()]
        annotations = [
            AuditAnnotation(
                entry.get("key", ""), composer.compile(entry.get("valueExpression", ""), TEXT_OR_NULL)
            )
            for entry in spec.get("auditAnnotations") or ()
        ]
        messages = [one.message_expression for one in validations if one.message_expression]
        checks = [one.check for one in validations]
        values = [one.value for one in annotations]
        name = policy["metadata"]["name"]
        return ValidatingProgram(
            MatchConditions(name, conditions, fails=fails, metrics=self._metrics),
            variables,
            validations,
            annotations,
            fails,
            see_namespace((*variables.values(), *conditions, *checks, *messages, *values)),
            self._clock,
        )


def compiled_variables(composer: Composer, spec: Object) -> dict[str, Expression]:
    return {
        entry.get("name", ""): composer.add(entry.get("name", ""), entry.get("expression", ""))
        for entry in spec.get("variables") or ()
    }


def compiled_conditions(composer: Composer, spec: Object) -> list[Expression]:
    return [composer.compile(entry.get("expression", "")) for entry in spec.get("matchConditions") or ()]


def see_namespace(expressions: Sequence[Expression]) -> bool:
    return any(one.program is not None and "namespaceObject" in one.program.references for one in expressions)


def _validation(composer: Composer, entry: Object) -> Validation:
    message = entry.get("messageExpression") or ""
    return Validation(
        composer.compile(entry.get("expression", "")),
        entry.get("message") or "",
        composer.compile(message, STRING, authorizer=False) if message else None,
        entry.get("reason") or "Invalid",
    )
