"""Who is let in without credentials: everybody, nobody, or those who ask for certain paths.

Source: apiserver `pkg/authentication/request/anonymous`, KEP-4633.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Anonymous:
    """`paths`: None for every path; else a request must be for exactly one of them."""

    enabled: bool = True
    paths: frozenset[str] | None = None

    def admits(self, path: str) -> bool:
        return self.enabled and (self.paths is None or path in self.paths)


EVERYBODY = Anonymous()
NOBODY = Anonymous(enabled=False)
