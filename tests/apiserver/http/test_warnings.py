"""How many warnings a response carries, and how they are cut."""

from __future__ import annotations

import pytest

from kplane.apiserver.http.warnings import ITEM, TOTAL, Warnings


def headers(*texts: str) -> list[str]:
    warnings = Warnings()
    for text in texts:
        warnings.add(text)
    return [header.decode() for header in warnings.headers()]


def test_each_text_is_sent_once_in_order() -> None:
    assert headers("b", "a", "b", "") == ['299 - "b"', '299 - "a"']


def test_quotes_are_escaped() -> None:
    assert headers('unknown field "spec.a\\b"') == ['299 - "unknown field \\"spec.a\\\\b\\""']


@pytest.mark.parametrize("text", ["a\r\nset-cookie: b", "\x00", "\x7f"])
def test_texts_that_would_break_the_header_are_left_out(text: str) -> None:
    assert headers(text, "sound") == ['299 - "sound"']


def test_long_texts_are_whole_as_long_as_there_is_room() -> None:
    assert headers("x" * TOTAL) == [f'299 - "{"x" * TOTAL}"']


def test_without_room_texts_are_cut_and_the_last_ones_dropped() -> None:
    sent = headers(*(f"{number:03}" + "x" * 1000 for number in range(100)))

    assert len(sent) == TOTAL // ITEM
    assert {len(header) for header in sent} == {ITEM + len('299 - ""')}
