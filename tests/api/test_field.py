"""Paths of fields: those below ROOT, which are kept, say the same as others, and do not pile up."""

from __future__ import annotations

import functools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api import field
from kplane.api.field import ROOT, Path

NAMES = st.sampled_from(("spec", "required", "invalid", "values", "_text", "_children", "child", "a.b", ""))
STEPS = st.lists(st.one_of(st.integers(0, 100), NAMES.map(lambda name: f".{name}"), NAMES), max_size=6)


def step(path: Path, step: int | str) -> Path:
    if isinstance(step, str) and step.startswith("."):
        return path.child(step[1:])
    return path[step]


@given(STEPS)
def test_a_kept_path_says_what_any_path_says(steps: list[int | str]) -> None:
    for _ in range(2):
        kept, made = (functools.reduce(step, steps, path) for path in (ROOT, Path()))
        assert str(kept) == str(made)
        assert kept.invalid(1, "why") == made.invalid(1, "why")


def test_attributes_are_steps() -> None:
    for path in (ROOT, Path(), ROOT):
        assert str(path.spec.containers[3].image) == "spec.containers[3].image"
        assert str(path.metadata.labels["a/b"]) == "metadata.labels[a/b]"
        with pytest.raises(AttributeError):
            path.__wrapped__  # noqa: B018


def test_fields_and_items_are_kept_and_keys_of_maps_are_not() -> None:
    assert ROOT.spec.containers[3].image is ROOT.spec.containers[3].image
    assert ROOT.spec.child("containers") is ROOT.spec.containers
    assert ROOT.metadata.labels["key"] is not ROOT.metadata.labels["key"]
    assert ROOT.spec.containers[field.MOST_INDEXES] is not ROOT.spec.containers[field.MOST_INDEXES]


def test_no_more_than_so_many_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(field, "MOST_KEPT", 0)

    place = ROOT.never.asked["for"].before

    assert str(place) == "never.asked[for].before"
    assert ROOT.never is not ROOT.never
