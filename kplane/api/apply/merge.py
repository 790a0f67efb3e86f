"""The object that an apply makes: the configuration merged into what is there, then without the fields that
the applier listed before, lists no more, and that nobody else manages."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from kplane.api.apply.compare import indexed
from kplane.api.apply.fieldset import MEMBER, FieldSet, is_member
from kplane.api.apply.shape import Shape
from kplane.api.resource import Object


def merge(shape: Shape, live: Any, config: Any) -> Any:
    """`config` over `live`; shares parts with both."""
    if shape.leaf or config is None or type(live) is not type(config):
        return config
    if shape.named:
        return _merge_fields(shape, live, config)
    return list(_merge_items(shape, live, config))


def _merge_fields(shape: Shape, live: Object, config: Object) -> Object:
    result = dict(live)
    for name, value in config.items():
        step = shape.step(name)
        known = step is not None and name in live
        result[name] = merge(step[1], live[name], value) if known and step else value
    return result


def _merge_items(shape: Shape, live: list[Any], config: list[Any]) -> Iterator[Any]:
    """Items of the configuration in its order; those of `live` alone stay where they stand between them."""
    wanted = indexed(shape, config, strict=True)
    have = indexed(shape, live)
    rest = iter(wanted.items())
    done: set[str] = set()
    for item in live:
        element = _element(shape, item)
        if element is None or element not in wanted:
            yield item
        elif element not in done:
            # What the configuration names before this item comes before it.
            for name, value in rest:
                done.add(name)
                yield merge(shape.item, have[name], value) if name in have else value
                if name == element:
                    break
    for name, value in rest:
        yield merge(shape.item, have[name], value) if name in have else value


def _element(shape: Shape, item: Any) -> str | None:
    """None for an item without keys, which nobody can name."""
    return next(iter(indexed(shape, [item])), None)


def prune(shape: Shape, value: Any, last: FieldSet, keep: FieldSet) -> Any:
    """`value` without what `last` has and `keep` has not. An item that goes takes along all that is in it;
    a field stays as long as something below it is kept."""
    if shape.named:
        return _prune_fields(shape, value, last, keep)
    return list(_prune_items(shape, value, last, keep))


def _prune_fields(shape: Shape, value: Object, last: FieldSet, keep: FieldSet) -> Object:
    result: Object = {}
    for name, child in value.items():
        element = f"f:{name}"
        mine, kept = last.get(element), keep.get(element)
        if mine is None:
            result[name] = child
        elif kept is not None:
            step = shape.step(name)
            result[name] = _pruned(step[1], child, mine, kept) if step else child
    return result


def _prune_items(shape: Shape, value: list[Any], last: FieldSet, keep: FieldSet) -> Iterator[Any]:
    for item in value:
        element = _element(shape, item)
        mine = last.get(element) if element else None
        if element is None or mine is None:
            yield item
            continue
        kept = keep.get(element)
        if is_member(mine) and (kept is None or not is_member(kept)):
            continue
        yield _pruned(shape.item, item, mine, kept or MEMBER)


def _pruned(shape: Shape, value: Any, last: FieldSet, keep: FieldSet) -> Any:
    if shape.leaf or not last or not value:
        return value
    return prune(shape, value, last, keep)
