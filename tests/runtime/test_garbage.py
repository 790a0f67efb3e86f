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
