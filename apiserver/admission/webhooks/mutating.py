"""MutatingAdmissionWebhook: webhooks that may change what is written, one after the other.

Each sees what those before it have made of the object. Where one changes it, the mutating plug-ins run a
second time, and webhooks with `reinvocationPolicy: IfNeeded` that were called before the change are called
again; nobody is called for the first time then.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kplane.api.check import check
from kplane.api.errors import ApiError, BadRequest, ServiceUnavailable
from kplane.api.patches import json_patch
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Object

from ...http.decoding import check_custom
from ..chain import Attributes, Waiting, on, unrecorded
from ..matching import exempt
from .calls import ADMIT, Caller, Failed, Surroundings, internal
from .configuration import Candidate, Configuration
from .review import JSON_PATCH, Shown, Verdict

MUTATION = "mutation.webhook.admission.k8s.io/"
PATCH = "patch.webhook.admission.k8s.io/"
FAILED_OPEN = "failed-open." + MUTATION
BAD_MANAGERS = (
    ".metadata.managedFields was in an invalid state after admission; this could be caused by an outdated "
    "mutating admission controller; please fix your requests: "
)


@dataclass(slots=True)
class _Memory:
    """What one request's second round must know of its first."""

    invoked: set[str] = field(default_factory=set)
    """Webhooks that are called again if the object changes after them."""
    again: set[str] = field(default_factory=set)
    output: Object | None = None
    """The object as the webhooks left it."""

    def changed(self) -> None:
        self.again |= self.invoked
        self.invoked = set()


class MutatingAdmissionWebhook:
    name = "MutatingAdmissionWebhook"
    handles = on()

    def __init__(self, configuration: Configuration, surroundings: Surroundings) -> None:
        self._configuration = configuration
        self._caller = Caller(surroundings, ADMIT)

    def admit(self, attributes: Attributes) -> Waiting:
        return None if self._configuration.idle or exempt(attributes) else self._admit(attributes)

    async def _admit(self, attributes: Attributes) -> None:
        candidates = await self._configuration.candidates(attributes)
        if candidates:
            await self._dispatch(candidates, attributes)

    async def _dispatch(self, candidates: Sequence[Candidate], attributes: Attributes) -> None:
        rounds = attributes.reinvocation
        memory: _Memory = rounds.kept.setdefault(self.name, _Memory())
        if rounds.running and memory.output != attributes.object:
            # A plug-in of our own has changed the object since.
            memory.changed()
        for candidate in candidates:
            if not rounds.running or candidate.webhook.uid in memory.again:
                await self._visit(candidate, attributes, memory)
        if memory.invoked:
            memory.output = duplicate(attributes.object) if attributes.object is not None else None

    async def _visit(self, candidate: Candidate, attributes: Attributes, memory: _Memory) -> None:
        webhook = candidate.webhook
        if not await self._caller.concerns(candidate, attributes):
            return
        shown = await self._caller.show(candidate, attributes)
        if not await self._caller.conditions_hold(webhook, attributes, shown):
            return
        changed = await self._caller.counted(
            webhook, attributes, lambda: self._mutate(candidate, attributes, shown)
        )
        if changed is None:
            _annotate(attributes, FAILED_OPEN, candidate, webhook.name)
        mutated = {"configuration": webhook.configuration, "webhook": webhook.name, "mutated": bool(changed)}
        _annotate(attributes, MUTATION, candidate, msgspec.json.encode(mutated).decode())
        if changed:
            memory.changed()
            attributes.reinvocation.wanted = True
        if webhook.reinvocable:
            memory.invoked.add(webhook.uid)

    async def _mutate(self, candidate: Candidate, attributes: Attributes, shown: Shown) -> bool:
        """Ask, and change the object as the answer says; whether that made a difference."""
        name = candidate.webhook.name
        verdict = await self._caller.ask(candidate.webhook, attributes, shown)
        operations = _operations(name, verdict)
        if not operations:
            return False
        if shown.object is None or attributes.object is None:
            raise internal(
                f'admission webhook "{name}" attempted to modify the object, which is not supported for this '
                "operation"
            )
        patched = _patched(name, shown, operations)
        _annotate_patch(attributes, candidate, operations)
        if fault := _spoilt_managers(shown.object, patched):
            attributes.warn(BAD_MANAGERS + fault)
        changed = patched != shown.object
        restored = await self._caller.restore(shown, attributes, patched)
        attributes.default(restored)
        # In place: the registry holds on to the same object.
        kept = dict(restored)
        attributes.object.clear()
        attributes.object.update(kept)
        return changed


def _spoilt_managers(before: Object, after: Object) -> str:
    """What is wrong with changed managedFields, which are then put back; empty if nothing is."""
    kept = before["metadata"].get("managedFields")
    given = after["metadata"].get("managedFields") or []
    if given == kept:
        return ""
    fault = next(filter(None, (_entry_fault(entry, index) for index, entry in enumerate(given))), "")
    if fault:
        after["metadata"].pop("managedFields")
        if kept:
            after["metadata"]["managedFields"] = kept
    return fault


def _entry_fault(entry: Object, index: int) -> str:
    kind = entry.get("fieldsType", "")
    if entry.get("operation") not in ("Apply", "Update"):
        return "operation must be `Apply` or `Update`"
    if not entry.get("apiVersion"):
        return "apiVersion must not be empty"
    if not kind:
        return f"missing fieldsType in managed fields entry {index}"
    return "" if kind == "FieldsV1" else f'invalid fieldsType "{kind}" in managed fields entry {index}'


def _annotate(attributes: Attributes, prefix: str, candidate: Candidate, value: str) -> None:
    number = 1 if attributes.reinvocation.running else 0
    attributes.annotate(f"{prefix}round_{number}_index_{candidate.position}", value)


def _annotate_patch(attributes: Attributes, candidate: Candidate, operations: list[Any]) -> None:
    if attributes.annotate is unrecorded:
        return
    webhook = candidate.webhook
    said = {
        "configuration": webhook.configuration,
        "webhook": webhook.name,
        "patch": operations,
        "patchType": JSON_PATCH,
    }
    _annotate(attributes, PATCH, candidate, msgspec.json.encode(said).decode())


def _operations(name: str, verdict: Verdict) -> list[Any]:
    """The patch. Raises Failed."""
    if not verdict.patch:
        return []
    try:
        operations = msgspec.json.decode(verdict.patch, type=list[dict[str, Any]] | None)
    except (msgspec.DecodeError, RecursionError) as error:
        status = ServiceUnavailable("error decoding patch in webhook response")
        text = "exceeded max depth" if isinstance(error, RecursionError) else str(error)
        why = f"received undecodable patch in webhook response: {text}"
        raise Failed(name, why, status) from error
    if operations and verdict.patch_type != JSON_PATCH:
        why = f'unsupported patch type "{verdict.patch_type}"'
        raise Failed(name, why, BadRequest(why))
    return operations or []


def _patched(name: str, shown: Shown, operations: list[Any]) -> Object:
    """The object after the patch, as sound as a client's would have to be. Raises InternalError."""
    assert shown.object is not None
    try:
        patched = json_patch(shown.object, operations)
    except ApiError as error:
        raise internal(str(error.__cause__ or error)) from error
    except RecursionError as error:
        raise internal("exceeded max depth") from error
    patched |= {"kind": shown.kind.kind, "apiVersion": shown.kind.api_version}
    kind = shown.kind
    if kind.custom or kind.definition:
        found = check_custom(patched, kind.custom) if kind.custom else check(patched, kind.node)
        if found.errors:
            raise internal(found.errors[0])
    if not isinstance(patched.setdefault("metadata", {}), dict):
        raise internal("metadata is no object")
    return patched
