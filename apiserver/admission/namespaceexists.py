"""NamespaceExists: nothing is written in a namespace that is missing."""

from __future__ import annotations

from kplane.api.errors import not_found

from .chain import Attributes, Operation, on
from .context import AdmissionContext


class NamespaceExists:
    name = "NamespaceExists"
    handles = on(Operation.CREATE, Operation.UPDATE, Operation.DELETE)

    def __init__(self, context: AdmissionContext) -> None:
        self._namespace = context.namespace

    async def validate(self, attributes: Attributes) -> None:
        if not attributes.namespace:
            return
        if attributes.info.kind == "Namespace" and not attributes.info.group:
            return
        if await self._namespace(attributes.namespace) is None:
            raise not_found("namespaces", "", attributes.namespace)
