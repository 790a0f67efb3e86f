"""What a client needs to know of a resource: where it lives in the API and what its bodies decode into."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

Object: TypeAlias = dict[str, Any]
"""An API object as decoded JSON."""

T = TypeVar("T")


class Key(NamedTuple):
    """What identifies an object within its resource; `namespace` is empty for cluster-scoped ones."""

    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}" if self.namespace else self.name


@dataclass(frozen=True, slots=True)
class Resource(Generic[T]):
    """One resource at one version. `view` is what bodies decode into: a View, or `dict`."""

    group: str
    version: str
    plural: str
    kind: str
    namespaced: bool
    view: type[T]

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def prefix(self) -> str:
        """`/api/v1` or `/apis/apps/v1`."""
        return f"/apis/{self.group}/{self.version}" if self.group else f"/api/{self.version}"

    def path(self, namespace: str = "", name: str = "", subresource: str = "") -> str:
        """The URL path; with no namespace, a namespaced resource's path is that of all namespaces."""
        parts = [self.prefix]
        if self.namespaced and namespace:
            parts += ["namespaces", namespace]
        parts.append(self.plural)
        if name:
            parts.append(name)
        if subresource:
            parts.append(subresource)
        return "/".join(parts)

    def as_type(self, other: type[Any]) -> Resource[Any]:
        """The same resource, decoded into something else (`dict`, `PartialObjectMetadata`)."""
        return replace(self, view=other)


class HasResource(Protocol):
    """What every View class has."""

    API: ClassVar[Resource[Any]]


def resource_of(what: type[T] | Resource[T]) -> Resource[T]:
    """The Resource of a View class; a Resource stands for itself."""
    if isinstance(what, Resource):
        return what
    resource: Resource[T] = what.API  # type: ignore[attr-defined]
    return resource
