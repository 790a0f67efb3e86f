"""Rules for names, label keys and values: apimachinery `util/validation`, with its exact messages.

Each rule returns the faults of its argument, none for a good one. Verdicts are cached: the same few keys and
values come again and again.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from ipaddress import ip_address
from typing import TypeAlias

Faults: TypeAlias = tuple[str, ...]
NameRule: TypeAlias = Callable[[str], Faults]

NON_EMPTY = "must be non-empty"

_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_LABEL_UNDERSCORED = "_?[a-z0-9]([-_a-z0-9]*[a-z0-9])?"
_UNDERSCORED = rf"{_LABEL_UNDERSCORED}(\.{_LABEL_UNDERSCORED})*"
_LABEL_1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_WILDCARD = rf"\*\.{_SUBDOMAIN}"
_KEY = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_VALUE = f"({_KEY})?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"
_PERCENT = "[0-9]+%"

_label = re.compile(_LABEL).fullmatch
_subdomain = re.compile(_SUBDOMAIN).fullmatch
_underscored = re.compile(_UNDERSCORED).fullmatch
_label_1035 = re.compile(_LABEL_1035).fullmatch
_wildcard = re.compile(_WILDCARD).fullmatch
_key = re.compile(_KEY).fullmatch
_value = re.compile(_VALUE).fullmatch
_config_key = re.compile(_CONFIG_KEY).fullmatch
_header = re.compile(_HEADER).fullmatch
_percent = re.compile(_PERCENT).fullmatch

_KEY_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric"
    " character"
)


def too_long(limit: int) -> str:
    return f"must be no more than {limit} bytes"


def in_range(low: int, high: int) -> str:
    return f"must be between {low} and {high}, inclusive"


def pattern_fault(text: str, pattern: str, *examples: str) -> str:
    """What is wrong, with examples and the regular expression, as upstream says it."""
    if not examples:
        return f"{text} (regex used for validation is '{pattern}')"
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


@lru_cache(maxsize=4096)
def dns_label(value: str) -> Faults:
    """RFC 1123 label: names of namespaces, containers, volumes."""
    faults = _length(value, 63)
    if _label(value):
        return faults
    if _subdomain(value):
        return (*faults, "must not contain dots")
    text = (
        "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start"
        " and end with an alphanumeric character"
    )
    return (*faults, pattern_fault(text, _LABEL, "my-name", "123-abc"))


@lru_cache(maxsize=4096)
def dns_subdomain(value: str) -> Faults:
    """RFC 1123 subdomain: the usual rule for object names."""
    faults = _length(value, 253)
    if _subdomain(value):
        return faults
    text = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and"
        " must start and end with an alphanumeric character"
    )
    return (*faults, pattern_fault(text, _SUBDOMAIN, "example.com"))


def dns_subdomain_underscore(value: str) -> Faults:
    """An RFC 1123 subdomain whose labels may hold underscores: DNS search paths."""
    faults = _length(value, 253)
    if _underscored(value):
        return faults
    text = (
        "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '_', '-' or '.',"
        " and must start and end with an alphanumeric character"
    )
    return (*faults, pattern_fault(text, _UNDERSCORED, "example.com"))


@lru_cache(maxsize=4096)
def dns_1035_label(value: str) -> Faults:
    """RFC 1035 label: names of Services."""
    faults = _length(value, 63)
    if _label_1035(value):
        return faults
    text = (
        "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
        " character, and end with an alphanumeric character"
    )
    return (*faults, pattern_fault(text, _LABEL_1035, "my-name", "abc-123"))


def wildcard_subdomain(value: str) -> Faults:
    """`*.example.com`: hosts of an Ingress."""
    faults = _length(value, 253)
    if _wildcard(value):
        return faults
    text = (
        "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must"
        " consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character"
    )
    return (*faults, pattern_fault(text, _WILDCARD, "*.example.com"))


@lru_cache(maxsize=4096)
def qualified_name(value: str) -> Faults:
    """Label and annotation keys, taint keys, resource names: `[prefix/]name`."""
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        fault = pattern_fault(f"a valid label key {_KEY_TEXT}", _KEY, "MyName", "my.name", "123-abc")
        return (f"{fault} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')",)
    faults: list[str] = []
    if slash and not prefix:
        faults.append(f"prefix part {NON_EMPTY}")
    elif slash:
        faults += [f"prefix part {fault}" for fault in dns_subdomain(prefix)]
    if not name:
        faults.append(f"name part {NON_EMPTY}")
    elif len(name) > 63:
        faults.append(f"name part {too_long(63)}")
    if not _key(name):
        faults.append(f"name part {pattern_fault(_KEY_TEXT, _KEY, 'MyName', 'my.name', '123-abc')}")
    return tuple(faults)


@lru_cache(maxsize=8192)
def label_value(value: str) -> Faults:
    faults = _length(value, 63)
    if _value(value):
        return faults
    text = (
        "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and"
        " must start and end with an alphanumeric character"
    )
    return (*faults, pattern_fault(text, _VALUE, "MyValue", "my_value", "12345"))


def path_segment(value: str) -> Faults:
    """What may stand in a URL path: names of RBAC objects."""
    if value in (".", ".."):
        return (f"may not be '{value}'",)
    return tuple(f"may not contain '{char}'" for char in "/%" if char in value)


def generate_prefix(rule: NameRule) -> NameRule:
    """The rule for `generateName`: a trailing dash will be followed by letters."""

    def check(value: str) -> Faults:
        return rule(value[:-1] + "a" if len(value) > 1 and value.endswith("-") else value)

    return check


@lru_cache(maxsize=1024)
def config_key(value: str) -> Faults:
    """Keys of ConfigMaps and Secrets."""
    faults = _length(value, 253)
    if not _config_key(value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        return (*faults, pattern_fault(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    if value in (".", ".."):
        return (*faults, f"must not be '{value}'")
    return (*faults, "must not start with '..'") if value.startswith("..") else faults


@lru_cache(maxsize=4096)
def env_var(value: str) -> Faults:
    """Names of environment variables: printable ASCII without `=`."""
    if not value:
        return (f"environment variable name {NON_EMPTY}",)
    if value.isascii() and value.isprintable() and "=" not in value:
        return ()
    return (
        "a valid environment variable name must consist only of printable ASCII characters other than '='",
    )


@lru_cache(maxsize=1024)
def port_name(value: str) -> Faults:
    """IANA service names: at most 15 lower-case letters, digits and single hyphens."""
    faults = _length(value, 15)
    if not re.fullmatch("[-a-z0-9]+", value):
        faults += ("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)",)
    if not re.search("[a-z]", value):
        faults += ("must contain at least one letter (a-z)",)
    if "--" in value:
        faults += ("must not contain consecutive hyphens",)
    if value.startswith("-") or value.endswith("-"):
        faults += ("must not begin or end with a hyphen",)
    return faults


def port_number(value: int) -> Faults:
    return () if 1 <= value <= 65535 else (in_range(1, 65535),)


def http_header(value: str) -> Faults:
    if _header(value):
        return ()
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return (pattern_fault(text, _HEADER, "X-Header-Name"),)


def percent(value: str) -> Faults:
    if _percent(value):
        return ()
    text = "a valid percent string must be a numeric string followed by an ending '%'"
    return (pattern_fault(text, _PERCENT, "1%", "93%"),)


def ip(value: str) -> Faults:
    """An IPv4 or IPv6 address, without zone."""
    try:
        address = ip_address(value)
    except ValueError:
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    if getattr(address, "scope_id", None):
        return ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)
    return ()


def _length(value: str, limit: int) -> Faults:
    return (too_long(limit),) if len(value.encode()) > limit else ()
