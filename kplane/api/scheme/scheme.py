"""The rows by path and by kind, and the order in which discovery names groups and versions."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from kplane.api.scheme.rows import ResourceInfo

GROUP_ORDER = (
    "", "apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io", "authorization.k8s.io",
    "autoscaling", "batch", "certificates.k8s.io", "networking.k8s.io", "policy", "rbac.authorization.k8s.io",
    "storage.k8s.io", "admissionregistration.k8s.io", "apiextensions.k8s.io", "scheduling.k8s.io",
    "coordination.k8s.io", "node.k8s.io", "discovery.k8s.io", "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io", "storagemigration.k8s.io",
)  # fmt: skip
"""Upstream's order of the built-in groups, clients' order of preference. All others follow by name."""

_GROUP_RANK = {group: rank for rank, group in enumerate(GROUP_ORDER)}
_STABILITY = {None: 0, "beta": 1, "alpha": 2}


@dataclass
class Scheme:
    """Rows by path and by kind. Rows can be added and removed (custom resources)."""

    rows: dict[tuple[str, str, str], ResourceInfo] = field(default_factory=dict)
    """(group, version, plural) -> row. Changed through `add` and `remove` only."""
    generation: int = 0
    """Counts changes, for those who cache what they derive from the rows."""
    _kinds: dict[tuple[str, str, str], ResourceInfo] = field(default_factory=dict, repr=False)
    _versions: dict[tuple[str, str], dict[str, ResourceInfo]] = field(default_factory=dict, repr=False)
    _listeners: list[Callable[[], None]] = field(default_factory=list, repr=False, compare=False)

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call this, which must be quick, after every change of the rows."""
        self._listeners.append(listener)

    def by_path(self, group: str, version: str, plural: str) -> ResourceInfo | None:
        return self.rows.get((group, version, plural))

    def by_kind(self, group: str, version: str, kind: str) -> ResourceInfo | None:
        return self._kinds.get((group, version, kind))

    def group_versions(self) -> Iterator[tuple[str, str]]:
        """Every served group and version, in discovery's order: preferred version first."""
        yield from sorted(self._versions, key=lambda gv: (*_group_rank(gv[0]), version_rank(gv[1])))

    def resources(self, group: str, version: str) -> list[ResourceInfo]:
        """The rows of one group and version, by name."""
        found = self._versions.get((group, version), {})
        return sorted(found.values(), key=lambda row: row.plural)

    def add(self, row: ResourceInfo) -> None:
        """Serve this row, in place of an earlier one of the same path."""
        if earlier := self.rows.get((row.group, row.version, row.plural)):
            self.remove(earlier)
        self.rows[row.group, row.version, row.plural] = row
        self._kinds[row.group, row.version, row.kind] = row
        self._versions.setdefault((row.group, row.version), {})[row.plural] = row
        self._changed()

    def remove(self, row: ResourceInfo) -> None:
        """Stop serving this row; no matter if it was not served."""
        if self.rows.pop((row.group, row.version, row.plural), None) is None:
            return
        self._kinds.pop((row.group, row.version, row.kind), None)
        rest = self._versions[row.group, row.version]
        del rest[row.plural]
        if not rest:
            del self._versions[row.group, row.version]
        self._changed()

    def _changed(self) -> None:
        self.generation += 1
        for listener in self._listeners:
            listener()


def _group_rank(group: str) -> tuple[int, str]:
    return _GROUP_RANK.get(group, len(_GROUP_RANK)), group


def version_rank(version: str) -> tuple[int, int, int, str]:
    """Sort key by preference: v2, v1, v1beta2, v1beta1, v1alpha1, and last what is named otherwise
    (apimachinery `CompareKubeAwareVersionStrings`)."""
    match = re.fullmatch(r"v([1-9]\d*)(?:(alpha|beta)([1-9]\d*))?", version)
    if match is None:
        return 3, 0, 0, version
    return _STABILITY[match[2]], -int(match[1]), -int(match[3] or 0), ""
