"""Every fault of a write: of the metadata that all kinds have, then of what the kind itself demands.

Lazy: a write without faults builds nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import ROOT, FieldError
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from . import metadata
from .addressforms import without_old
from .strategy import Strategy, Subresource


def of_new(obj: Object, info: ResourceInfo, strategy: Strategy) -> Iterator[FieldError]:
    yield from metadata.validate(obj["metadata"], info.namespaced, strategy.name_rule, ROOT.metadata)
    yield from strategy.validate(obj, ROOT)


def of_change(
    new: Object, old: Object, subresource: Subresource | None, info: ResourceInfo, strategy: Strategy
) -> Iterator[FieldError]:
    path = ROOT.metadata
    yield from metadata.validate(new["metadata"], info.namespaced, strategy.name_rule, path)
    yield from metadata.validate_update(new["metadata"], old["metadata"], path)
    if subresource is not None:
        validate = subresource.validate or strategy.validate_status
        yield from without_old(validate(new, old, ROOT), old)
    else:
        yield from without_old(strategy.validate_change(new, old, ROOT), old)
        yield from strategy.validate_update(new, old, ROOT)
