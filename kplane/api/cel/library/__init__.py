"""The functions that expressions may call: one module a subject, each a plain list of overloads.

`functions()` is all of them by name: the language's own, cel-go's extensions that Kubernetes enables
(strings, sets, optionals, two-variable comprehensions) and Kubernetes' libraries.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from functools import cache
from importlib import import_module

from ..overload import Overload

_MODULES = (
    "standard",
    "times",
    "optionals",
    "strings",
    "lists",
    "regexes",
    "sets",
    "quantities",
    "network",
    "urls",
    "semver",
    "formats",
    "authorizer",
    "mutation",
)


@cache
def functions() -> Mapping[str, tuple[Overload, ...]]:
    """Every function by its name; assembled on first use."""
    found: dict[str, list[Overload]] = defaultdict(list)
    for name in _MODULES:
        for overload in import_module(f".{name}", __name__).OVERLOADS:
            found[overload.function].append(overload)
    return {name: tuple(overloads) for name, overloads in found.items()}
