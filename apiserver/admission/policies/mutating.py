"""MutatingAdmissionPolicy: changes what is written as policies say, one after the other.

Each policy sees what those before it have made of the object. Where one is evaluated, the mutating plug-ins
run a second time; then policies with `reinvocationPolicy: IfNeeded` are evaluated again.
Source: apiserver `admission/plugin/policy/mutating`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from kplane.api.cel import MATCH_CONDITIONS_BUDGET, RUNTIME_BUDGET
from kplane.api.cel.admission import JSON_PATCHES, Composer, Expression
from kplane.api.cel.library.mutation import APPLY_CONFIGURATION
from kplane.api.errors import ApiError, Forbidden
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..chain import Attributes, Operation, Waiting, on
from ..context import refused
from ..webhooks.metrics import WebhookMetrics
from .conditions import MatchConditions, Undecidable
from .decisions import compiled_conditions, compiled_variables, see_namespace
from .evaluation import Evaluation, Faulty, OutOfBudget
from .invocations import Failure, Invocation, Invoker
from .matching import EXEMPT
from .metrics import MutatingMetrics
from .patching import Patcher, Unpatchable, known_kind
from .request import Request, Surroundings
from .source import Binding, Policy, Source


@dataclass(frozen=True, slots=True)
class Mutation:
    expression: Expression
    is_patch: bool
    """Whether it is a JSON patch, and no apply configuration."""


@dataclass(frozen=True, slots=True)
class MutatingProgram:
    """What a MutatingAdmissionPolicy is compiled to."""

    conditions: MatchConditions
    variables: Mapping[str, Expression]
    mutations: Sequence[Mutation]
    reinvocable: bool
    sees_namespace: bool


class MutatingCompiler:
    """Makes the programs of mutating policies."""

    def __init__(self, metrics: WebhookMetrics) -> None:
        self._metrics = metrics

    def __call__(self, policy: Object) -> MutatingProgram:
        spec = policy["spec"]
        composer = Composer(params=spec.get("paramKind") is not None)
        variables = compiled_variables(composer, spec)
        conditions = compiled_conditions(composer, spec)
        mutations = [_mutation(composer, entry) for entry in spec.get("mutations") or ()]
        expressions = (*variables.values(), *conditions, *(one.expression for one in mutations))
        fails = spec.get("failurePolicy") != "Ignore"
        return MutatingProgram(
            MatchConditions(policy["metadata"]["name"], conditions, fails=fails, metrics=self._metrics),
            variables,
            mutations,
            spec.get("reinvocationPolicy") == "IfNeeded",
            see_namespace(expressions),
        )


def _mutation(composer: Composer, entry: Object) -> Mutation:
    is_patch = entry.get("patchType") == "JSONPatch"
    part, expected = ("jsonPatch", JSON_PATCHES) if is_patch else ("applyConfiguration", APPLY_CONFIGURATION)
    source = (entry.get(part) or {}).get("expression", "")
    return Mutation(composer.compile(source, expected, patches=True), is_patch)


class Step(NamedTuple):
    """One evaluation of a policy."""

    policy: Policy[MutatingProgram]
    binding: Binding
    row: ResourceInfo
    params: Object | None

    @property
    def key(self) -> tuple[str, ...]:
        """What a second round knows it by."""
        metadata = (self.params or {}).get("metadata") or {}
        names = metadata.get("namespace", ""), metadata.get("name", "")
        return (self.policy.name, self.binding.name, *names)


@dataclass(slots=True)
class _Memory:
    """What one request's second round must know of its first."""

    invoked: set[tuple[str, ...]] = field(default_factory=set)
    """Those that are evaluated again if the object changes after them."""
    again: set[tuple[str, ...]] = field(default_factory=set)
    output: Object | None = None
    """The object as the policies left it."""

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class _Fault(NamedTuple):
    policy: Policy[MutatingProgram]
    message: str
    reason: str


class InvalidByPolicy(Forbidden):
    """Upstream gives it this reason, and leaves the code as it was."""

    reason = "Invalid"


class MutatingAdmissionPolicy:
    name = "MutatingAdmissionPolicy"
    handles = on()

    def __init__(
        self, source: Source[MutatingProgram], surroundings: Surroundings, metrics: MutatingMetrics
    ) -> None:
        self._source = source
        self._with = surroundings
        self._invoker = Invoker(surroundings)
        self._patcher = Patcher()
        self._metrics = metrics

    def admit(self, attributes: Attributes) -> Waiting:
        return None if self._source.idle else self._admit(attributes)

    async def _admit(self, attributes: Attributes) -> None:
        info = attributes.info
        if attributes.operation is Operation.DELETE or (info.group, info.plural) in EXEMPT:
            return
        candidates = await self._source.candidates(attributes)
        if not candidates:
            return
        request, steps, faults = Request(attributes, self._with), list[Step](), list[_Fault]()
        for candidate in candidates:
            async for found in self._invoker.invocations(candidate, request):
                if isinstance(found, Invocation):
                    steps += [Step(found.policy, found.binding, found.row, one) for one in found.params]
                else:
                    faults.append(_Fault(found.policy, _denied(found, found.why), "Forbidden"))
        if steps:
            await self._dispatch(steps, request, faults)
        if refusals := [fault for fault in faults if fault.policy.fails]:
            raise _refusal(attributes, refusals)

    async def _dispatch(self, steps: Sequence[Step], request: Request, faults: list[_Fault]) -> None:
        attributes = request.attributes
        rounds = attributes.reinvocation
        memory: _Memory = rounds.kept.setdefault(self.name, _Memory())
        if rounds.running and memory.output != attributes.object:
            # A plug-in of our own has changed the object since.
            memory.changed()
        patched = False
        for step in steps:
            if await self._is_due(step, request, memory, faults):
                patched |= await self._mutate(step, request, memory, faults)
        if patched:
            memory.changed()
            rounds.wanted = True
        memory.output = duplicate(attributes.object)

    async def _is_due(self, step: Step, request: Request, memory: _Memory, faults: list[_Fault]) -> bool:
        program = step.policy.program
        if program.conditions:
            evaluation = await self._evaluation(step, request, MATCH_CONDITIONS_BUDGET)
            try:
                if not await program.conditions.hold(evaluation, request.attributes.operation):
                    return False
            except Undecidable as error:
                faults.append(_Fault(step.policy, _denied(step, str(error)), "Invalid"))
                return False
        return not request.attributes.reinvocation.running or step.key in memory.again

    async def _mutate(self, step: Step, request: Request, memory: _Memory, faults: list[_Fault]) -> bool:
        """Whether a mutation was applied, if only to no effect."""
        attributes, program = request.attributes, step.policy.program
        before, patched = duplicate(attributes.object), False
        for mutation in program.mutations if attributes.object is not None else ():
            began, fault = self._with.clock.monotonic(), ""
            try:
                await self._apply(step, mutation, request)
                patched = True
            except (Unpatchable, Faulty, OutOfBudget) as error:
                fault = str(error)
                faults.append(_Fault(step.policy, _denied(step, fault), "Invalid"))
            except ApiError as error:
                fault = error.message
                raise
            finally:
                seconds = self._with.clock.monotonic() - began
                self._metrics.mutated(step.policy.name, step.binding.name, fault, seconds)
        if before != attributes.object:
            memory.changed()
            attributes.reinvocation.wanted = True
        if program.reinvocable:
            memory.invoked.add(step.key)
        return patched

    async def _apply(self, step: Step, mutation: Mutation, request: Request) -> None:
        """Change the object as the mutation says. Raises Unpatchable, Faulty, OutOfBudget, ApiError."""
        shown = await request.shown(step.row)
        assert shown.object is not None
        kind = known_kind(shown.kind)
        if mutation.expression.fault:
            raise Unpatchable(mutation.expression.fault)
        evaluation = await self._evaluation(step, request, RUNTIME_BUDGET)
        value = await evaluation.value(mutation.expression)
        make = self._patcher.patch if mutation.is_patch else self._patcher.configure
        patched = make(kind, shown.object, value)
        if patched is not shown.object:
            await self._replace(request, step.row, patched)

    async def _replace(self, request: Request, row: ResourceInfo, patched: Object) -> None:
        attributes = request.attributes
        assert attributes.object is not None
        if row.api_version != attributes.info.api_version and attributes.kind is None:
            patched = await self._with.convert(patched, row, attributes.info)
        attributes.default(patched)
        # In place: the registry holds on to the same object.
        kept = dict(patched)
        attributes.object.clear()
        attributes.object.update(kept)
        request.changed()

    async def _evaluation(self, step: Step, request: Request, limit: int) -> Evaluation:
        program = step.policy.program
        bindings = await request.bindings(step.row, namespace=program.sees_namespace)
        bindings = {**bindings, "params": step.params}
        return Evaluation(bindings, program.variables, request.permissions, limit)


def _denied(found: Step | Failure[MutatingProgram], why: str) -> str:
    if found.binding is None:
        return f'policy "{found.policy.name}" denied request: {why}'
    return f"policy '{found.policy.name}' with binding '{found.binding.name}' denied request: {why}"


def _refusal(attributes: Attributes, faults: Sequence[_Fault]) -> ApiError:
    """The first is the answer, the others are told with it."""
    details = refused(attributes, "").details | {"causes": [{"message": fault.message} for fault in faults]}
    first = faults[0]
    return (InvalidByPolicy if first.reason == "Invalid" else Forbidden)(first.message, details)
