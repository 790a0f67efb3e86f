"""kubectl's JSONPath templates."""

from __future__ import annotations

import pytest

from kplane.api.jsonpath import JSONPathError, parse

PODS = {
    "kind": "List",
    "items": [
        {"metadata": {"name": "a", "labels": {"example.com/tier": "front"}}, "spec": {"n": 1, "on": True}},
        {"metadata": {"name": "b", "labels": {}}, "spec": {"n": 2, "ports": [{"p": 80}, {"p": 443}]}},
        {"metadata": {"name": "c"}, "spec": {"n": 3, "none": None}},
    ],
}


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("plain", "plain"),
        ("{.kind}", "List"),
        ("{$.kind} {@.kind} {kind}", "List List List"),
        ("{.items[0].metadata.name}", "a"),
        ("{.items[-1].metadata.name}", "c"),
        ("{.items[*].metadata.name}", "a b c"),
        ("{.items[0:2].metadata.name}", "a b"),
        ("{.items[-2:].metadata.name}", "b c"),
        ("{.items[::2].metadata.name}", "a c"),
        ("{.items[0,2].metadata.name}", "a c"),
        ("{.items[*]['metadata.name','spec.n']}", "a b c 1 2 3"),
        (r"{.items[0].metadata.labels.example\.com/tier}", "front"),
        (r"{.items[0].metadata.labels['example\.com/tier']}", "front"),
        ("{.items[?(@.spec.n==2)].metadata.name}", "b"),
        ("{.items[?(@.spec.n>1)].metadata.name}", "b c"),
        ('{.items[?(@.metadata.name!="b")].metadata.name}', "a c"),
        ("{.items[?(@.spec.on)].metadata.name}", "a"),
        ("{.items[1].spec.ports[?(@.p==443)]}", '{"p":443}'),
        ("{..p}", "80 443"),
        ("{.items[0].spec.on}", "true"),
        ("{.items[2].spec.none}", ""),
        ("{.missing.path}", ""),
        ('{range .items[*]}{.metadata.name}{"\\t"}{.spec.n}{"\\n"}{end}', "a\t1\nb\t2\nc\t3\n"),
        ("{range .items[*]}[{range .spec.ports[*]}{.p};{end}]{end}", "[][80;443;][]"),
        ("{.kind}{'}'}", "List}"),
    ],
)
def test_template_renders(template: str, text: str) -> None:
    assert parse(template).render(PODS) == text


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{.kind", "unclosed action"),
        ("{range .items[*]}", "unterminated range"),
        ("{end}", "not in range, nothing to end"),
        ("{.items[0}", "unterminated array"),
        ("{.items[x]}", "invalid array index x"),
        ("{.items[]}", "invalid array index"),
        ("{.items[?(@.a==)]}", "unrecognized character"),
    ],
)
def test_malformed_template_is_refused(template: str, fault: str) -> None:
    with pytest.raises(JSONPathError, match=fault):
        parse(template)


@pytest.mark.parametrize(
    ("template", "fault"),
    [
        ("{.items[7]}", "array index out of bounds: index 7, length 3"),
        ("{.kind[0]}", "List is not array or slice"),
        ('{.items[?(@.spec.n<"x")]}', "incompatible types for comparison"),
    ],
)
def test_what_cannot_be_looked_up_is_said(template: str, fault: str) -> None:
    with pytest.raises(JSONPathError, match=fault):
        parse(template).render(PODS)
