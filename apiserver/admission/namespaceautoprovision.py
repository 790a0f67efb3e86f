"""NamespaceAutoProvision: a namespace that something is created in is made if it is missing."""

from __future__ import annotations

from kplane.api.errors import AlreadyExists, ApiError

from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused


class NamespaceAutoProvision:
    name = "NamespaceAutoProvision"
    handles = on(Operation.CREATE)

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context

    async def admit(self, attributes: Attributes) -> None:
        name = attributes.namespace
        shape = attributes.shape
        # A dry run leaves nothing behind.
        if not name or attributes.dry_run or (shape.kind == "Namespace" and not shape.group):
            return
        if await self._context.namespace(name) is not None:
            return
        try:
            await self._context.create("", "v1", "namespaces", {"metadata": {"name": name}})
        except AlreadyExists:
            return  # Another request had the same need.
        except ApiError as error:
            raise refused(attributes, error.message) from error
