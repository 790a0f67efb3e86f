"""Levels and versions of the Pod Security Standards, and the labels of namespaces that choose them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

PREFIX = "pod-security.kubernetes.io/"
MODES = ("enforce", "audit", "warn")
LEVELS = ("privileged", "baseline", "restricted")
LATEST = 1 << 30
_VERSION = re.compile(r"v1\.(0|[1-9][0-9]{0,8})")


class Policy(NamedTuple):
    """A level as it was in a version: the minor of v1, or LATEST."""

    level: str = "privileged"
    version: int = LATEST

    def __str__(self) -> str:
        return f"{self.level}:{'latest' if self.version == LATEST else f'v1.{self.version}'}"

    @property
    def rank(self) -> int:
        return LEVELS.index(self.level)


@dataclass(frozen=True)
class Policies:
    """What is refused, what is audited, what is warned of."""

    enforce: Policy
    audit: Policy
    warn: Policy

    @cached_property
    def enforced(self) -> str:
        """As the audit log names it."""
        return str(self.enforce)

    @cached_property
    def lax(self) -> bool:
        """Whether nothing is ever violated."""
        return self.enforce.level == self.audit.level == self.warn.level == "privileged"


def version_of(text: str) -> int | None:
    if text == "latest":
        return LATEST
    match = _VERSION.fullmatch(text)
    return int(match[1]) if match else None


def policies_of(labels: Mapping[str, str], defaults: Policies) -> Policies:
    """What a namespace's labels choose. What cannot be read counts as the strictest."""
    if not any(name.startswith(PREFIX) for name in labels):
        return defaults
    found = {mode: _policy(labels, mode, getattr(defaults, mode)) for mode in MODES}
    return Policies(**found)


def _policy(labels: Mapping[str, str], mode: str, default: Policy) -> Policy:
    level = labels.get(f"{PREFIX}{mode}")
    version = labels.get(f"{PREFIX}{mode}-version")
    if level is None and version is None:
        return default
    chosen = default.level if level is None else level if level in LEVELS else "restricted"
    if version is None:
        return Policy(chosen, default.version if level is None else LATEST)
    number = version_of(version)
    return Policy(chosen, LATEST if number is None else number)


def label_faults(labels: Mapping[str, str]) -> Iterator[FieldError]:
    path = Path("metadata").labels
    for mode in MODES:
        name = f"{PREFIX}{mode}"
        if name in labels and labels[name] not in LEVELS:
            yield path[name].invalid(labels[name], f"must be one of {', '.join(LEVELS)}")
        name = f"{name}-version"
        if name in labels and version_of(labels[name]) is None:
            yield path[name].invalid(labels[name], 'must be "latest" or "v1.x"')


def defaults_of(configured: Object) -> Policies:
    """The `defaults` of a PodSecurityConfiguration. Raises ValueError."""
    settings = configured.get("defaults") or {}
    found: dict[str, Policy] = {}
    for mode in MODES:
        level = settings.get(mode) or "privileged"
        version = version_of(settings.get(f"{mode}-version") or "latest")
        if level not in LEVELS or version is None:
            raise ValueError(f"defaults.{mode}: {level!r} is no level, or its version is none")
        found[mode] = Policy(level, version)
    return Policies(**found)
