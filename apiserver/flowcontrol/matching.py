"""Which requests a FlowSchema is about. Pure. Rules: apiserver `pkg/util/flowcontrol/rule.go`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from kplane.api.resource import Object

from ..auth.user import User
from ..http.requestinfo import RequestInfo

ALL = "*"
_ACCOUNT = "system:serviceaccount:"


class _Subjects(NamedTuple):
    users: frozenset[str]
    groups: frozenset[str]
    namespaces: tuple[str, ...]
    """How the names of all ServiceAccounts of a namespace begin."""

    def include(self, user: User) -> bool:
        return (
            user.name in self.users
            or ALL in self.users
            or not self.groups.isdisjoint(user.groups)
            or ALL in self.groups
            or (bool(self.namespaces) and user.name.startswith(self.namespaces))
        )


class _Resources(NamedTuple):
    verbs: frozenset[str]
    groups: frozenset[str]
    resources: frozenset[str]
    namespaces: frozenset[str]
    cluster_scope: bool

    def include(self, info: RequestInfo) -> bool:
        what = f"{info.resource}/{info.subresource}" if info.subresource else info.resource
        return (
            _has(self.verbs, info.verb)
            and _has(self.groups, info.group)
            and _has(self.resources, what)
            and (_has(self.namespaces, info.namespace) if info.namespace else self.cluster_scope)
        )


class _Paths(NamedTuple):
    verbs: frozenset[str]
    paths: frozenset[str]
    prefixes: tuple[str, ...]

    def include(self, info: RequestInfo) -> bool:
        return _has(self.verbs, info.verb) and (
            info.path in self.paths or (bool(self.prefixes) and info.path.startswith(self.prefixes))
        )


class _Rule(NamedTuple):
    subjects: _Subjects
    resources: tuple[_Resources, ...]
    paths: tuple[_Paths, ...]

    def matches(self, user: User, info: RequestInfo) -> bool:
        if not self.subjects.include(user):
            return False
        about: Sequence[_Resources | _Paths] = self.resources if info.resource else self.paths
        return any(each.include(info) for each in about)


@dataclass(frozen=True, eq=False)
class Schema:
    """A FlowSchema as far as requests are concerned."""

    name: str
    uid: str
    level: str
    precedence: int
    distinguisher: str
    """ByUser, ByNamespace or nothing."""
    rules: Sequence[_Rule]

    def matches(self, user: User, info: RequestInfo) -> bool:
        return any(rule.matches(user, info) for rule in self.rules)

    def distinguish(self, user: User, info: RequestInfo) -> str:
        """What tells the flows of this schema apart."""
        if self.distinguisher == "ByUser":
            return user.name
        return info.namespace if self.distinguisher == "ByNamespace" else ""


def schema_of(obj: Object) -> Schema | None:
    """None for an object that cannot be understood: others may have written it into the store."""
    try:
        spec, meta = obj["spec"], obj["metadata"]
        return Schema(
            name=str(meta["name"]),
            uid=str(meta.get("uid", "")),
            level=str(spec["priorityLevelConfiguration"]["name"]),
            precedence=int(spec.get("matchingPrecedence", 1000)),
            distinguisher=str((spec.get("distinguisherMethod") or {}).get("type", "")),
            rules=tuple(map(_rule, spec.get("rules") or ())),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def _rule(rule: Any) -> _Rule:
    return _Rule(
        _subjects(rule["subjects"]),
        tuple(map(_resources, rule.get("resourceRules") or ())),
        tuple(map(_paths, rule.get("nonResourceRules") or ())),
    )


def _subjects(subjects: Any) -> _Subjects:
    users, groups, namespaces = set(), set(), []
    for subject in subjects:
        if subject["kind"] == "User":
            users.add(subject["user"]["name"])
        elif subject["kind"] == "Group":
            groups.add(subject["group"]["name"])
        elif subject["kind"] == "ServiceAccount":
            account = subject["serviceAccount"]
            begin = f"{_ACCOUNT}{account['namespace']}:"
            if account["name"] == ALL:
                namespaces.append(begin)
            else:
                users.add(begin + account["name"])
    return _Subjects(frozenset(users), frozenset(groups), tuple(namespaces))


def _resources(rule: Any) -> _Resources:
    return _Resources(
        frozenset(rule["verbs"]),
        frozenset(rule["apiGroups"]),
        frozenset(rule["resources"]),
        frozenset(rule.get("namespaces") or ()),
        bool(rule.get("clusterScope")),
    )


def _paths(rule: Any) -> _Paths:
    urls = [str(url) for url in rule["nonResourceURLs"]]
    return _Paths(
        frozenset(rule["verbs"]),
        frozenset(url for url in urls if not url.endswith(ALL)),
        tuple(url[:-1] for url in urls if url.endswith(ALL)),
    )


def _has(values: frozenset[str], wanted: str) -> bool:
    return wanted in values or ALL in values
