"""Resource quantities: `100m`, `1.5Gi`, `2e3`. Exact; parsed values are cached.

The functions take the wire form (a string, or a JSON number) and raise QuantityError (a ValueError) for
anything else. Rules: apimachinery `api/resource`.

Invariant: values are whole numbers of nano-units; what is finer is rounded away from zero.
"""

from __future__ import annotations

import re
from fractions import Fraction
from functools import lru_cache
from typing import NamedTuple, TypeAlias

Wire: TypeAlias = str | int | float

FORM = "^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$"
_SHAPE = re.compile(r"([+-]?)([0-9]*)(?:\.([0-9]*))?([eEinumkKMGTP]*[-+]?[0-9]*)", re.ASCII)
_EXPONENT = re.compile(r"[eE][-+]?[0-9]+", re.ASCII)
_NANO = 10**9
_LARGEST = (2**63 - 1) * _NANO

_DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_BINARY = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_DECIMAL_SUFFIX = {power: suffix for suffix, power in _DECIMAL.items()}
_BINARY_SUFFIX = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_MAX_EXPONENT = 1000
"""Larger decimal exponents are refused: their digits would fill the memory."""

_MAX_EXPONENT_DIGITS = 4
_MAX_DIGITS = 1000
_TOO_LARGE = 10**_MAX_DIGITS


class QuantityError(ValueError):
    """Not a quantity; the text is upstream's."""


class _Parsed(NamedTuple):
    nano: int
    format: str
    """`DecimalSI`, `BinarySI` or `DecimalExponent`: how it is printed."""


def exact(quantity: Wire) -> Fraction:
    """The value itself."""
    return Fraction(_parse(quantity).nano, _NANO)


def canonical(quantity: Wire) -> str:
    """The form that upstream prints: `0.5` -> `500m`, `1024Mi` -> `1Gi`."""
    return _canonical(quantity)


def rounded(quantity: Wire) -> str:
    """The canonical form, rounded up to thousandths, as upstream's defaulting does in resource lists."""
    return _rounded(quantity)


def units(quantity: Wire) -> int:
    """The value, rounded up to a whole number (bytes, pieces)."""
    return _ceiling(_parse(quantity).nano, _NANO)


@lru_cache(maxsize=8192, typed=True)
def milli(quantity: Wire) -> int:
    """A thousand times the value, rounded up (milli-CPUs)."""
    return _ceiling(_parse(quantity).nano, _NANO // 1000)


@lru_cache(maxsize=8192, typed=True)
def sign(quantity: Wire) -> int:
    """-1, 0 or 1."""
    nano = _parse(quantity).nano
    return (nano > 0) - (nano < 0)


@lru_cache(maxsize=8192, typed=True)
def compare(left: Wire, right: Wire) -> int:
    """-1, 0 or 1."""
    a, b = _parse(left).nano, _parse(right).nano
    return (a > b) - (a < b)


def add(left: Wire, right: Wire) -> str:
    """The canonical sum, in the format of `left`, or of `right` where `left` is zero."""
    a, b = _parse(left), _parse(right)
    return _print(a.nano + b.nano, a.format if a.nano else b.format)


def subtract(left: Wire, right: Wire) -> str:
    """The canonical difference, in the format of `left`, or of `right` where `left` is zero."""
    a, b = _parse(left), _parse(right)
    return _print(a.nano - b.nano, a.format if a.nano else b.format)


def from_milli(value: int) -> str:
    """The canonical quantity of so many thousandths."""
    return _print(value * (_NANO // 1000), "DecimalSI")


@lru_cache(maxsize=8192, typed=True)
def _canonical(quantity: Wire) -> str:
    return _print(*_parse(quantity))


@lru_cache(maxsize=8192, typed=True)
def _rounded(quantity: Wire) -> str:
    parsed = _parse(quantity)
    return _print(_ceiling(parsed.nano, 10**6) * 10**6, parsed.format)


def _parse(quantity: Wire) -> _Parsed:
    # A bool is an int to Python.
    if isinstance(quantity, bool):
        raise QuantityError(f"quantities must match the regular expression '{FORM}'")
    if isinstance(quantity, int) and abs(quantity) >= _TOO_LARGE:
        raise QuantityError("unable to parse numeric part of quantity")
    return _parse_text(quantity if isinstance(quantity, str) else repr(quantity))


@lru_cache(maxsize=8192)
def _parse_text(text: str) -> _Parsed:
    text = text.strip()
    match = _SHAPE.fullmatch(text)
    if not text or match is None:
        raise QuantityError(f"quantities must match the regular expression '{FORM}'")
    minus, whole, fraction, suffix = match[1] == "-", match[2], match[3] or "", match[4]
    if (not whole and not fraction) or len(whole) + len(fraction) > _MAX_DIGITS:
        raise QuantityError("unable to parse numeric part of quantity")
    digits = int((whole + fraction) or "0")
    if suffix in _BINARY:
        nano, form = _scaled(digits << _BINARY[suffix], -len(fraction)), "BinarySI"
        nano = min(nano, _LARGEST)
        form = "DecimalSI" if 0 < nano < _NANO else form
    elif suffix in _DECIMAL:
        nano, form = _scaled(digits, _DECIMAL[suffix] - len(fraction)), "DecimalSI"
    elif (power := _exponent(suffix)) is not None:
        nano, form = _scaled(digits, power - len(fraction)), "DecimalExponent"
    else:
        raise QuantityError("unable to parse quantity's suffix")
    return _Parsed(-nano if minus else nano, form)


def _exponent(suffix: str) -> int | None:
    """The power of ten of `e3`; None for what is no exponent, or too large a one."""
    if not _EXPONENT.fullmatch(suffix):
        return None
    number = suffix[1:].lstrip("+-").lstrip("0") or "0"
    # Python refuses to read thousands of digits.
    if len(number) > _MAX_EXPONENT_DIGITS or int(number) > _MAX_EXPONENT:
        return None
    return -int(number) if suffix[1] == "-" else int(number)


def _scaled(digits: int, power: int) -> int:
    """`digits` times ten to the `power`, in nano-units, rounded up."""
    power += 9
    return digits * 10**power if power >= 0 else _ceiling(digits, 10**-power)


def _ceiling(value: int, divisor: int) -> int:
    """The quotient, rounded away from zero."""
    return -(-value // divisor) if value >= 0 else value // divisor


def _print(nano: int, form: str) -> str:
    if nano == 0:
        return "0"
    whole = nano % _NANO == 0
    if form == "BinarySI" and whole and abs(nano) >= 1024 * _NANO:
        return _print_binary(nano // _NANO)
    mantissa, power = nano, -9
    highest = 18 if form != "DecimalExponent" else _MAX_EXPONENT
    while mantissa % 1000 == 0 and power < highest:
        mantissa //= 1000
        power += 3
    if form == "DecimalExponent":
        return f"{mantissa}e{power}" if power else str(mantissa)
    return f"{mantissa}{_DECIMAL_SUFFIX[power]}"


def _print_binary(value: int) -> str:
    step = 0
    while value % 1024 == 0 and step < len(_BINARY_SUFFIX) - 1:
        value //= 1024
        step += 1
    return f"{value}{_BINARY_SUFFIX[step]}"
