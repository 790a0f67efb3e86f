"""NamespaceLifecycle: nothing is created in a namespace that is missing or going away.

The namespaces that a cluster cannot do without cannot be deleted.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from kplane.api.errors import Forbidden, forbidden, not_found
from kplane.api.resource import Object

from .chain import Attributes, Operation, on

IMMORTAL = ("default", "kube-system", "kube-public", "kube-node-lease")

ReadNamespace = Callable[[str], Awaitable[Object | None]]


class NamespaceLifecycle:
    name = "NamespaceLifecycle"
    handles = on(Operation.CREATE, Operation.UPDATE, Operation.DELETE)

    def __init__(self, read: ReadNamespace) -> None:
        """`read` gives the namespace of a name as it is now, or None."""
        self._read = read

    async def admit(self, attributes: Attributes) -> None:
        """Changes nothing, but runs first: no other plug-in should see a write that cannot succeed."""
        if attributes.info.kind == "Namespace" and not attributes.info.group:
            if attributes.operation is Operation.DELETE and attributes.name in IMMORTAL:
                raise forbidden("namespaces", "", attributes.name, "this namespace may not be deleted")
            return
        if not attributes.namespace or attributes.operation is Operation.DELETE:
            return
        namespace = await self._read(attributes.namespace)
        if namespace is None:
            raise not_found("namespaces", "", attributes.namespace)
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
