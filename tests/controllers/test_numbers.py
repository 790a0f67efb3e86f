"""Numbers that anybody may have written into an annotation."""

from __future__ import annotations

import pytest

from kplane.controllers.numbers import integer


@pytest.mark.parametrize(
    ("text", "bits", "expected"),
    [
        ("0", 32, 0),
        ("+7", 32, 7),
        ("-7", 32, -7),
        ("007", 32, 7),
        ("2147483647", 32, 2147483647),
        ("2147483648", 32, None),
        ("-2147483649", 32, None),
        ("9223372036854775807", 64, 9223372036854775807),
        ("9223372036854775808", 64, None),
        ("", 32, None),
        ("-", 32, None),
        ("1 ", 32, None),
        ("1\n", 32, None),
        ("1_0", 32, None),
        ("0x1", 32, None),
        ("١", 32, None),
        pytest.param("9" * 5000, 64, None, id="long"),
    ],
)
def test_a_number_is_read_as_go_reads_it(text: str, bits: int, expected: int | None) -> None:
    assert integer(text, bits=bits) == expected
