"""What all policies share that look at one request: its objects in the versions that they ask for, its
description, its namespace, and what its user may do."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from kplane.api.clock import Clock
from kplane.api.errors import not_found
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme

from ...registry.generic import Registry
from ..chain import Attributes
from ..expressions import Allows, Permissions
from ..matching import ReadNamespace, is_namespace
from ..webhooks.metrics import WebhookMetrics
from ..webhooks.review import Shown, described

Convert = Callable[[Object, ResourceInfo, ResourceInfo], Awaitable[Object]]
"""(object, its row, another row of the same resource) -> the object in that row's version."""

_HIDDEN = frozenset({"managedFields", "ownerReferences", "selfLink"})
"""Of a namespace's metadata, what expressions do not see."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What both plug-ins need."""

    scheme: Scheme
    registry: Callable[[ResourceInfo], Registry]
    namespace: ReadNamespace
    allows: Allows
    convert: Convert
    clock: Clock
    conditions: WebhookMetrics
    """Counts match conditions, also those of webhooks."""


class Request:
    """One request. `attributes.object` may be replaced between policies; then `changed` is to be called."""

    def __init__(self, attributes: Attributes, surroundings: Surroundings) -> None:
        self.attributes = attributes
        self._with = surroundings
        self.permissions = Permissions(attributes, surroundings.allows)
        self._authorizer = self.permissions.bindings()
        self._bindings: dict[str, Mapping[str, Any]] = {}
        self._shown: dict[str, Shown] = {}
        self._namespace: Object | None = None

    @property
    def namespace(self) -> str:
        """Upstream counts a Namespace as lying in itself."""
        return self.attributes.name if is_namespace(self.attributes) else self.attributes.namespace

    async def shown(self, row: ResourceInfo) -> Shown:
        """The objects in the version of `row`. Raises ApiError where they cannot be converted."""
        found = self._shown.get(row.api_version)
        if found is None:
            found = self._shown[row.api_version] = await self._show(row)
        return found

    async def _show(self, row: ResourceInfo) -> Shown:
        attributes = self.attributes
        info = attributes.info
        # A subresource with a kind of its own has one version only.
        if row.api_version == info.api_version or attributes.kind is not None:
            return Shown(row, attributes.shape, attributes.object, attributes.old)
        obj, old, convert = attributes.object, attributes.old, self._with.convert
        return Shown(
            row,
            row,
            None if obj is None else await convert(obj, info, row),
            None if old is None else await convert(old, info, row),
        )

    async def bindings(self, row: ResourceInfo, *, namespace: bool) -> Mapping[str, Any]:
        """The variables that do not depend on the policy. `namespace`: with the namespace's object."""
        found = self._bindings.get(row.api_version)
        if found is None:
            shown = await self.shown(row)
            found = self._bindings[row.api_version] = {
                "object": shown.object,
                "oldObject": shown.old,
                "request": described(self.attributes, shown),
                "namespaceObject": None,
                **self._authorizer,
            }
        if not namespace:
            return found
        return {**found, "namespaceObject": await self._namespace_object()}

    async def _namespace_object(self) -> Object | None:
        """None for what lies in no namespace. Raises NotFound."""
        name = self.attributes.namespace
        if not name or is_namespace(self.attributes):
            return None
        if self._namespace is None:
            found = await self._with.namespace(name)
            if found is None:
                raise not_found("namespaces", "", name)
            metadata = {key: value for key, value in found["metadata"].items() if key not in _HIDDEN}
            self._namespace = {
                "metadata": metadata,
                "spec": found.get("spec", {}),
                "status": found.get("status", {}),
            }
        return self._namespace

    def changed(self) -> None:
        """The object is another one now."""
        self._shown.clear()
        self._bindings.clear()
