"""What the printers of workloads share: cells of a pod template and of selectors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplane.api.resource import Object
from kplane.api.selectors import SelectorError, from_label_selector

from .printer import Cells, at


def containers(template: Object | None) -> Cells:
    """The cells of Containers and Images."""
    found = at(template, "spec", "containers", default=())
    return [
        ",".join(container["name"] for container in found),
        ",".join(container.get("image", "") for container in found),
    ]


def labels(values: Mapping[str, str] | None) -> str:
    """`a=b,c=d`, or `<none>`."""
    return ",".join(f"{key}={value}" for key, value in sorted((values or {}).items())) or "<none>"


def selector(selector: Mapping[str, Any] | None, *, empty: str = "<none>", invalid: str = "<error>") -> str:
    """A LabelSelector as text."""
    if selector is None:
        return empty
    try:
        return str(from_label_selector(selector)) or empty
    except SelectorError:
        return invalid
