"""Named string formats: `format.dns1123Label().validate(x)`, none for a good one, else a list of faults.

The rules for names are kplane.api.names'.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Callable, Sequence
from datetime import date
from math import ceil
from typing import Any

from ... import names
from ..conversions import parse_timestamp
from ..errors import EvaluationError
from ..named import FORMAT
from ..overload import ONE, REGEX, TRAVERSAL, Charge, Estimated, Overload, function, method, size
from ..types import STRING, list_of, optional_of
from ..values import NONE, Opaque, Optional
from .urls import parse_url

_UUID = re.compile(r"[0-9a-f]{8}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{4}-?[0-9a-f]{12}", re.I | re.ASCII)
Rule = Callable[[str], Sequence[str]]


class Format(Opaque):
    """`pattern_size` stands for the length of its regular expression, in costs."""

    __slots__ = ("name", "pattern_size", "rule")
    type_name = FORMAT.name

    def __init__(self, name: str, rule: Rule, pattern_size: int) -> None:
        self.name = name
        self.rule = rule
        self.pattern_size = pattern_size

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Format) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)


def _uri(text: str) -> Sequence[str]:
    try:
        parse_url(text)
    except ValueError as error:
        return (str(error),)
    return ()


def _byte(text: str) -> Sequence[str]:
    try:
        base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return ("invalid base64",)
    return ()


def _date(text: str) -> Sequence[str]:
    try:
        date.fromisoformat(text)
    except ValueError:
        return ("invalid date",)
    return () if len(text) == 10 else ("invalid date",)


def _datetime(text: str) -> Sequence[str]:
    try:
        parse_timestamp(text)
    except EvaluationError:
        return ("invalid datetime",)
    return ()


def _uuid(text: str) -> Sequence[str]:
    return () if _UUID.fullmatch(text) else ("does not match the UUID format",)


FORMATS: dict[str, Format] = {
    name: Format(name, rule, length)
    for name, rule, length in (
        ("dns1123Label", names.dns_label, 30),
        ("dns1123Subdomain", names.dns_subdomain, 60),
        ("dns1035Label", names.dns_1035_label, 30),
        ("qualifiedName", names.qualified_name, 60),
        ("dns1123LabelPrefix", names.generate_prefix(names.dns_label), 30),
        ("dns1123SubdomainPrefix", names.generate_prefix(names.dns_subdomain), 60),
        ("dns1035LabelPrefix", names.generate_prefix(names.dns_1035_label), 30),
        ("labelValue", names.label_value, 40),
        ("uri", _uri, 1000),
        ("uuid", _uuid, 100),
        ("byte", _byte, 90),
        ("date", _date, 220),
        ("datetime", _datetime, 220),
    )
}
_LONGEST = max(entry.pattern_size for entry in FORMATS.values())


def _validate(rules: Format, text: str) -> Optional:
    faults = rules.rule(text)
    return Optional(list(faults), True) if faults else NONE


def _constant(entry: Format) -> Callable[[], Format]:
    return lambda: entry


def _named(name: str) -> Optional:
    return Optional(FORMATS[name], True) if name in FORMATS else NONE


def _estimate(operands: Any) -> Estimated:
    text = operands[1].size.plus(ONE).factor(TRAVERSAL)
    longest = ceil(_LONGEST * REGEX)
    return Estimated(text.times(ONE._replace(least=1, most=longest)))


def _price(rules: Format, text: str) -> int:
    return ceil((1 + size(text)) * TRAVERSAL) * ceil(rules.pattern_size * REGEX)


OVERLOADS: list[Overload] = [
    *(function(f"format.{name}", (), FORMAT, _constant(entry)) for name, entry in FORMATS.items()),
    function("format.named", (STRING,), optional_of(FORMAT), _named),
    method("validate", (FORMAT, STRING), optional_of(list_of(STRING)), _validate, Charge(_estimate, _price)),
]
