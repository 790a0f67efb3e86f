"""What admission is told of a write."""

from __future__ import annotations

from kplane.api.resource import Key, Object
from kplane.api.scheme import ResourceInfo

from ..admission.chain import Attributes, Operation
from .strategy import Strategy
from .writing import Author


def told(
    info: ResourceInfo,
    strategy: Strategy,
    operation: Operation,
    key: Key,
    objects: tuple[Object | None, Object | None],
    author: Author,
    subresource: str,
) -> Attributes:
    """`objects`: as it will be, and as it was."""
    return Attributes(
        operation=operation,
        info=info,
        subresource=subresource,
        namespace=key.namespace,
        name=key.name,
        object=objects[0],
        old=objects[1],
        user=author.user,
        dry_run=author.dry_run,
        warn=author.warn,
        asked=author.options,
        default=strategy.default,
        annotate=author.annotate,
    )
