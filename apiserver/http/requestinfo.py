"""What a request asks for, read from its method, path and query alone.

Authorisation, metrics and routing all work from this one reading, so that none of them can disagree.
Rules: apiserver `pkg/endpoints/request/requestinfo.go`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote

from kplane.api.scheme import ResourceInfo

_VERBS = {
    "POST": "create",
    "GET": "get",
    "HEAD": "get",
    "PUT": "update",
    "PATCH": "patch",
    "DELETE": "delete",
}
_NAMESPACE_SUBRESOURCES = frozenset({"status", "finalize"})
_TRUE = frozenset({"true", "1", "t", "T", "TRUE", "True"})


@dataclass(slots=True)
class RequestInfo:
    """`resource` is empty for requests outside of the resource API (`/version`, `/apis/apps/v1`, …)."""

    verb: str
    path: str
    method: str
    query: Mapping[str, str]
    group: str = ""
    version: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    rest: str = ""
    """What follows the subresource: the path that a proxy request asks its backend for."""

    def namespace_of(self, row: ResourceInfo) -> str:
        """The namespace that the object lives in; requests for a Namespace name one without living there."""
        return self.namespace if row.namespaced else ""

    @property
    def scope(self) -> str:
        """The metrics' `scope` label."""
        if self.name or self.verb == "create":
            return "resource"
        if not self.resource:
            return ""
        return "namespace" if self.namespace else "cluster"


def is_true(value: str | None) -> bool:
    """A boolean option in a query, read as Go's conversion does: anything but "false" and "0"."""
    return value is not None and value != "0" and value.lower() != "false"


def parses_true(value: str) -> bool:
    """What Go's `strconv.ParseBool` takes for true; whatever it cannot read is false."""
    return value in _TRUE


def parse_query(raw: bytes) -> dict[str, str]:
    """The first value of each parameter."""
    if not raw:
        return {}
    query: dict[str, str] = {}
    for key, value in parse_qsl(raw.decode("latin-1"), keep_blank_values=True):
        query.setdefault(key, value)
    return query


def read(method: str, path: str, raw_query: bytes) -> RequestInfo:
    """`path` is undecoded: an encoded slash belongs to a name."""
    info = RequestInfo(method.lower(), path, method, parse_query(raw_query))
    parts = [part for part in path.split("/") if part]
    if "%" in path:
        parts = [unquote(part) for part in parts]
    if len(parts) < 3 or parts[0] not in ("api", "apis"):
        return info
    if parts[0] == "apis":
        if len(parts) < 4:
            return info
        info.group, info.version, parts = parts[1], parts[2], parts[3:]
    else:
        info.version, parts = parts[1], parts[2:]
    info.verb = _VERBS.get(method, "")
    # The deprecated form /api/v1/watch/pods is a watch as well.
    watching = parts[0] == "watch" and len(parts) > 1
    _read_resource(info, parts[1:] if watching else parts)
    _read_verb(info, watching)
    return info


def _read_resource(info: RequestInfo, parts: list[str]) -> None:
    if parts[0] == "namespaces" and len(parts) > 1:
        info.namespace = parts[1]
        if len(parts) > 2 and parts[2] not in _NAMESPACE_SUBRESOURCES:
            parts = parts[2:]
    info.resource = parts[0]
    if len(parts) > 1:
        info.name = parts[1]
    if len(parts) > 2:
        info.subresource = parts[2]
    if len(parts) > 3:
        info.rest = "/".join(parts[3:])


def _read_verb(info: RequestInfo, watching: bool) -> None:
    if info.verb == "get" and not info.subresource and (watching or "watch" in info.query or not info.name):
        if watching or (is_true(info.query.get("watch")) and not info.name):
            info.verb = "watch"
        elif not info.name:
            info.verb = "list"
    elif info.verb == "delete" and not info.name:
        info.verb = "deletecollection"
