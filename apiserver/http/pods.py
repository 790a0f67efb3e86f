"""Binding Pods to nodes.

Elsewhere: evicting them (`eviction.py`).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from starlette.responses import Response

from kplane.api.clock import Clock, rfc3339
from kplane.api.errors import BadRequest, Conflict, conflict, invalid
from kplane.api.field import FieldError, Path
from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo, Scheme

from ..registry.generic import Registry
from ..registry.registry import Registries
from ..registry.writing import Author
from .call import Call
from .decoding import dry_run, read_object
from .output import object_response
from .resources import author_of, options_of

_SUCCESS = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201}


class PodActions:
    """Answers POST of `pods/NAME/binding` and `bindings`."""

    def __init__(self, scheme: Scheme, registries: Registries, clock: Clock) -> None:
        self._scheme = scheme
        self._registries = registries
        self._clock = clock

    async def bind(self, call: Call, row: ResourceInfo) -> Response:
        """Through either path; the older one names the pod in the body alone."""
        binding = await read_object(call, self._row("bindings"), "CreateOptions")
        name = call.info.name or binding["metadata"].get("name", "")
        if binding["metadata"].get("name", name) != name:
            raise BadRequest("name in URL does not match name in Binding object")
        faults = list(_binding_faults(binding))
        if faults:
            raise invalid("Binding", "", name, faults)
        author = replace(author_of(call, dry_run(call, "CreateOptions")), options=options_of(call))
        pods, key = self._registries.of(self._row("pods")), Key(call.info.namespace, name)
        await self._admit(pods, call.info.subresource, binding, key, author)
        await pods.amend(key, lambda pod: bound(pod, binding, rfc3339(self._clock.now())), author)
        return object_response(call, _SUCCESS, 201)

    async def _admit(
        self, pods: Registry, subresource: str, binding: Object, key: Key, author: Author
    ) -> None:
        """As what it was sent: `pods/binding`, or a Binding of its own."""
        kind = self._row("bindings")
        binding["metadata"].setdefault("namespace", key.namespace)
        info = None if subresource else kind
        await pods.admit(subresource, kind, binding, key, author, info=info)

    def _row(self, plural: str) -> ResourceInfo:
        return self._scheme.rows["", "v1", plural]


def _binding_faults(binding: Object) -> Iterator[FieldError]:
    target, path = binding.get("target") or {}, Path("target")
    if target.get("kind", "") not in ("", "Node"):
        yield path.kind.not_supported(target["kind"], ("Node", "<empty>"))
    if not target.get("name"):
        yield path.name.required()


def bound(pod: Object, binding: Object, now: str) -> Object:
    """The pod on the binding's node. Raises Conflict where it cannot be bound any more."""
    metadata, spec = pod["metadata"], pod["spec"]
    name = metadata["name"]
    if metadata.get("deletionTimestamp"):
        raise _unbindable(name, f"pod {name} is being deleted, cannot be assigned to a host")
    if spec.get("nodeName"):
        raise _unbindable(name, f'pod {name} is already assigned to node "{spec["nodeName"]}"')
    if spec.get("schedulingGates"):
        raise _unbindable(name, f"pod {name} has non-empty .spec.schedulingGates")
    spec["nodeName"] = binding["target"]["name"]
    for field in ("uid", "resourceVersion"):
        if wanted := binding["metadata"].get(field):
            metadata[field] = wanted
    for field in ("annotations", "labels"):
        if added := binding["metadata"].get(field):
            metadata[field] = (metadata.get(field) or {}) | added
    _set_scheduled(pod.setdefault("status", {}), now)
    return pod


def _set_scheduled(status: Object, now: str) -> None:
    conditions = [entry for entry in status.get("conditions") or [] if entry["type"] != "PodScheduled"]
    scheduled = {"type": "PodScheduled", "status": "True", "lastProbeTime": None, "lastTransitionTime": now}
    status["conditions"] = [*conditions, scheduled]


def _unbindable(name: str, why: str) -> Conflict:
    return conflict("pods/binding", "", name, why)
