"""Discovery with the groups of aggregated servers among our own, in the order of their priorities."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from kplane.api.resource import Object
from kplane.api.scheme import Scheme
from kplane.api.scheme.scheme import version_rank

from .. import discovery
from ..discovery import Discovery
from .catalogue import Catalogue
from .priorities import CUSTOM, of_builtin
from .registration import OWN_GROUP
from .remotes import Remote, Remotes

_FIRST = 20_000


class Version(NamedTuple):
    """One version of a group; `remote` None where we serve it."""

    name: str
    remote: Remote | None


def order(scheme: Scheme, remotes: Remotes) -> Iterator[tuple[str, list[Version]]]:
    """Every group with its versions, both in order of preference. Where an APIService has a Service, that
    server is asked, even for a version that we know."""
    known = remotes.known()
    members: dict[str, dict[str, tuple[int, int, Remote | None]]] = {}
    for group, version in scheme.group_versions():
        if (group, version) not in known:
            priority = of_builtin(group, version) or CUSTOM
            ahead = _FIRST if group == OWN_GROUP else priority.group
            members.setdefault(group, {})[version] = (ahead, priority.version, None)
    local = list(members)
    for (group, version), remote in known.items():
        members.setdefault(group, {})[version] = (remote.group_priority, remote.version_priority, remote)
    ranks = {group: max(entry[0] for entry in versions.values()) for group, versions in members.items()}
    places = {group: place for place, group in enumerate(local)}
    # Among equals our own come in their order, all others after them by name.
    for group in sorted(members, key=lambda group: (-ranks[group], places.get(group, len(places)), group)):
        versions = members[group]
        names = sorted(versions, key=lambda name: (-versions[name][1], version_rank(name)))
        yield group, [Version(name, versions[name][2]) for name in names]


class MergedDiscovery(Discovery):
    """Our own documents for as long as nothing is aggregated."""

    def __init__(self, scheme: Scheme, server_address: str, remotes: Remotes, catalogue: Catalogue) -> None:
        super().__init__(scheme, server_address)
        self._remotes = remotes
        self._catalogue = catalogue

    def apis(self) -> discovery.Document | None:
        if not self._remotes.known():
            return super().apis()
        return self._kept(("apis",), self._group_list)

    def group(self, name: str) -> discovery.Document | None:
        if not self._remotes.known():
            return super().group(name)
        return self._kept(("group", name), lambda: self._one_group(name))

    def aggregated(self, *, legacy: bool, version: str = "v2") -> discovery.Document | None:
        if legacy or not self._remotes.known():
            return super().aggregated(legacy=legacy, version=version)
        return self._kept(("aggregated", "apis", version), lambda: self._aggregated(version))

    def _stamp(self) -> tuple[int, ...]:
        return (self._scheme.generation, self._remotes.generation, self._catalogue.generation)

    def _available(self) -> Iterator[tuple[str, list[str]]]:
        """The groups of which something can be asked."""
        for group, versions in order(self._scheme, self._remotes):
            names = [
                version.name for version in versions if version.remote is None or version.remote.available
            ]
            if group and names:
                yield group, names

    def _group_list(self) -> Object:
        groups = [discovery.group_entry(name, versions) for name, versions in self._available()]
        return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}

    def _one_group(self, name: str) -> Object | None:
        versions = dict(self._available()).get(name)
        if versions is None:
            return None
        return {"kind": "APIGroup", "apiVersion": "v1", **discovery.group_entry(name, versions)}

    def _aggregated(self, version: str) -> Object:
        own = {
            item["metadata"]["name"]: {entry["version"]: entry for entry in item["versions"]}
            for item in discovery.aggregated(self._scheme, legacy=False, version=version)["items"]
        }
        items = [
            {
                "metadata": {"name": group},
                "versions": [
                    own[group][entry.name] if entry.remote is None else self._remote_version(entry.remote)
                    for entry in versions
                ],
            }
            for group, versions in order(self._scheme, self._remotes)
            if group
        ]
        return {
            "kind": "APIGroupDiscoveryList",
            "apiVersion": f"apidiscovery.k8s.io/{version}",
            "metadata": {},
            "items": items,
        }

    def _remote_version(self, remote: Remote) -> Object:
        known = self._catalogue.of(remote)
        entry: Object = {"version": remote.version}
        if known.resources:
            entry["resources"] = list(known.resources)
        entry["freshness"] = "Current" if known.current and remote.available else "Stale"
        return entry
