"""Sets of indexes, written as upstream writes them."""

from __future__ import annotations

import pytest

from kplane.controllers.job.indexes import parse, text


@pytest.mark.parametrize(
    ("indexes", "written"),
    [
        pytest.param([], "", id="none"),
        pytest.param([0], "0", id="one"),
        pytest.param([1, 2], "1,2", id="two-in-a-row"),
        pytest.param([5, 3, 4, 9], "3-5,9", id="range"),
    ],
)
def test_indexes_are_written_and_read(indexes: list[int], written: str) -> None:
    assert text(indexes) == written
    assert parse(written, 10) == frozenset(indexes)


def test_indexes_beyond_the_completions_are_left_out() -> None:
    assert parse("1-5,7,x", 3) == frozenset({1, 2})


def test_a_huge_range_costs_no_more_than_the_completions() -> None:
    assert parse("0-99999999999", 2) == frozenset({0, 1})
