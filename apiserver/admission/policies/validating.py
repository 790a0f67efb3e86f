"""ValidatingAdmissionPolicy: refuses, warns of, or notes down what policies do not admit.

All policies are heard; the first refusal is the answer.
Source: apiserver `admission/plugin/policy/validating/dispatcher.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import msgspec

from kplane.api.errors import ApiError, Forbidden, Invalid, RequestEntityTooLarge, Unauthorized

from ..chain import Attributes, Waiting, on
from ..context import refused
from .decisions import Annotation, Decided, Decision, ValidatingProgram
from .invocations import Failure, Invocation, Invoker
from .matching import EXEMPT
from .metrics import ValidatingMetrics
from .request import Request, Surroundings
from .source import Source

FAILURE_ANNOTATION = "validation.policy.admission.k8s.io/validation_failure"
LONGEST_ANNOTATION = 10 * 1024
REASONS: Mapping[str, type[ApiError]] = {
    "Forbidden": Forbidden,
    "Unauthorized": Unauthorized,
    "RequestEntityTooLarge": RequestEntityTooLarge,
}


class Denial(NamedTuple):
    message: str
    reason: str


@dataclass(slots=True)
class Outcome:
    """What the policies of one request came to so far."""

    denials: list[Denial] = field(default_factory=list)
    annotations: dict[tuple[str, str], list[str]] = field(default_factory=dict)
    """Values by policy and key, each once."""


class ValidatingAdmissionPolicy:
    name = "ValidatingAdmissionPolicy"
    handles = on()

    def __init__(
        self, source: Source[ValidatingProgram], surroundings: Surroundings, metrics: ValidatingMetrics
    ) -> None:
        self._source = source
        self._with = surroundings
        self._invoker = Invoker(surroundings)
        self._metrics = metrics

    def validate(self, attributes: Attributes) -> Waiting:
        return None if self._source.idle else self._validate(attributes)

    async def _validate(self, attributes: Attributes) -> None:
        if (attributes.info.group, attributes.info.plural) in EXEMPT:
            return
        candidates = await self._source.candidates(attributes)
        if not candidates:
            return
        request, outcome = Request(attributes, self._with), Outcome()
        for candidate in candidates:
            async for found in self._invoker.invocations(candidate, request):
                if isinstance(found, Invocation):
                    await self._evaluate(found, request, outcome)
                elif found.policy.fails:
                    outcome.denials.append(Denial(_denied(found, found.why), "Invalid"))
        for (policy, key), values in outcome.annotations.items():
            attributes.annotate(f"{policy}/{key}", ", ".join(values))
        if outcome.denials:
            raise _refusal(attributes, outcome.denials[0])

    async def _evaluate(
        self, invocation: Invocation[ValidatingProgram], request: Request, outcome: Outcome
    ) -> None:
        program = invocation.policy.program
        bindings = await request.bindings(invocation.row, namespace=program.sees_namespace)
        for params in invocation.params:
            decided = await program.decide(
                {**bindings, "params": params}, request.permissions, request.attributes.operation
            )
            if decided.decisions or decided.annotations:
                self._act(invocation, decided, request.attributes, outcome)

    def _act(
        self,
        invocation: Invocation[ValidatingProgram],
        decided: Decided,
        attributes: Attributes,
        outcome: Outcome,
    ) -> None:
        for decision in decided.decisions:
            if decision.denied:
                self._deny(invocation, decision, attributes, outcome)
            elif decision.message:
                self._count(invocation, decision, "allow")
        for annotation in decided.annotations:
            self._note(invocation, annotation, outcome)

    def _deny(
        self,
        invocation: Invocation[ValidatingProgram],
        decision: Decision,
        attributes: Attributes,
        outcome: Outcome,
    ) -> None:
        policy, binding = invocation.policy.name, invocation.binding
        for action in binding.actions:
            match action:
                case "Deny":
                    outcome.denials.append(Denial(_denied(invocation, decision.message), decision.reason))
                case "Warn":
                    attributes.warn(
                        f"Validation failed for ValidatingAdmissionPolicy '{policy}' with binding "
                        f"'{binding.name}': {decision.message}"
                    )
                case "Audit":
                    attributes.annotate(FAILURE_ANNOTATION, _failure(invocation, decision))
            self._count(invocation, decision, action.lower())

    def _note(
        self, invocation: Invocation[ValidatingProgram], annotation: Annotation, outcome: Outcome
    ) -> None:
        policy, binding = invocation.policy.name, invocation.binding.name
        if annotation.fault:
            outcome.denials.append(Denial(_denied(invocation, annotation.fault), "Invalid"))
            self._metrics.checked(policy, binding, annotation.fault, "deny", annotation.seconds)
        elif annotation.value:
            values = outcome.annotations.setdefault((policy, annotation.key), [])
            value = annotation.value.encode()[:LONGEST_ANNOTATION].decode(errors="ignore")
            if value not in values:
                values.append(value)

    def _count(self, invocation: Invocation[ValidatingProgram], decision: Decision, action: str) -> None:
        names = invocation.policy.name, invocation.binding.name
        self._metrics.checked(*names, decision.message, action, decision.seconds)


def _denied(found: Invocation[ValidatingProgram] | Failure[ValidatingProgram], why: str) -> str:
    with_binding = f" with binding '{found.binding.name}'" if found.binding else ""
    return f"ValidatingAdmissionPolicy '{found.policy.name}'{with_binding} denied request: {why}"


def _failure(invocation: Invocation[ValidatingProgram], decision: Decision) -> str:
    """The value of the audit annotation: a list, although it has one item only."""
    actions: Sequence[str] = invocation.binding.actions
    failure = {
        "message": decision.message,
        "policy": invocation.policy.name,
        "binding": invocation.binding.name,
        "expressionIndex": decision.index,
        "validationActions": actions,
    }
    return msgspec.json.encode([failure]).decode()


def _refusal(attributes: Attributes, denial: Denial) -> ApiError:
    base = refused(attributes, denial.message)
    details = {**base.details, "causes": [{"message": denial.message}]}
    return REASONS.get(denial.reason, Invalid)(base.message, details)
