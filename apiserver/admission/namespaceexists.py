"""NamespaceExists: nothing is written in a namespace that is missing."""

from __future__ import annotations

from kplane.api.errors import not_found

from .chain import Attributes, Operation
from .context import AdmissionContext


class NamespaceExists:
    name = "NamespaceExists"

    def __init__(self, context: AdmissionContext) -> None:
        self._namespace = context.namespace

    async def admit(self, attributes: Attributes) -> None:
        """Decides in `validate`."""

    async def validate(self, attributes: Attributes) -> None:
        if not attributes.namespace or attributes.operation is Operation.CONNECT:
            return
        if attributes.info.kind == "Namespace" and not attributes.info.group:
            return
        if await self._namespace(attributes.namespace) is None:
            raise not_found("namespaces", "", attributes.namespace)
