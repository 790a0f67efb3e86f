"""Policy rules: what one of them allows, and which rules cover which.

Source: `pkg/apis/rbac/v1/evaluation_helpers.go`, component-helpers `auth/rbac/validation`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import msgspec

from ..authorizer import Attributes

ALL = "*"
MAX_PARTS = 10_000
"""Beyond this nobody meant the rule: it would keep the server busy for minutes."""


class Rule(msgspec.Struct, frozen=True):
    """A PolicyRule. The order of its parts is kept; nothing depends on it."""

    verbs: tuple[str, ...] = ()
    groups: tuple[str, ...] = ()
    resources: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, rule: Mapping[str, Any]) -> Rule:
        """From its JSON form."""
        fields = ("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs")
        return cls(*(tuple(rule.get(name) or ()) for name in fields))

    def json(self) -> dict[str, list[str]]:
        found = {
            "verbs": self.verbs,
            "apiGroups": self.groups,
            "resources": self.resources,
            "resourceNames": self.names,
            "nonResourceURLs": self.paths,
        }
        return {name: list(values) for name, values in found.items() if values}

    def __str__(self) -> str:
        """As refusals show it."""
        parts = (
            ("APIGroups", self.groups),
            ("Resources", self.resources),
            ("NonResourceURLs", self.paths),
            ("ResourceNames", self.names),
            ("Verbs", self.verbs),
        )
        return "{" + ", ".join(f"{name}:{listed(values)}" for name, values in parts if values) + "}"

    def allows(self, attributes: Attributes) -> bool:
        if ALL not in self.verbs and attributes.verb not in self.verbs:
            return False
        if not attributes.is_resource:
            return any(path_matches(path, attributes.path) for path in self.paths)
        return (
            (ALL in self.groups or attributes.group in self.groups)
            and self._has_resource(attributes)
            and (not self.names or attributes.name in self.names)
        )

    def _has_resource(self, attributes: Attributes) -> bool:
        if ALL in self.resources or attributes.combined in self.resources:
            return True
        return bool(attributes.subresource) and f"*/{attributes.subresource}" in self.resources


def rules_of(role: Mapping[str, Any]) -> tuple[Rule, ...]:
    """Those of a Role or ClusterRole."""
    return tuple(Rule.of(rule) for rule in role.get("rules") or ())


def listed(values: Iterable[str]) -> str:
    """As Go prints a list of quoted strings."""
    return "[" + " ".join(json.dumps(value, ensure_ascii=False) for value in values) + "]"


def path_matches(pattern: str, path: str) -> bool:
    """Whether a rule's path, which may end in `*`, means this one."""
    if pattern in (ALL, path):
        return True
    return pattern.endswith(ALL) and path.startswith(pattern.rstrip(ALL))


def uncovered(owned: Sequence[Rule], wanted: Iterable[Rule]) -> list[Rule]:
    """What the wanted rules grant and the owned ones do not, in the smallest parts; a rule that has more than
    MAX_PARTS of them is not taken apart."""
    held = [_Held(rule) for rule in owned]
    missing: list[Rule] = []
    for rule in wanted:
        if _count(rule) > MAX_PARTS:
            if not any(has.covers(rule) for has in held):
                missing.append(rule)
            continue
        missing += [part for part in parts_of(rule) if not any(has.covers(part) for has in held)]
    return missing


def _count(rule: Rule) -> int:
    each = len(rule.verbs) * (len(rule.groups) * len(rule.resources) * max(len(rule.names), 1))
    return each + len(rule.verbs) * len(rule.paths)


def parts_of(rule: Rule) -> Iterator[Rule]:
    """One rule for each thing that it allows."""
    for group in rule.groups:
        for resource in rule.resources:
            for verb in rule.verbs:
                if rule.names:
                    for name in rule.names:
                        yield Rule((verb,), (group,), (resource,), (name,))
                else:
                    yield Rule((verb,), (group,), (resource,))
    for path in rule.paths:
        for verb in rule.verbs:
            yield Rule((verb,), paths=(path,))


class _Held:
    """A rule that somebody holds, made ready for many questions."""

    def __init__(self, rule: Rule) -> None:
        self._verbs = frozenset(rule.verbs)
        self._groups = frozenset(rule.groups)
        self._resources = frozenset(rule.resources)
        self._names = frozenset(rule.names)
        self._paths = rule.paths

    def covers(self, part: Rule) -> bool:
        """Whether this rule alone allows everything that another one does."""
        if ALL not in self._verbs and not self._verbs.issuperset(part.verbs):
            return False
        if part.paths and not all(self._has_path(path) for path in part.paths):
            return False
        if not part.resources:
            return bool(part.paths)
        return (
            (ALL in self._groups or self._groups.issuperset(part.groups))
            and all(self._has_resource(resource) for resource in part.resources)
            and (not self._names or (bool(part.names) and self._names.issuperset(part.names)))
        )

    def _has_path(self, wanted: str) -> bool:
        return any(path_matches(path, wanted) for path in self._paths)

    def _has_resource(self, resource: str) -> bool:
        if ALL in self._resources or resource in self._resources:
            return True
        _, slash, subresource = resource.partition("/")
        return bool(slash) and f"*/{subresource}" in self._resources


def compact(parts: Iterable[Rule]) -> list[Rule]:
    """Parts that differ in nothing but their verb as one rule."""
    found: dict[tuple[Any, ...], list[str]] = {}
    for part in parts:
        verbs = found.setdefault((part.groups, part.resources, part.names, part.paths), [])
        if part.verbs[0] not in verbs:
            verbs.append(part.verbs[0])
    result = []
    for (groups, resources, names, paths), verbs in found.items():
        if paths:
            # Upstream compacts rules about resources alone.
            result += [Rule((verb,), paths=paths) for verb in verbs]
        else:
            result.append(Rule(tuple(verbs), groups, resources, names))
    return result
