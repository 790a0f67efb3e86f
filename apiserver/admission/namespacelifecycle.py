"""NamespaceLifecycle: nothing is created in a namespace that is missing or going away.

The namespaces that a cluster cannot do without cannot be deleted.
"""

from __future__ import annotations

from kplane.api.errors import Forbidden, forbidden, not_found
from kplane.api.resource import Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext

IMMORTAL = ("default", "kube-system", "kube-public", "kube-node-lease")


class NamespaceLifecycle:
    name = "NamespaceLifecycle"
    handles = on(Operation.CREATE, Operation.UPDATE, Operation.DELETE)

    def __init__(self, context: AdmissionContext) -> None:
        self._namespaces = context.read("namespaces")

    def admit(self, attributes: Attributes) -> Waiting:
        """Changes nothing, but runs first: no other plug-in should see a write that cannot succeed."""
        if attributes.info.kind == "Namespace" and not attributes.info.group:
            if attributes.operation is Operation.DELETE and attributes.name in IMMORTAL:
                raise forbidden("namespaces", "", attributes.name, "this namespace may not be deleted")
            return None
        if not attributes.namespace or attributes.operation is Operation.DELETE:
            return None
        namespace = self._namespaces.known("", attributes.namespace)
        if namespace is None:
            return self._look_up(attributes)
        _check(attributes, namespace)
        return None

    async def _look_up(self, attributes: Attributes) -> None:
        namespace = await self._namespaces.get("", attributes.namespace)
        if namespace is None:
            raise not_found("namespaces", "", attributes.namespace)
        _check(attributes, namespace)


def _check(attributes: Attributes, namespace: Object) -> None:
    if attributes.operation is Operation.CREATE and _terminating(namespace):
        raise _being_terminated(attributes)


def _terminating(namespace: Object) -> bool:
    phase: str | None = (namespace.get("status") or {}).get("phase")
    return phase == "Terminating" or bool(namespace["metadata"].get("deletionTimestamp"))


def _being_terminated(attributes: Attributes) -> Forbidden:
    namespace = attributes.namespace
    error = forbidden(
        attributes.info.plural,
        attributes.info.group,
        attributes.shown_name,
        f"unable to create new content in namespace {namespace} because it is being terminated",
    )
    error.details["causes"] = [
        {
            "reason": "NamespaceTerminating",
            "message": f"namespace {namespace} is being terminated",
            "field": "metadata.namespace",
        }
    ]
    return error
