"""Rules for names, with upstream's messages."""

from __future__ import annotations

import pytest

from kplane.api import names
from kplane.api.names import NameRule

LABEL = (
    "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and"
    " end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is"
    " '[a-z0-9]([-a-z0-9]*[a-z0-9])?')"
)
SUBDOMAIN = (
    "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must"
    " start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is"
    r" '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
)
LABEL_1035 = (
    "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic"
    " character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for"
    " validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"
)
VALUE = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must"
    " start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used"
    " for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


@pytest.mark.parametrize(
    ("rule", "good"),
    [
        (names.dns_label, "web-1"),
        (names.dns_subdomain, "a.b-c.d"),
        (names.dns_1035_label, "web"),
        (names.qualified_name, "example.com/My.Name"),
        (names.label_value, ""),
        (names.path_segment, "system:node"),
        (names.config_key, "a_B.c"),
        (names.env_var, "9 odd name"),
        (names.port_name, "http-2"),
        (names.wildcard_subdomain, "*.example.com"),
        (names.percent, "25%"),
        (names.ip, "2001:db8::1"),
    ],
)
def test_good_names_have_no_faults(rule: NameRule, good: str) -> None:
    assert rule(good) == ()


@pytest.mark.parametrize(
    ("rule", "bad", "faults"),
    [
        (names.dns_label, "Web", (LABEL,)),
        (names.dns_label, "a.b", ("must not contain dots",)),
        (names.dns_label, "a" * 64, ("must be no more than 63 bytes",)),
        (names.dns_subdomain, "a_b", (SUBDOMAIN,)),
        (names.dns_subdomain, "a\n", (SUBDOMAIN,)),
        (names.dns_1035_label, "1a", (LABEL_1035,)),
        (names.label_value, "-a", (VALUE,)),
        (names.path_segment, "a/b", ("may not contain '/'",)),
        (names.path_segment, "..", ("may not be '..'",)),
        (names.config_key, "..a", ("must not start with '..'",)),
        (names.env_var, "", ("environment variable name must be non-empty",)),
        (
            names.env_var,
            "a=b",
            (
                "a valid environment variable name must consist only of printable ASCII characters other"
                " than '='",
            ),
        ),
        (names.port_name, "80", ("must contain at least one letter (a-z)",)),
        (names.port_name, "a--b", ("must not contain consecutive hyphens",)),
        (names.ip, "1.2.3", ("must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)",)),
    ],
)
def test_faults_are_worded_as_upstream(rule: NameRule, bad: str, faults: tuple[str, ...]) -> None:
    assert rule(bad) == faults


def test_a_label_key_is_judged_in_both_its_parts() -> None:
    assert names.qualified_name("/x") == ("prefix part must be non-empty",)
    assert names.qualified_name("A/x") == (f"prefix part {SUBDOMAIN}",)
    assert names.qualified_name("a/")[0] == "name part must be non-empty"
    assert names.qualified_name("a/b/c")[0].startswith("a valid label key must consist of")


def test_port_numbers() -> None:
    assert names.port_number(65535) == ()
    assert names.port_number(0) == ("must be between 1 and 65535, inclusive",)
