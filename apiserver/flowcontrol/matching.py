"""Which requests a FlowSchema is about. Pure. Rules: apiserver `pkg/util/flowcontrol/rule.go`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplane.api.resource import Object

from ..auth.user import User
from ..http.requestinfo import RequestInfo

ALL = "*"
_ACCOUNT = "system:serviceaccount:"


@dataclass(frozen=True, eq=False)
class Schema:
    """A FlowSchema as far as requests are concerned."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    """ByUser, ByNamespace or nothing."""
    rules: Sequence[Mapping[str, Any]]

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(
            any(_is_subject(subject, user) for subject in rule.get("subjects") or ())
            and (_is_resource(rule, info) if info.resource else _is_path(rule, info))
            for rule in self.rules
        )

    def distinguish(self, user: User, info: RequestInfo) -> str:
        """What tells the flows of this schema apart."""
        if self.distinguisher == "ByUser":
            return user.name
        return info.namespace if self.distinguisher == "ByNamespace" else ""


def schema_of(obj: Object) -> Schema:
    spec, meta = obj["spec"], obj["metadata"]
    return Schema(
        name=meta["name"],
        uid=meta.get("uid", ""),
        level=spec["priorityLevelConfiguration"]["name"],
        precedence=spec.get("matchingPrecedence", 1000),
        distinguisher=(spec.get("distinguisherMethod") or {}).get("type", ""),
        rules=tuple(spec.get("rules") or ()),
    )


def _is_subject(subject: Mapping[str, Any], user: User) -> bool:
    kind = subject.get("kind")
    if kind == "User":
        return subject["user"]["name"] in (ALL, user.name)
    if kind == "Group":
        name = subject["group"]["name"]
        return name == ALL or name in user.groups
    if kind == "ServiceAccount":
        account = subject["serviceAccount"]
        namespace, name = account["namespace"], account["name"]
        if name == ALL:
            return user.name.startswith(f"{_ACCOUNT}{namespace}:")
        return user.name == f"{_ACCOUNT}{namespace}:{name}"
    return False


def _is_resource(rule: Mapping[str, Any], info: RequestInfo) -> bool:
    what = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
    return any(
        _has(each.get("verbs"), info.verb)
        and _has(each.get("apiGroups"), info.group)
        and _has(each.get("resources"), what)
        and _is_place(each, info.namespace)
        for each in rule.get("resourceRules") or ()
    )


def _is_place(rule: Mapping[str, Any], namespace: str) -> bool:
    if not namespace:
        return bool(rule.get("clusterScope"))
    return _has(rule.get("namespaces"), namespace)


def _is_path(rule: Mapping[str, Any], info: RequestInfo) -> bool:
    return any(
        _has(each.get("verbs"), info.verb)
        and any(_is_below(pattern, info.path) for pattern in each.get("nonResourceURLs") or ())
        for each in rule.get("nonResourceRules") or ()
    )


def _is_below(pattern: str, path: str) -> bool:
    if pattern.endswith(ALL):
        return path.startswith(pattern[:-1])
    return path == pattern


def _has(values: Sequence[str] | None, wanted: str) -> bool:
    return values is not None and (wanted in values or ALL in values)
