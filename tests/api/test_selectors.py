"""Label and field selectors."""

from __future__ import annotations

import pytest

from kplane.api.selectors import (
    EVERYTHING,
    NOTHING,
    SelectorError,
    from_label_selector,
    from_map,
    parse_fields,
    parse_labels,
)
from kplane.api.types.meta import LabelSelector, LabelSelectorRequirement

LABELS = {"app": "web", "tier": "front", "weight": "7", "empty": ""}
KEY_RULE = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an"
    " alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is"
    " '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("app=web", True),
        ("app==web,tier=front", True),
        ("app=db", False),
        ("app!=db", True),
        ("missing!=x", True),
        ("app in (db, web)", True),
        ("app in (db)", False),
        ("app notin (db)", True),
        ("missing notin (a)", True),
        ("app", True),
        ("missing", False),
        ("!missing", True),
        ("!app", False),
        ("weight>6", True),
        ("weight<7", False),
        ("app>1", False),
        ("empty=", True),
        ("empty in ()", True),
        ("in in (in)", False),
        ("in notin (in)", True),
        ("app in (,web)", True),
    ],
)
def test_label_selectors_match(text: str, matches: bool) -> None:
    assert parse_labels(text).matches(LABELS) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a b", "unable to parse requirement: found 'b', expected: in, notin, =, ==, !=, gt, lt"),
        ("a,,b", "found ',', expected: identifier after ','"),
        ("=x", "found '=', expected: !, identifier, or 'end of string'"),
        ("a=b c", "found 'c', expected: ',' or 'end of string'"),
        ("x in", "unable to parse requirement: found '' expected: '('"),
        ("x in (a", "unable to parse requirement: found '', expected: ',' or ')'"),
        ("!", "unable to parse requirement: found '', expected: identifier"),
        ("-x", f'unable to parse requirement: <nil>: Invalid value: "-x": {KEY_RULE}'),
        (
            "a>b",
            'unable to parse requirement: values: Invalid value: ["b"]: '
            "for 'Gt', 'Lt' operators, the value must be an integer",
        ),
    ],
)
def test_malformed_label_selectors_are_refused_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_labels(text)
    assert str(caught.value) == message


@pytest.mark.parametrize("text", ["app=web,!legacy,tier in (a,b)", "x,y!=1,z notin (q)", "a>1,b<2"])
def test_selectors_print_what_parsing_reads(text: str) -> None:
    assert str(parse_labels(text)) == text
    assert parse_labels(str(parse_labels(text))) == parse_labels(text)


def test_label_selector_objects() -> None:
    as_dict = {
        "matchLabels": {"app": "web"},
        "matchExpressions": [{"key": "tier", "operator": "In", "values": ["front"]}],
    }
    as_view = LabelSelector(
        match_labels={"app": "web"},
        match_expressions=(LabelSelectorRequirement(key="tier", operator="In", values=("front",)),),
    )

    assert from_label_selector(as_dict) == from_label_selector(as_view)
    assert from_label_selector(as_dict).matches(LABELS)
    assert from_label_selector(None) is NOTHING
    assert from_label_selector({}) == EVERYTHING
    assert not NOTHING.matches({})
    assert EVERYTHING.empty
    assert not NOTHING.empty
    with pytest.raises(SelectorError, match='"Near" is not a valid label selector operator'):
        from_label_selector({"matchExpressions": [{"key": "a", "operator": "Near"}]})


def test_a_service_without_selector_selects_nothing() -> None:
    assert not from_map({}).matches({})
    assert not from_map(None).matches(LABELS)
    assert from_map({"app": "web"}).matches(LABELS)


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("status.phase=Running", True),
        ("status.phase==Running,spec.nodeName!=n2", True),
        ("spec.nodeName=n2", False),
        ("metadata.name=", True),
        (r"note=a\,b\=c\\d", True),
    ],
)
def test_field_selectors_match(text: str, matches: bool) -> None:
    fields = {"status.phase": "Running", "spec.nodeName": "n1", "note": "a,b=c\\d"}
    assert parse_fields(text).matches(fields) is matches


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a", "invalid selector: 'a'; can't understand 'a'"),
        ("a=b=c", "invalid field selector: unescaped character in value: ="),
        (r"a=b\x", r"invalid field selector: invalid escape sequence: \x"),
    ],
)
def test_malformed_field_selectors_are_refused_in_upstreams_words(text: str, message: str) -> None:
    with pytest.raises(SelectorError) as caught:
        parse_fields(text)
    assert str(caught.value) == message


def test_a_field_selector_tells_the_one_value_it_demands() -> None:
    selector = parse_fields("metadata.name=x,status.phase!=Failed")

    assert selector.exact("metadata.name") == "x"
    assert selector.exact("status.phase") is None
    assert str(parse_fields(r"a=b\,c")) == r"a=b\,c"
