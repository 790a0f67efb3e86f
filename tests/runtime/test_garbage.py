"""The cycle collector leaves alone what start-up has made."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from kplane.runtime import garbage


class Thing:
    """Something that can be in a cycle."""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    threshold = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*threshold)


def test_a_start_is_hardly_disturbed_and_its_end_is_as_ever() -> None:
    garbage.postpone()
    postponed = gc.get_threshold()[0]
    garbage.settle()

    assert postponed > 10 * garbage.YOUNG
    assert gc.get_threshold()[0] == garbage.YOUNG


def test_what_there_is_is_walked_no_more_and_what_comes_still_is() -> None:
    garbage.settle()
    thing = Thing()
    thing.itself = thing  # type: ignore[attr-defined]
    gone = weakref.ref(thing)
    del thing

    gc.collect()

    assert gc.get_freeze_count() > 10_000
    assert gone() is None
    assert gc.get_threshold() == (garbage.YOUNG, garbage.OLDER, garbage.OLDEST)
