"""A row of the scheme: one resource at one version, and its subresources."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kplane.api import schema
from kplane.api.resource import Resource
from kplane.api.scheme.custom import CustomVersion

ALL_VERBS = ("create", "delete", "deletecollection", "get", "list", "patch", "update", "watch")
CREATE_ONLY = ("create",)


@dataclass(frozen=True)
class SubresourceInfo:
    """A row of discovery such as `pods/status`, `deployments/scale`, `pods/exec`, `serviceaccounts/token`."""

    name: str
    kind: str
    verbs: tuple[str, ...]
    group: str = ""
    """Group of `kind`; with `version`, empty where it is that of the resource."""
    version: str = ""


@dataclass(frozen=True)
class ResourceInfo:
    """One resource at one version, as discovery tells it, and its schema's name."""

    group: str
    version: str
    plural: str
    singular: str
    kind: str
    namespaced: bool
    definition: str
    """Name of its definition in the schema, e.g. `io.k8s.api.apps.v1.Deployment`."""
    list_kind: str = ""
    """Empty for resources that cannot be listed."""
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: tuple[str, ...] = ALL_VERBS
    subresources: tuple[SubresourceInfo, ...] = ()
    storage_path: str | None = None
    """What follows `/registry/` in the store; None for `<group>/<plural>`, empty if nothing is stored."""
    stored_as: tuple[str, str] | None = None
    """Group and version in which objects are stored, where another version of the resource is the stored
    one; `kplane.api.conversion` converts between them."""

    returns_deleted: bool = False
    """Whether DELETE answers with the object that it removed, and not with a Status."""
    deprecation: str = ""
    """What users of a deprecated resource are told."""
    custom: CustomVersion | None = None
    """For custom resources: what their definition says."""

    @property
    def api_version(self) -> str:
        return f"{self.group}/{self.version}" if self.group else self.version

    @property
    def node(self) -> schema.Node:
        """The compiled schema of its objects."""
        return self.custom.schema.node if self.custom else schema.node(self.definition)

    @property
    def resource(self) -> Resource[dict[str, Any]]:
        """The same for a client, undecoded."""
        return Resource(self.group, self.version, self.plural, self.kind, self.namespaced, dict)

    @property
    def storage_prefix(self) -> str:
        """Key prefix in the store, upstream's: `/registry/pods/`, `/registry/deployments/`,
        `/registry/apiregistration.k8s.io/apiservices/`, `/registry/minions/` for nodes, …; empty for
        resources of which nothing is stored, such as SubjectAccessReview."""
        path = f"{self.group}/{self.plural}" if self.storage_path is None else self.storage_path
        return f"/registry/{path}/" if path else ""

    @property
    def storage_group_version(self) -> tuple[str, str]:
        """Group and version of the objects in the store."""
        return self.stored_as or (self.group, self.version)

    def subresource(self, name: str) -> SubresourceInfo | None:
        return next((entry for entry in self.subresources if entry.name == name), None)
