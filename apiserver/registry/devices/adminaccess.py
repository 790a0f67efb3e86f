"""Access to devices that others use: only where the namespace's label allows it (KEP-5018).

A claim in the registry's sense: strategies read nothing, and this needs the namespace.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any

from kplane.api.errors import invalid
from kplane.api.field import Path
from kplane.api.resource import Object

LABEL = "resource.kubernetes.io/admin-access"
_FORBIDDEN = f"admin access to devices requires the `{LABEL}: true` label on the containing namespace"


class AdminAccess:
    """`namespace` gives a namespace, None if there is none. `template`: of claims' templates."""

    def __init__(
        self, namespace: Callable[[str], Awaitable[Object | None]], *, template: bool = False
    ) -> None:
        self._namespace = namespace
        self._kind = "ResourceClaimTemplate" if template else "ResourceClaim"
        self._template = template

    @asynccontextmanager
    async def __call__(self, new: Object | None, old: Object | None, dry_run: bool) -> AsyncIterator[None]:
        """Raises Invalid if the write asks for, or gives, access that its namespace does not have."""
        if new is not None and (place := self._asked(new, old)) is not None:
            meta = new["metadata"]
            found = await self._namespace(meta.get("namespace", "")) or {}
            if ((found.get("metadata") or {}).get("labels") or {}).get(LABEL) != "true":
                fault = place.adminAccess.forbidden(_FORBIDDEN)
                raise invalid(self._kind, "resource.k8s.io", meta.get("name", ""), [fault])
        yield

    def _asked(self, new: Object, old: Object | None) -> Path | None:
        """Where it is asked for or given anew."""
        if old is None:
            spec = new.get("spec") or {}
            spec = spec.get("spec") or {} if self._template else spec
            requests = [one.get("exactly") or {} for one in (spec.get("devices") or {}).get("requests") or ()]
            return _first(requests, Path("spec.devices.requests"))
        # What was given already is not judged again.
        place = Path("status.allocation.devices.results")
        return None if _first(_results(old), place) else _first(_results(new), place)


def _results(claim: Object) -> Sequence[Any]:
    allocation = (claim.get("status") or {}).get("allocation") or {}
    found: Sequence[Any] = (allocation.get("devices") or {}).get("results") or ()
    return found


def _first(parts: Sequence[Any], path: Path) -> Path | None:
    return next((path[index] for index, part in enumerate(parts) if part.get("adminAccess")), None)
