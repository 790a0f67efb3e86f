"""MatchResources: which requests a policy, or a binding, is about.

What depends on a request's place alone is found out once for each place (`at`); names and selectors are
looked at for each request.
Rules: apiserver `admission/plugin/policy/matching`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo, Scheme
from kplane.api.selectors import EVERYTHING

from ..chain import Attributes
from ..matching import (
    ADMISSION_GROUP,
    VIRTUAL_RESOURCES,
    Place,
    ReadNamespace,
    Rule,
    Selectors,
    matching_row,
    rule_of,
    selectors_of,
)

POLICY_RESOURCES = frozenset(
    (ADMISSION_GROUP, plural)
    for plural in (
        "validatingadmissionpolicies", "validatingadmissionpolicybindings", "mutatingadmissionpolicies",
        "mutatingadmissionpolicybindings",
    )
)  # fmt: skip
EXEMPT = POLICY_RESOURCES | VIRTUAL_RESOURCES
"""No policy is about these: a policy that refuses everything can still be removed."""

_NO_NAMES: frozenset[str] = frozenset()
_NO_SELECTORS = Selectors(EVERYTHING, EVERYTHING)


@dataclass(frozen=True, slots=True)
class NamedRule:
    """A `NamedRuleWithOperations`; without names it is about all."""

    rule: Rule
    names: frozenset[str] = _NO_NAMES


@dataclass(frozen=True, slots=True)
class Placed:
    """What is left to look at once the place is known. At least one rule is about it."""

    rows: Sequence[tuple[frozenset[str], ResourceInfo]]
    """Names (none: all), and the resource as the rule names it; the first that fits counts."""
    excluded: Sequence[frozenset[str]]
    selectors: Selectors

    def row(self, name: str) -> ResourceInfo | None:
        if any(name in names for names in self.excluded):
            return None
        for names, row in self.rows:
            if not names or name in names:
                return row
        return None

    async def match(self, attributes: Attributes, read: ReadNamespace) -> ResourceInfo | None:
        """The resource in the version in which the object is to be shown. Raises NotFound where the
        request's namespace is not there."""
        row = self.row(attributes.name)
        if row is None or not await self.selectors.match(attributes, read):
            return None
        return row


@dataclass(frozen=True, slots=True)
class MatchResources:
    rules: Sequence[NamedRule] = ()
    """None: everything."""
    excluded: Sequence[NamedRule] = ()
    equivalent: bool = True
    selectors: Selectors = _NO_SELECTORS

    def at(self, place: Place, scheme: Scheme) -> Placed | None:
        """None if no request at this place matches."""
        own = scheme.by_path(place.group, place.version, place.plural)
        if own is None:
            return None
        excluded = [names for names, _ in self._matching(self.excluded, place, scheme)]
        if _NO_NAMES in excluded:
            return None
        rows = self._matching(self.rules, place, scheme) if self.rules else [(_NO_NAMES, own)]
        return Placed(rows, excluded, self.selectors) if rows else None

    def _matching(
        self, rules: Sequence[NamedRule], place: Place, scheme: Scheme
    ) -> list[tuple[frozenset[str], ResourceInfo]]:
        """Rules that name the resource as it was requested come before those that name another version."""
        exact: list[tuple[frozenset[str], ResourceInfo]] = []
        shifted: list[tuple[frozenset[str], ResourceInfo]] = []
        for named in rules:
            row = matching_row((named.rule,), place, scheme, equivalent=self.equivalent)
            if row is not None:
                (exact if named.rule.matches(place) else shifted).append((named.names, row))
        return exact + shifted


EVERYWHERE = MatchResources()


def match_resources(obj: Object) -> MatchResources:
    """As it is written. Raises SelectorError."""
    return MatchResources(
        _named_rules(obj.get("resourceRules")),
        _named_rules(obj.get("excludeResourceRules")),
        obj.get("matchPolicy", "Equivalent") == "Equivalent",
        selectors_of(obj),
    )


def _named_rules(rules: Sequence[Object] | None) -> Sequence[NamedRule]:
    return [NamedRule(rule_of(rule), frozenset(rule.get("resourceNames") or ())) for rule in rules or ()]
