"""What the server serves, and what people call it: plural, singular, kind, short name, `name.group`.

Reads: aggregated discovery, both documents at once, so custom resources are found like any other.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import msgspec

from kplane.api.resource import Object, Resource
from kplane.client.rest import Client

from .failures import CommandError

ACCEPT = (
    "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList,"
    "application/json;g=apidiscovery.k8s.io;v=v2beta1;as=APIGroupDiscoveryList,application/json"
)


@dataclass(frozen=True, slots=True)
class Kind:
    """One resource at one version, and its names."""

    resource: Resource[Object]
    singular: str
    short_names: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    verbs: frozenset[str] = frozenset()

    @property
    def prefix(self) -> str:
        """What kubectl writes before a name: `deployment.apps`."""
        group = self.resource.group
        return f"{self.resource.kind}.{group}".lower() if group else self.resource.kind.lower()

    def named(self, word: str) -> bool:
        return word in (self.resource.plural, self.singular, self.resource.kind.lower())


class Kinds:
    """Every kind of a server, in its order of preference."""

    def __init__(self, kinds: Sequence[Kind]) -> None:
        self._kinds = kinds

    def find(self, word: str) -> Kind:
        """The kind that a person means. Raises CommandError."""
        found = self._named(word.lower())
        if found is None:
            raise CommandError(f"the server doesn't have a resource type {_quoted(word)}")
        return found

    def category(self, word: str) -> list[Kind]:
        """Everything that `all`, or another category, stands for; empty if it is none."""
        found: dict[tuple[str, str], Kind] = {}
        for kind in self._kinds:
            if word in kind.categories and "list" in kind.verbs:
                found.setdefault((kind.resource.group, kind.resource.plural), kind)
        return list(found.values())

    def by_kind(self, api_version: str, kind: str) -> Kind | None:
        """The kind of a manifest."""
        matching = (
            found
            for found in self._kinds
            if found.resource.kind == kind and found.resource.api_version == api_version
        )
        return next(matching, None)

    def _named(self, word: str) -> Kind | None:
        name, _, group = word.partition(".")
        if not group:
            full = (kind for kind in self._kinds if kind.named(name))
            short = (kind for kind in self._kinds if name in kind.short_names)
            return next(full, None) or next(short, None)
        return self._in_group(name, group)

    def _in_group(self, name: str, group: str) -> Kind | None:
        """`deployments.apps`, `deployments.v1.apps`, and groups by how they begin, `ingresses.networking`."""
        named = [kind for kind in self._kinds if kind.named(name) or name in kind.short_names]
        version, _, versioned_group = group.partition(".")
        exact = (kind for kind in named if kind.resource.group == group)
        versioned = (
            kind
            for kind in named
            if kind.resource.version == version and kind.resource.group == versioned_group
        )
        begun = (kind for kind in named if kind.resource.group.startswith(group))
        return next(exact, None) or next(versioned, None) or next(begun, None)


async def load(client: Client) -> Kinds:
    """Ask the server. Raises ApiError, and CommandError if the server knows no aggregated discovery."""
    documents = await asyncio.gather(*(client.raw("GET", path, accept=ACCEPT) for path in ("/api", "/apis")))
    return Kinds([kind for document in documents for kind in _kinds(msgspec.json.decode(document))])


def _kinds(document: Object) -> Iterator[Kind]:
    if document.get("kind") != "APIGroupDiscoveryList":
        raise CommandError("the server does not offer aggregated discovery (Kubernetes 1.27 or later does)")
    for group in document.get("items") or ():
        name = group.get("metadata", {}).get("name", "")
        for version in group.get("versions") or ():
            for entry in version.get("resources") or ():
                yield _kind(name, version["version"], entry)


def _kind(group: str, version: str, entry: Object) -> Kind:
    response = entry.get("responseKind") or {}
    resource = Resource(
        group=group,
        version=version,
        plural=entry["resource"],
        kind=response.get("kind", ""),
        namespaced=entry.get("scope") == "Namespaced",
        view=dict,
    )
    return Kind(
        resource,
        entry.get("singularResource") or resource.kind.lower(),
        tuple(entry.get("shortNames") or ()),
        tuple(entry.get("categories") or ()),
        frozenset(entry.get("verbs") or ()),
    )


def _quoted(word: str) -> str:
    return f'"{word}"'
