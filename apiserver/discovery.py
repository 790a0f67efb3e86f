"""Discovery: what the server serves, told from the scheme, in the plain and in the aggregated form.

The functions are pure. `Discovery` keeps their results as bytes, until the scheme changes.

Reads: the scheme. Elsewhere: which form a request asks for (`http/`), schemas (`openapi/`).
"""

from __future__ import annotations

import base64
import hashlib
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import msgspec

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme, SubresourceInfo

GIT_VERSION = "v1.37.0+kplane"
AGGREGATED_VERSIONS = ("v2", "v2beta1")


def version_info() -> Object:
    """The body of `/version`."""
    return {
        "major": "1",
        "minor": "37",
        "emulationMajor": "1",
        "emulationMinor": "37",
        "minCompatibilityMajor": "1",
        "minCompatibilityMinor": "36",
        "gitVersion": GIT_VERSION,
        "gitCommit": "",
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": f"python{platform.python_version()}",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system().lower()}/{platform.machine()}",
    }


def api_versions(scheme: Scheme, server_address: str) -> Object:
    """The body of `/api`; `server_address` is host:port under which clients reach this server."""
    return {
        "kind": "APIVersions",
        "versions": [version for group, version in scheme.group_versions() if not group],
        "serverAddressByClientCIDRs": [{"clientCIDR": "0.0.0.0/0", "serverAddress": server_address}],
    }


def group_list(scheme: Scheme) -> Object:
    """The body of `/apis`."""
    groups = [group_entry(name, versions) for name, versions in _groups(scheme) if name]
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": groups}


def group(scheme: Scheme, name: str) -> Object | None:
    """The body of `/apis/{name}`; None if there is no such group."""
    versions = dict(_groups(scheme)).get(name)
    return {"kind": "APIGroup", "apiVersion": "v1", **group_entry(name, versions)} if versions else None


def resource_list(scheme: Scheme, group: str, version: str) -> Object | None:
    """The body of `/api/v1` and `/apis/{group}/{version}`; None if it is not served."""
    rows = scheme.resources(group, version)
    if not rows:
        return None
    body: Object = {"kind": "APIResourceList"}
    if group:
        body["apiVersion"] = "v1"
    body["groupVersion"] = rows[0].api_version
    body["resources"] = [entry for row in rows for entry in _resource_entries(row)]
    return body


def aggregated(scheme: Scheme, *, legacy: bool, version: str = "v2") -> Object:
    """The aggregated form of `/api` (legacy) or `/apis`, as `apidiscovery.k8s.io/{version}`."""
    items = [
        {
            "metadata": {"name": name} if name else {},
            "versions": [
                {
                    "version": served,
                    "resources": [_aggregated_resource(row) for row in scheme.resources(name, served)],
                    "freshness": "Current",
                }
                for served in versions
            ],
        }
        for name, versions in _groups(scheme)
        if legacy is not bool(name)
    ]
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def storage_version_hash(row: ResourceInfo) -> str:
    """What tells clients that the stored form of a resource changed (apiserver `pkg/endpoints/discovery`)."""
    group, version = row.storage_group_version
    digest = hashlib.sha256(f"{group}/{version}/{row.kind}".encode()).digest()
    return base64.b64encode(digest[:8]).decode()


def _groups(scheme: Scheme) -> Iterator[tuple[str, list[str]]]:
    """Each group with its versions, both in order of preference."""
    found: dict[str, list[str]] = {}
    for name, version in scheme.group_versions():
        found.setdefault(name, []).append(version)
    yield from found.items()


def group_entry(name: str, versions: list[str]) -> Object:
    """A group in `/apis`; versions in order of preference."""
    entries = [{"groupVersion": f"{name}/{version}", "version": version} for version in versions]
    return {"name": name, "versions": entries, "preferredVersion": entries[0]}


def _resource_entries(row: ResourceInfo) -> Iterator[Object]:
    entry: Object = {
        "name": row.plural,
        "singularName": row.singular,
        "namespaced": row.namespaced,
        "kind": row.kind,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.storage_prefix:
        entry["storageVersionHash"] = storage_version_hash(row)
    yield entry
    for sub in row.subresources:
        entry = {"name": f"{row.plural}/{sub.name}", "singularName": "", "namespaced": row.namespaced}
        if sub.version:
            entry |= {"group": sub.group, "version": sub.version}
        yield entry | {"kind": sub.kind, "verbs": list(sub.verbs)}


def _aggregated_resource(row: ResourceInfo) -> Object:
    entry: Object = {
        "resource": row.plural,
        "responseKind": {"group": "", "version": "", "kind": row.kind},
        "scope": "Namespaced" if row.namespaced else "Cluster",
        "singularResource": row.singular,
        "verbs": list(row.verbs),
    }
    if row.short_names:
        entry["shortNames"] = list(row.short_names)
    if row.categories:
        entry["categories"] = list(row.categories)
    if row.subresources:
        entry["subresources"] = [_aggregated_subresource(sub) for sub in row.subresources]
    return entry


def _aggregated_subresource(sub: SubresourceInfo) -> Object:
    return {
        "subresource": sub.name,
        "responseKind": {"group": sub.group, "version": sub.version, "kind": sub.kind},
        "verbs": list(sub.verbs),
    }


@dataclass(frozen=True, slots=True)
class Document:
    """An encoded answer, and its ETag, quoted as the header wants it."""

    body: bytes
    etag: str


def document(obj: Object, encode: Callable[[Object], bytes] = msgspec.json.encode) -> Document:
    """Encode an answer."""
    body = encode(obj)
    return Document(body, f'"{hashlib.sha512(body).hexdigest().upper()}"')


class Discovery:
    """The documents of a scheme, each encoded once for as long as the scheme stays the same."""

    def __init__(self, scheme: Scheme, server_address: str) -> None:
        self._scheme = scheme
        self._server_address = server_address
        self._made_for: tuple[int, ...] = ()
        self._documents: dict[tuple[str, ...], Document] = {}

    def api(self) -> Document | None:
        return self._kept(("api",), lambda: api_versions(self._scheme, self._server_address))

    def apis(self) -> Document | None:
        return self._kept(("apis",), lambda: group_list(self._scheme))

    def group(self, name: str) -> Document | None:
        """None if there is no such group."""
        return self._kept(("group", name), lambda: group(self._scheme, name))

    def resources(self, group: str, version: str) -> Document | None:
        """None if there is no such group and version."""
        return self._kept(("resources", group, version), lambda: resource_list(self._scheme, group, version))

    def aggregated(self, *, legacy: bool, version: str = "v2") -> Document | None:
        """For `/api` (legacy) or `/apis`; `version` is one of AGGREGATED_VERSIONS."""
        key = ("aggregated", "api" if legacy else "apis", version)
        return self._kept(key, lambda: aggregated(self._scheme, legacy=legacy, version=version))

    def _stamp(self) -> tuple[int, ...]:
        """Changes when the documents must be made anew."""
        return (self._scheme.generation,)

    def _kept(self, key: tuple[str, ...], make: Callable[[], Object | None]) -> Document | None:
        stamp = self._stamp()
        if self._made_for != stamp:
            self._documents.clear()
            self._made_for = stamp
        if key not in self._documents:
            made = make()
            # Names that nobody serves are not remembered: clients could fill the memory with them.
            if made is None:
                return None
            self._documents[key] = document(made)
        return self._documents[key]
