"""The pod that is judged, and how findings are worded."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

from kplane.api.resource import Object


class Finding(NamedTuple):
    """Why a pod is not allowed: `reason (detail)`."""

    reason: str
    detail: str

    def __str__(self) -> str:
        return f"{self.reason} ({self.detail})" if self.detail else self.reason


class Subject(NamedTuple):
    metadata: Object
    spec: Object
    version: int

    @property
    def containers(self) -> Iterator[Object]:
        """Upstream's order: init containers, containers, ephemeral ones."""
        for field in ("initContainers", "containers", "ephemeralContainers"):
            yield from self.spec.get(field) or []

    @property
    def security(self) -> Object:
        found: Object = self.spec.get("securityContext") or {}
        return found

    @property
    def on_windows(self) -> bool:
        """Whether the pod says so, in a version of the standards that looks at it."""
        return self.version >= 25 and (self.spec.get("os") or {}).get("name") == "windows"

    @property
    def in_user_namespace(self) -> bool:
        """Whether root in the pod is nobody on the node."""
        return self.spec.get("hostUsers") is False

    def names(self, bad: Callable[[Object], Any]) -> list[str]:
        """The containers whose security context `bad` finds fault with."""
        return [one["name"] for one in self.containers if bad(one.get("securityContext") or {})]


Check = Callable[[Subject], Finding | None]


def quoted(items: Iterable[str]) -> str:
    return ", ".join(f'"{item}"' for item in items)


def plural(word: str, items: Sequence[object]) -> str:
    return word if len(items) == 1 else f"{word}s"


def containers(names: Sequence[str]) -> str:
    """`container "a"`, or `containers "a", "b"`."""
    return f"{plural('container', names)} {quoted(names)}"


def setters(pod: bool, names: Sequence[str]) -> str:
    """`pod and containers "a", "b"`; nothing where nobody is at fault."""
    return " and ".join((["pod"] if pod else []) + ([containers(names)] if names else []))
