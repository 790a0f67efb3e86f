"""What aggregated servers say that they serve: their discovery and schemas, fetched after each look at them.

A server that does not answer keeps what it said last, marked as stale. Owns no connection; `connection.py`
does. Elsewhere: merging it with our own (`discovery.py`, `schemas.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kplane.api.decode import DecodeError, decode_json
from kplane.api.resource import Object

from ..webhooks.errors import CallError
from .connection import Answer, Connections, Unanswered
from .remotes import Remote

log = logging.getLogger(__name__)

FETCH_SECONDS = 5.0
DISCOVERY_LIMIT = 8 * 1024 * 1024
SCHEMA_LIMIT = 32 * 1024 * 1024
_KIND = "APIGroupDiscoveryList"
_ACCEPT = ",".join(
    [
        *(f"application/json;g=apidiscovery.k8s.io;v={version};as={_KIND}" for version in ("v2", "v2beta1")),
        "application/json",
    ]
)


@dataclass(frozen=True)
class Known:
    """What is known of one APIService's server."""

    uid: str
    resources: Sequence[Object] = ()
    """As in `apidiscovery.k8s.io/v2`."""
    current: bool = False
    schemas: Object = field(default_factory=dict)
    """Its entry of the index of OpenAPI v3."""
    document: Object = field(default_factory=dict)
    """Its part of OpenAPI v2."""
    document_tag: str = ""


class Catalogue:
    """By name of the APIService. `look` is called by the availability prober."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._known: dict[str, Known] = {}
        self.generation = 0
        """Counts changes, for those who cache what they derive from this."""

    def of(self, remote: Remote) -> Known:
        known = self._known.get(remote.name)
        return known if known is not None and known.uid == remote.uid else Known(remote.uid)

    def keep(self, names: Mapping[str, Remote]) -> None:
        """Forget everything else."""
        self._known = {name: known for name, known in self._known.items() if name in names}

    async def look(self, remote: Remote, available: bool) -> None:
        """Ask again, where there is somebody to ask. Failures leave what was known, as stale."""
        before = self.of(remote)
        after = replace(before, current=False)
        if available:
            try:
                after = await self._fetch(remote, before)
            except (Unanswered, CallError, DecodeError) as error:
                log.warning("no discovery from an aggregated API name=%s error=%s", remote.name, error)
        self._known[remote.name] = after
        if after != before:
            self.generation += 1

    async def _fetch(self, remote: Remote, before: Known) -> Known:
        answer = await self._get(remote, "/apis", _ACCEPT, DISCOVERY_LIMIT)
        if answer.status == 200 and f"as={_KIND}" in answer.content_type.replace(" ", ""):
            resources = list(_aggregated(decode_json(answer.body), remote))
        else:
            answer = await self._get(remote, remote.root, "application/json", DISCOVERY_LIMIT)
            _expect(answer)
            resources = list(_from_plain(decode_json(answer.body), remote))
        found = replace(before, resources=resources, current=True)
        return await self._fetch_schemas(remote, found)

    async def _fetch_schemas(self, remote: Remote, known: Known) -> Known:
        """A server need not have any."""
        index = await self._get(remote, "/openapi/v3", "application/json", DISCOVERY_LIMIT)
        path = remote.root.lstrip("/")
        entry = _dict(_dict(decode_json(index.body).get("paths")).get(path)) if index.status == 200 else {}
        address = entry.get("serverRelativeURL")
        usable = isinstance(address, str) and address.startswith(f"/openapi/v3/{path}")
        known = replace(known, schemas={path: {"serverRelativeURL": address}} if usable else {})
        answer = await self._get(
            remote, "/openapi/v2", "application/json", SCHEMA_LIMIT, etag=known.document_tag
        )
        if answer.status == 304:
            return known
        document = decode_json(answer.body) if answer.status == 200 else {}
        return replace(known, document=document, document_tag=answer.etag)

    async def _get(self, remote: Remote, path: str, accept: str, limit: int, etag: str = "") -> Answer:
        address = await self._connections.address(remote)
        return await self._connections.get(
            f"https://{address}{path}",
            self._connections.tls(remote),
            server_name=remote.server_name,
            accept=accept,
            etag=etag,
            timeout=FETCH_SECONDS,
            limit=limit,
        )


def _expect(answer: Answer) -> None:
    if answer.status != 200:
        raise Unanswered(f"bad status: {answer.status}")


def _dict(value: Any) -> Object:
    return value if isinstance(value, dict) else {}


def _dicts(value: Any) -> Iterator[Object]:
    yield from (entry for entry in value if isinstance(entry, dict)) if isinstance(value, list) else ()


def _aggregated(body: Object, remote: Remote) -> Iterator[Object]:
    """The resources of the remote's version in a list of aggregated discovery."""
    for group in _dicts(body.get("items")):
        if _dict(group.get("metadata")).get("name", "") != remote.group:
            continue
        for version in _dicts(group.get("versions")):
            if version.get("version") == remote.version:
                yield from _dicts(version.get("resources"))


def _from_plain(body: Object, remote: Remote) -> Iterator[Object]:
    """An APIResourceList in the aggregated form (apiserver `ConvertGroupVersionIntoToDiscovery`)."""
    found: dict[str, Object] = {}
    listed = [entry for entry in _dicts(body.get("resources")) if isinstance(entry.get("name"), str)]
    for entry in listed:
        if "/" not in entry["name"]:
            found[entry["name"]] = {
                "resource": entry["name"],
                "responseKind": _kind(entry, remote),
                "scope": "Namespaced" if entry.get("namespaced") else "Cluster",
                "singularResource": entry.get("singularName") or "",
                "verbs": entry.get("verbs") or [],
                **{name: entry[name] for name in ("shortNames", "categories") if entry.get(name)},
            }
    for entry in listed:
        name, _, sub = entry["name"].partition("/")
        if not sub:
            continue
        parent = found.setdefault(
            name, {"resource": name, "scope": "Namespaced" if entry.get("namespaced") else "Cluster"}
        )
        parent.setdefault("subresources", []).append(
            {"subresource": sub, "responseKind": _kind(entry, remote), "verbs": entry.get("verbs") or []}
        )
    yield from found.values()


def _kind(entry: Object, remote: Remote) -> Object:
    return {
        "group": entry.get("group") or remote.group,
        "version": entry.get("version") or remote.version,
        "kind": entry.get("kind") or "",
    }
