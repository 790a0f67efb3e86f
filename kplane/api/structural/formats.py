"""String formats of schemas: what `format: ipv4`, `format: date-time`, … accept.

A name counts without its dashes. Rules: kube-openapi `validation/strfmt`.

Invariant: every check takes linear time.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import date
from functools import lru_cache
from ipaddress import AddressValueError, IPv4Address, IPv6Address

from kplane.api import names, quantity
from kplane.api.structural.patterns import MAX_REMEMBERED, compiled

_HOSTNAME = (
    r"^([a-zA-Z0-9\p{S}\p{L}]((-?[a-zA-Z0-9\p{S}\p{L}]{0,62})?)"
    r"|([a-zA-Z0-9\p{S}\p{L}](([a-zA-Z0-9-\p{S}\p{L}]{0,61}[a-zA-Z0-9\p{S}\p{L}])?)(\.)){1,}"
    r"([a-zA-Z0-9\p{S}\p{L}])(-?[a-zA-Z0-9\p{S}\p{L}]){1,62})$"
)
_CARD = (
    r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|(222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"
    r"|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}"
    r"|(?:2131|1800|35\d{3})\d{11}|6[27][0-9]{14})$"
)
_BYTE = r"(0|[1-9]\d?|1\d\d?|2[0-4]\d|25[0-5])"
_HEX = "[0-9a-f]"
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x{80}-\x{10FFFF}-]+"
_LOCAL = rf'(?:{_ATOM}(?:\.{_ATOM})*|"(?:[^"\\\x00-\x1f]|\\[^\x00-\x1f])*")'
_ADDRESS = rf"{_LOCAL}@(?:{_ATOM}(?:\.{_ATOM})*|\[[^\[\]\\\s]*\])"
_PHRASE = rf'(?:(?:{_ATOM}|"(?:[^"\\]|\\.)*")(?:[ .\t]+(?:{_ATOM}|"(?:[^"\\]|\\.)*"))*)'

_TIME = re.compile(r"([0-9]{2}):([0-9]{2}):([0-9]{2})(.[0-9]+)?(z|([+-][0-9]{2}:[0-9]{2}))")
_DURATION = re.compile(r"[-+]?(?:0|((?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:ns|us|µs|μs|ms|s|m|h))+)")
_DURATION_PART = re.compile(r"([0-9]*)(?:\.[0-9]*)?(ns|us|µs|μs|ms|s|m|h)")
_NANOSECONDS = {"ns": 1, "us": 10**3, "µs": 10**3, "μs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9}
_NANOSECONDS["h"] = 3600 * 10**9
_LOOSE_DURATION = re.compile(r"([0-9]+)\s*([A-Za-zµ]+)\s*")
_EXACT_UNITS = frozenset({"ns", "us", "µs", "ms", "s", "m", "h", "hr", "d", "w", "wk"})
_UNIT_PREFIXES = ("nano", "micro", "milli", "sec", "min", "hour", "day", "week")
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):(.*)", re.DOTALL)
_ESCAPES = re.compile(r"%(?![0-9A-Fa-f]{2})")
_HOST = re.compile(r"(?:\[[^\[\]]*\]|[^\[\]<>\"\s^`{|}\\/?#:]*)(?::[0-9]*)?")
_MAC = re.compile(
    r"[0-9A-Fa-f]{2}(?:(:|-)[0-9A-Fa-f]{2}(?:\1[0-9A-Fa-f]{2}){4}(?:(?:\1[0-9A-Fa-f]{2}){2}|(?:\1[0-9A-Fa-f]{2}){14})?)"
    r"|[0-9A-Fa-f]{4}(?:\.[0-9A-Fa-f]{4}){2}(?:\.[0-9A-Fa-f]{4}|(?:\.[0-9A-Fa-f]{4}){7})?"
)


def accepts(form: str, text: str) -> bool:
    """Whether a text has a supported format. The same few texts come again and again."""
    return _remembered(form, text) if len(text) <= MAX_REMEMBERED else CHECKS[form.replace("-", "")](text)


@lru_cache(maxsize=8192)
def _remembered(form: str, text: str) -> bool:
    return CHECKS[form.replace("-", "")](text)


def _matches(pattern: str) -> Callable[[str], bool]:
    # Compiled when first asked: these take a tenth of a second.
    return lambda text: bool(compiled(pattern)(text))


_hostname_form = _matches(_HOSTNAME)
_card_form = _matches(_CARD)


def is_date(text: str) -> bool:
    if not re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", text):
        return False
    year = int(text[:4])
    try:
        # Go knows a year 0; it is a leap year, as 2000 is.
        date.fromisoformat(text if year else f"2000{text[4:]}")
    except ValueError:
        return False
    return True


def is_date_time(text: str) -> bool:
    day, found, time = text.lower().partition("t")
    match = _TIME.fullmatch(time.partition("t")[0]) if found else None
    return match is not None and is_date(day) and match[1] <= "23" and match[2] <= "59" and match[3] <= "59"


def is_duration(text: str) -> bool:
    """Go's `1h30m`, or Scala's `2 days`."""
    if _DURATION.fullmatch(text):
        total = sum(int(whole or 0) * _NANOSECONDS[unit] for whole, unit in _duration_parts(text))
        if total < 2**63:
            return True
    parts, place = [], len(text) - len(text.lstrip())
    while match := _LOOSE_DURATION.match(text, place):
        parts.append((match[1], match[2].lower()))
        place = match.end()
    if not parts or place != len(text) or any(len(digits) > 18 for digits, _ in parts):
        return False
    return any(unit in _EXACT_UNITS or unit.startswith(_UNIT_PREFIXES) for _, unit in parts)


def _duration_parts(text: str) -> list[tuple[str, str]]:
    # Longer numbers overflow whatever their unit is, and int() would take them quadratic time.
    parts = _DURATION_PART.findall(text)
    return [(digits if len(digits) <= 20 else "9" * 20, unit) for digits, unit in parts]


def parse_ip(text: str) -> IPv4Address | IPv6Address | None:
    """An address as old Go versions read it: octets of IPv4 may have leading zeros."""
    if "%" in text or len(text) > 64:
        return None
    head, colon, tail = text.rpartition(":")
    if "." in tail:
        parts = tail.split(".")
        if not all(part.isascii() and part.isdigit() and len(part) < 20 for part in parts):
            return None
        tail = ".".join(str(int(part)) for part in parts)
    try:
        return IPv6Address(f"{head}:{tail}") if colon else IPv4Address(tail)
    except AddressValueError:
        return None


def is_ipv4(text: str) -> bool:
    return "." in text and parse_ip(text) is not None


def is_ipv6(text: str) -> bool:
    return ":" in text and parse_ip(text) is not None


def is_cidr(text: str) -> bool:
    address, slash, bits = text.partition("/")
    parsed = parse_ip(address) if slash else None
    if parsed is None or not (bits.isascii() and bits.isdigit() and len(bits) < 4):
        return False
    return int(bits) <= parsed.max_prefixlen


def is_hostname(text: str) -> bool:
    if len(text.encode()) > 255 or not _hostname_form(text):
        return False
    return all(len(part.encode()) <= 63 for part in text.split("."))


def is_uri(text: str) -> bool:
    """A URI or an absolute path, as HTTP requests hold them."""
    if not text or any(char < " " or char == "\x7f" for char in text):
        return False
    if text == "*":
        return True
    match = _SCHEME.fullmatch(text)
    rest = match[2] if match else text
    if text.startswith(":") or (not match and not text.startswith("/")):
        return False
    rest = rest.partition("?")[0]
    if not rest.startswith("/"):
        return True
    if match and rest.startswith("//"):
        authority, slash, path = rest[2:].partition("/")
        user, _, host = authority.rpartition("@")
        if not _HOST.fullmatch(host) or _ESCAPES.search(host) or " " in user or _ESCAPES.search(user):
            return False
        rest = slash + path
    return not _ESCAPES.search(rest)


def is_isbn10(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if not re.fullmatch(r"[0-9]{9}[0-9X]", digits):
        return False
    return (
        sum((index + 1) * (10 if char == "X" else int(char)) for index, char in enumerate(digits)) % 11 == 0
    )


def is_isbn13(text: str) -> bool:
    digits = re.sub(r"[\s-]+", "", text)
    if not re.fullmatch(r"[0-9]{13}", digits):
        return False
    return sum(int(char) * (3 if index % 2 else 1) for index, char in enumerate(digits)) % 10 == 0


def is_credit_card(text: str) -> bool:
    digits = re.sub(r"[^0-9]+", "", text)
    if not _card_form(digits):
        return False
    doubled = [int(char) * (2 if index % 2 else 1) for index, char in enumerate(reversed(digits))]
    return sum(value - 9 if value > 9 else value for value in doubled) % 10 == 0


def is_quantity(text: str) -> bool:
    try:
        quantity.exact(text)
    except quantity.QuantityError:
        return False
    return text == text.strip()


CHECKS: dict[str, Callable[[str], bool]] = {
    "bsonobjectid": _matches("^[0-9a-fA-F]{24}$"),
    "uri": is_uri,
    "email": _matches(rf"^\s*(?:{_ADDRESS}|{_PHRASE}?\s*<{_ADDRESS}>)\s*$"),
    "hostname": is_hostname,
    "ipv4": is_ipv4,
    "ipv6": is_ipv6,
    "cidr": is_cidr,
    "mac": lambda text: bool(_MAC.fullmatch(text)),
    "uuid": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{4}}-?{_HEX}{{12}}$"),
    "uuid3": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?3{_HEX}{{3}}-?{_HEX}{{4}}-?{_HEX}{{12}}$"),
    "uuid4": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?4{_HEX}{{3}}-?[89ab]{_HEX}{{3}}-?{_HEX}{{12}}$"),
    "uuid5": _matches(f"(?i)^{_HEX}{{8}}-?{_HEX}{{4}}-?5{_HEX}{{3}}-?[89ab]{_HEX}{{3}}-?{_HEX}{{12}}$"),
    "isbn": lambda text: is_isbn10(text) or is_isbn13(text),
    "isbn10": is_isbn10,
    "isbn13": is_isbn13,
    "creditcard": is_credit_card,
    "ssn": _matches(r"^\d{3}[- ]?\d{2}[- ]?\d{4}$"),
    "hexcolor": _matches("^#?([0-9a-fA-F]{3}|[0-9a-fA-F]{6})$"),
    "rgbcolor": _matches(rf"^rgb\(\s*{_BYTE}\s*,\s*{_BYTE}\s*,\s*{_BYTE}\s*\)$"),
    "byte": _matches("^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=|[A-Za-z0-9+/]{4})$"),
    "password": lambda text: True,
    "date": is_date,
    "duration": is_duration,
    "datetime": is_date_time,
    "quantity": is_quantity,
    "k8sshortname": lambda text: not names.dns_label(text),
    "k8slongname": lambda text: not names.dns_subdomain(text),
}
