"""What the kinds that make pods from a template have in common: selector, template, rolling updates."""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.api.selectors import SelectorError, from_label_selector

from .immutable import NEGATIVE
from .labels import selects_all, validate_selector
from .podspec.validation import validate_template


def validate_spec_selector(spec: Object, kind: str, path: Path) -> Iterator[FieldError]:
    """`spec.selector`: there, sound and not empty."""
    selector = spec.get("selector")
    if selector is None:
        yield path.selector.required()
        return
    yield from validate_selector(selector, path.selector)
    if selects_all(selector):
        yield path.selector.invalid(selector, f"empty selector is invalid for {kind}")


def validate_pod_template(spec: Object, kind: str, path: Path) -> Iterator[FieldError]:
    """`spec.template` of a kind whose pods run for ever and belong to it by its selector."""
    template = spec.get("template") or {}
    here = path.template
    yield from validate_match(spec.get("selector"), template, here)
    yield from validate_template(template, here)
    pod = template.get("spec") or {}
    if pod.get("restartPolicy") != "Always":
        yield here.spec.restartPolicy.not_supported(pod.get("restartPolicy", ""), ("Always",))
    if pod.get("activeDeadlineSeconds") is not None:
        yield here.spec.activeDeadlineSeconds.forbidden(f"activeDeadlineSeconds in {kind} is not Supported")


def validate_match(selector: Object | None, template: Object, path: Path) -> Iterator[FieldError]:
    """A selector must select what the template makes."""
    try:
        matcher = from_label_selector(selector)
    except SelectorError:
        # The selector's own validation has reported it.
        return
    labels = (template.get("metadata") or {}).get("labels")
    if selector and not matcher.empty and not matcher.matches(labels or {}):
        yield path.metadata.labels.invalid(labels, "`selector` does not match template `labels`")


def validate_share(value: int | str, path: Path) -> Iterator[FieldError]:
    """A number of pods, or a percentage of them."""
    if isinstance(value, str):
        for text in names.percent(value):
            yield path.invalid(value, text)
    elif value < 0:
        yield path.invalid(value, NEGATIVE)


def validate_at_most_all(value: int | str, path: Path) -> Iterator[FieldError]:
    """A percentage of pods cannot exceed all of them."""
    if isinstance(value, str) and not names.percent(value) and int(value[:-1]) > 100:
        yield path.invalid(value, "must not be greater than 100%")


def is_zero(value: int | str) -> bool:
    """Whether a number or percentage of pods is none at all."""
    return value in (0, "0%", "0") if isinstance(value, str) else value == 0


def validate_counts(status: Object, path: Path, *counts: str) -> Iterator[FieldError]:
    """Counts in a status: not negative, and not more than `replicas`."""
    replicas = status.get("replicas", 0)
    for name in ("replicas", *counts):
        value = status.get(name, 0)
        if value < 0:
            yield path.child(name).invalid(value, NEGATIVE)
        elif value > replicas and name != "terminatingReplicas":
            yield path.child(name).invalid(value, "cannot be greater than status.replicas")
