"""What of a request is recorded: the rules of an audit policy, the first that matches decides.

Source: apiserver `pkg/audit/policy/checker.go`. The file they come from: `policyfile.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, StrEnum

from ..auth.authorizer import Attributes

ALL = "*"


class Level(IntEnum):
    """How much is recorded; each level has what those before it have."""

    NONE = 0
    METADATA = 1
    REQUEST = 2
    REQUEST_RESPONSE = 3

    @property
    def label(self) -> str:
        return LABELS[self]


LABELS = {
    Level.NONE: "None",
    Level.METADATA: "Metadata",
    Level.REQUEST: "Request",
    Level.REQUEST_RESPONSE: "RequestResponse",
}
LEVELS = {label: level for level, label in LABELS.items()}


class Stage(StrEnum):
    """When in a request's life an event is made; `RESPONSE_STARTED` is for long-running requests alone."""

    REQUEST_RECEIVED = "RequestReceived"
    RESPONSE_STARTED = "ResponseStarted"
    RESPONSE_COMPLETE = "ResponseComplete"
    PANIC = "Panic"


@dataclass(frozen=True)
class Resources:
    """Resources of one group. Without `resources`: all of them; `names` narrows to objects."""

    group: str = ""
    resources: tuple[str, ...] = ()
    names: frozenset[str] = frozenset()

    def matches(self, attributes: Attributes) -> bool:
        if self.group != attributes.group:
            return False
        if not self.resources:
            return True
        if self.names and attributes.name not in self.names:
            return False
        return any(_covers(pattern, attributes) for pattern in self.resources)


def _covers(pattern: str, attributes: Attributes) -> bool:
    """`pods`, `pods/log`, `pods/*`, `*/scale`, `*`."""
    if pattern in (ALL, attributes.combined):
        return True
    if attributes.subresource and pattern == f"{ALL}/{attributes.subresource}":
        return True
    return pattern == f"{attributes.resource}/{ALL}"


@dataclass(frozen=True)
class Rule:
    """Empty conditions match everything; `omits` are stages of which no event is made."""

    level: Level
    users: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    verbs: frozenset[str] = frozenset()
    resources: tuple[Resources, ...] = ()
    namespaces: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()
    omits: frozenset[Stage] = frozenset()
    omits_managed_fields: bool = False

    def matches(self, attributes: Attributes, *, anybody: bool) -> bool:
        """`anybody`: nobody is known to have asked, so that no user or group matches."""
        user = attributes.user
        if self.users and (anybody or user.name not in self.users):
            return False
        if self.groups and (anybody or self.groups.isdisjoint(user.groups)):
            return False
        if self.verbs and attributes.verb not in self.verbs:
            return False
        if self.namespaces or self.resources:
            return self._matches_resource(attributes)
        return not self.paths or self._matches_path(attributes)

    def _matches_resource(self, attributes: Attributes) -> bool:
        if not attributes.is_resource:
            return False
        # What lives in no namespace is in the empty one.
        if self.namespaces and attributes.namespace not in self.namespaces:
            return False
        return not self.resources or any(each.matches(attributes) for each in self.resources)

    def _matches_path(self, attributes: Attributes) -> bool:
        return not attributes.is_resource and any(
            pattern in (ALL, attributes.path)
            or (pattern.endswith(ALL) and attributes.path.startswith(pattern[:-1]))
            for pattern in self.paths
        )


@dataclass(frozen=True)
class Policy:
    """Rules in their order. What none of them matches is not recorded."""

    rules: Sequence[Rule]

    def rule_for(self, attributes: Attributes, *, anybody: bool = False) -> Rule:
        for rule in self.rules:
            if rule.matches(attributes, anybody=anybody):
                return rule
        return UNMATCHED


UNMATCHED = Rule(Level.NONE)
