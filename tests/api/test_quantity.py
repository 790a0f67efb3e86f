"""Quantities: reading, comparing, printing as upstream."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.api import quantity
from kplane.api.quantity import QuantityError

FORM = "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"


@pytest.mark.parametrize(
    ("text", "printed"),
    [
        ("0", "0"),
        ("0.5", "500m"),
        ("1000m", "1"),
        ("2000", "2k"),
        ("1500m", "1500m"),
        ("1024Mi", "1Gi"),
        ("1.5Gi", "1536Mi"),
        ("1000Ki", "1000Ki"),
        ("512", "512"),
        ("0.1Ki", "102400m"),
        ("2e3", "2e3"),
        ("12e6", "12e6"),
        ("+5", "5"),
        ("-1500m", "-1500m"),
        ("0.0000000001", "1n"),
        ("1Ei", "1Ei"),
        ("5.", "5"),
        (1, "1"),
        (0.5, "500m"),
    ],
)
def test_canonical_form_is_upstreams(text: quantity.Wire, printed: str) -> None:
    assert quantity.canonical(text) == printed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", FORM),
        ("abc", FORM),
        ("1 Gi", FORM),
        ("1KB", FORM),
        (True, FORM),
        ("1mm", "unable to parse quantity's suffix"),
        ("1e99999", "unable to parse quantity's suffix"),
        (".", "unable to parse numeric part of quantity"),
        ("9" * 5000, "unable to parse numeric part of quantity"),
        ("1e" + "9" * 5000, "unable to parse quantity's suffix"),
        ("1e-" + "9" * 5000, "unable to parse quantity's suffix"),
    ],
)
def test_what_is_no_quantity_is_refused(text: quantity.Wire, message: str) -> None:
    with pytest.raises(QuantityError) as caught:
        quantity.canonical(text)
    assert str(caught.value) == message


def test_values_are_exact_and_rounded_up_to_what_is_asked() -> None:
    assert quantity.exact("1.5Gi") == Fraction(3 * 2**29)
    assert quantity.units("1500m") == 2
    assert quantity.milli("0.1005") == 101
    assert quantity.rounded("100u") == "1m"
    assert quantity.units("-1500m") == -2


def test_sums_keep_the_format_of_the_left_side() -> None:
    assert quantity.add("1Gi", "1Gi") == "2Gi"
    assert quantity.add("0", "512Mi") == "512Mi"
    assert quantity.subtract("1", "250m") == "750m"
    assert quantity.from_milli(1500) == "1500m"


def test_comparison_is_by_value() -> None:
    assert quantity.compare("1", "1000m") == 0
    assert quantity.compare("1Gi", "1G") == 1
    assert quantity.compare("1m", "1") == -1
    assert [quantity.sign(text) for text in ("-1", "0", "1n")] == [-1, 0, 1]


@given(st.integers(-(10**15), 10**15), st.sampled_from(["", "m", "k", "M", "Ki", "Mi", "e3"]))
def test_printing_and_reading_again_changes_nothing(number: int, suffix: str) -> None:
    printed = quantity.canonical(f"{number}{suffix}")

    assert quantity.canonical(printed) == printed
    assert quantity.exact(printed) == quantity.exact(f"{number}{suffix}")


def test_an_exponent_may_have_zeros_in_front() -> None:
    assert quantity.exact("1e" + "0" * 5000 + "3") == 1000


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(QuantityError, match="numeric part"):
        quantity.exact(10**5000)
