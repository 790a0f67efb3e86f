"""Discovery: every resource that the server serves now, built-in or custom, in its preferred version.

Reads: `/api/v1`, `/apis` and the resource lists of each group.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from kplane.api.errors import ApiError
from kplane.api.resource import Resource
from kplane.api.types import PartialObjectMetadata
from kplane.api.types.meta import Part
from kplane.client.rest import Client


class APIResource(Part, frozen=True):
    name: str
    kind: str
    namespaced: bool
    verbs: tuple[str, ...] = ()


class APIResourceList(Part, frozen=True):
    resources: tuple[APIResource, ...] = ()


class GroupVersion(Part, frozen=True):
    group_version: str
    version: str


class APIGroup(Part, frozen=True):
    name: str
    versions: tuple[GroupVersion, ...] = ()


class APIGroupList(Part, frozen=True):
    groups: tuple[APIGroup, ...] = ()


@dataclass(frozen=True)
class Served:
    """One resource, and what can be done with it. Objects decode as metadata only."""

    resource: Resource[PartialObjectMetadata]
    verbs: frozenset[str]
    subresources: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Discovered:
    """What is served. `failures` has the group versions that could not be asked, and why."""

    served: Sequence[Served] = ()
    failures: Mapping[str, str] = field(default_factory=dict)

    def by_kind(self) -> dict[tuple[str, str], Resource[PartialObjectMetadata]]:
        """(group, kind) -> resource."""
        return {(entry.resource.group, entry.resource.kind): entry.resource for entry in self.served}


async def discover(client: Client, group: str | None = None) -> Discovered:
    """Ask the server, about everything or one group. A group version that fails is left out and told of; if
    nothing answers, raises ApiError."""
    groups = msgspec.json.decode(await client.raw("GET", "/apis"), type=APIGroupList)
    versions = [("", "v1")]
    versions += [(each.name, entry.version) for each in groups.groups for entry in each.versions]
    if group is not None:
        versions = [version for version in versions if version[0] == group]
    failures: dict[str, str] = {}

    async def ask(group: str, version: str) -> APIResourceList:
        path = f"/apis/{group}/{version}" if group else f"/api/{version}"
        try:
            return msgspec.json.decode(await client.raw("GET", path), type=APIResourceList)
        except ApiError as error:
            failures[f"{group}/{version}" if group else version] = str(error)
            return APIResourceList()

    async with asyncio.TaskGroup() as tasks:
        answers = [tasks.create_task(ask(group, version)) for group, version in versions]
    found: dict[tuple[str, str], Served] = {}
    for (name, version), answer in zip(versions, answers, strict=True):
        resources = answer.result().resources
        for entry in resources:
            if "/" not in entry.name:
                # Versions come in order of preference: the first one that has the resource stays.
                found.setdefault((name, entry.name), _served(name, version, entry, resources))
    return Discovered(list(found.values()), failures)


def _served(group: str, version: str, entry: APIResource, others: Sequence[APIResource]) -> Served:
    view: type[Any] = PartialObjectMetadata
    resource = Resource(group, version, entry.name, entry.kind, entry.namespaced, view)
    prefix = f"{entry.name}/"
    parts = (other.name.removeprefix(prefix) for other in others if other.name.startswith(prefix))
    return Served(resource, frozenset(entry.verbs), frozenset(parts))
