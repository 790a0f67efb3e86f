"""Estimated and real costs, against the figures in Kubernetes' own tests of these rules and schemas."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import BOOL, PER_CALL_LIMIT, Budget, Environment, Range, type_of

Schema = dict[str, Any]


def scalar(kind: str) -> Schema:
    if kind == "int-or-string":
        return {"x-kubernetes-int-or-string": True}
    if kind in ("duration", "date", "date-time"):
        return {"type": "string", "format": kind}
    return {"type": kind}


def array(item: Schema, most: int | None) -> Schema:
    return {"type": "array", "items": item} | ({"maxItems": most} if most is not None else {})


def mapping(value: Schema, most: int | None) -> Schema:
    limit = {"maxProperties": most} if most is not None else {}
    return {"type": "object", "additionalProperties": value} | limit


def text(most: int | None) -> Schema:
    return {"type": "string"} | ({"maxLength": most} if most is not None else {})


def required(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def most_of(schema: Schema, rule: str) -> int:
    kind = type_of(schema)
    assert kind is not None
    return Environment({"self": kind, "oldSelf": kind}).compile(rule, expected=BOOL).estimate().most


@pytest.mark.parametrize(
    ("kind", "rule", "unlimited", "most", "limited"),
    [
        ("number", "self.all(x, true)", 4718591, 10, 32),
        ("string", "self.all(x, true)", 3145727, 20, 62),
        ("boolean", "self.all(x, true)", 1887437, 5, 17),
        ("int-or-string", "self.all(x, true)", 4718591, 10, 32),
        ("duration", "self.all(x, true)", 2359295, 5, 17),
        ("date", "self.all(x, true)", 725936, 15, 47),
        ("date-time", "self.all(x, true)", 428963, 25, 77),
        ("number", "self[1] == 0.0", 2, 5000, 2),
        ("boolean", "self[0] == false", 2, 25, 2),
        ("int-or-string", "self[0] == 5", 3, 10, 3),
        ("string", "self[1] == self[1]", 314577, 8, 314577),
        ("duration", "self[0].getHours() == 2", 4, 525, 4),
        ("date-time", "self[2].getMinutes() == 45", 4, 99, 4),
        ("number", "self.all(x, x == 0.0)", 6291454, 3 * 1024 * 2048, 25165826),
    ],
)
def test_rules_on_lists(kind: str, rule: str, unlimited: int, most: int, limited: int) -> None:
    assert most_of(array(scalar(kind), None), rule) == unlimited
    assert most_of(array(scalar(kind), most), rule) == limited


@pytest.mark.parametrize(
    ("kind", "rule", "unlimited", "most", "limited"),
    [
        ("number", "self.all(x, true)", 1348169, 10, 32),
        ("string", "self.all(x, true)", 1179647, 3, 11),
        ("boolean", "self.all(x, true)", 943718, 100, 302),
        ("int-or-string", "self.all(x, true)", 1348169, 15, 47),
        ("duration", "self.all(x, true)", 1048577, 5, 17),
        ("date", "self.all(x, true)", 524288, 10, 32),
        ("date-time", "self.all(x, true)", 349526, 25, 77),
        ("number", 'self["x"] == 0.0', 2, 0, 2),
        ("integer", "oldSelf.size() == self.size()", 5, 10, 5),
        ("date-time", 'self["a"] == self["b"]', 8, 7, 8),
        ("duration", 'self["c"] == self["d"]', 8, 42, 8),
    ],
)
def test_rules_on_maps(kind: str, rule: str, unlimited: int, most: int, limited: int) -> None:
    assert most_of(mapping(scalar(kind), None), rule) == unlimited
    assert most_of(mapping(scalar(kind), most), rule) == limited


@pytest.mark.parametrize(
    ("rule", "unlimited", "most", "limited"),
    [
        ("self.contains('test')", 314574, 10, 5),
        ("self.startsWith('test')", 2, 15, 2),
        ("self.endsWith('test')", 2, 30, 2),
        ('size(self + "hello") > size("hello")', 314578, 4, 7),
        ('self.matches("x")', 314574, 50, 22),
        ('"".matches("(((((((((())))))))))[0-9]")', 7, 10, 7),
        ('self.matches("")', 1, 100, 1),
        ('self == "x"', 2, 0, 1),
        ("self.find('[0-9]+') == ''", 629147, 10, 11),
        ("self.lowerAscii() == 'lower!'", 314575, 10, 6),
    ],
)
def test_rules_on_strings(rule: str, unlimited: int, most: int, limited: int) -> None:
    assert most_of(text(None), rule) == unlimited
    assert most_of(text(most), rule) == limited


def test_rules_on_nested_types() -> None:
    assert most_of(array(array(scalar("number"), None), None), "self.all(x, true)") == 3145727
    assert most_of(array(array(scalar("number"), None), 51), "self[0][0] == -1.0") == 3
    numbers = array(mapping(scalar("number"), None), None)
    assert most_of(numbers, "self.all(x, x.y == 25.2)") == 6291452
    assert most_of(array(mapping(scalar("number"), 12), 12), "self.all(x, x.y == 25.2)") == 74
    assert most_of(numbers, "self[0].x > 2.0") == 4
    assert most_of(mapping(text(None), None), "self.all(x, x.contains(self[x]))") == 2752507
    assert most_of(mapping(text(10), 10), "self.all(x, x.contains(self[x]))") == 72
    objects = array(required(required=scalar("string")), 10)
    assert most_of(array(objects, 10), "self.all(x, x[0].required == 'z')") == 72


def test_loops_in_loops_multiply() -> None:
    numbers = array(scalar("number"), 10)
    assert most_of(numbers, "self.all(x, self.all(y, true))") == 352
    assert most_of(numbers, "self.all(x, self.all(y, self.all(z, true)))") == 3552
    assert most_of(array(scalar("number"), None), "self.all(x, self.all(y, true))") > PER_CALL_LIMIT


def test_library_calls_use_the_sizes_of_items_and_results() -> None:
    strings = array(text(None), None)
    assert most_of(strings, "self.join(' ') == 'aa bb'") == 329853068905
    assert most_of(array(text(10), 10), "self.join(' ') == 'aa bb'") == 43
    assert most_of(strings, "self.isSorted() == true") == 329854432052
    assert most_of(array(text(10), 10), "self.isSorted() == true") == 52
    replaced = {"str": text(None), "before": text(2), "after": text(4)}
    rule = "self.str.replace(self.before, self.after) == 'does not matter'"
    assert most_of({"type": "object", "properties": replaced}, rule) == 629154
    assert most_of({"type": "object", "properties": {**replaced, "str": text(4)}}, rule) == 12
    split = "self.str.split(self.separator) == []"
    both = {"str": text(None), "separator": text(None)}
    assert most_of({"type": "object", "properties": both}, split) == 629160
    assert most_of({"type": "object", "properties": {"str": text(10), "separator": text(10)}}, split) == 22


def test_the_longest_word_of_an_enum_bounds_a_string() -> None:
    words = {"type": "string", "enum": ["A", "B", "C", "LongValue"]}
    assert most_of(words, "self.contains('A')") == 2
    assert most_of({**words, "maxLength": 1000}, "self.contains('A')") == 401


CASTS = "[uint(1), uint(2), uint(3), uint(4), uint(5)]"
STRINGS = "['012345678901', '012345678901', '012345678901', '012345678901', '012345678901']"
LONG = "'01234567890123456789012345678901234567890123456789'"
CIDR4, CIDR6 = "cidr('192.168.0.0/16')", "cidr('2001:db8::/32')"
IP6 = "ip('2001:db8:3333:4444:5555:6666:7777:8888')"


@pytest.mark.parametrize(
    ("source", "least", "most", "real"),
    [
        # Real costs of constant lists are 10 lower than estimated: they are made when compiling.
        ("[1, 2, 3, 4, 5].sum()", 15, 15, 5),
        (f"{CASTS}.sum()", 20, 20, 20),
        (f"{CASTS}.max()", 20, 20, 20),
        (f"{STRINGS}.isSorted()", 25, 25, 5),
        (f"{CASTS}.indexOf(uint(3))", 21, 21, 21),
        (f"{STRINGS}.lastIndexOf('x')", 25, 25, 5),
        (f"{LONG}.indexOf('123')", 5, 5, 5),
        ("url('https:://kubernetes.io/').getScheme()", 4, 4, None),
        ("url('http://x.b') == url('http://x.b')", 3, 3, 3),
        ("ip('192.168.0.1')", 2, 2, 2),
        (f"{IP6}.isLoopback()", 5, 5, 5),
        ("ip.isCanonical('192.168.0.1')", 3, 3, 3),
        ("ip.isCanonical('2001:db8:3333:4444:5555:6666:7777:8888')", 8, 8, 8),
        (f"{CIDR4}.prefixLength()", 3, 3, 3),
        (f"{CIDR4}.containsIP(ip('192.0.0.1'))", 4, 7, 4),
        (f"{CIDR4}.containsIP('192.169.0.1')", 5, 8, 5),
        (f"{CIDR4}.containsCIDR(cidr('192.0.0.0/30'))", 7, 11, 7),
        (f"{CIDR6}.containsCIDR('2001:db8::/126')", 7, 11, 7),
    ],
)
def test_library_costs(source: str, least: int, most: int, real: int | None) -> None:
    program = Environment({}).compile(source, expected=None)
    assert program.estimate() == Range(least, most)
    if real is not None:
        budget = Budget()
        before = budget.left
        program.evaluate({}, budget)
        assert before - budget.left == real


@pytest.mark.parametrize(
    ("source", "cost"),
    [
        ("x", 1),
        ("x.a", 2),
        ("x.a == 1", 3),
        ("has(x.a)", 1),
        ("x.a == 1 && x.b == 2", 6),
        ("x.a == 2 && x.b == 2", 3),
        ("x.a == 2 || x.b == 2", 6),
        ("x.a == 1 ? x.b : 0", 5),
        ("x.a == 2 ? x.b : 0", 3),
        ("[x.a]", 12),
        ("{'a': x.a}", 32),
        ("x.list.all(i, i > 0)", 2 + 3 * 5 + 1),
        ("x.list.map(i, i)", 2 + 3 * 13 + 11),
        ("x.list.filter(i, i > 1)", 2 + 3 * 2 + 13 + 13 + 1 + 11),
        ("x.text + 'abcdefghij'", 2 + 2),
        ("x.text.contains('abcdefghijk')", 2 + 2),
        ("x.text.matches('abcde')", 2 + 4),
        ("1 in x.list", 2 + 3),
    ],
)
def test_real_costs(source: str, cost: int) -> None:
    kind = type_of(
        {
            "type": "object",
            "properties": {
                "a": {"type": "integer"},
                "b": {"type": "integer"},
                "list": {"type": "array", "items": {"type": "integer"}},
                "text": {"type": "string"},
            },
        }
    )
    assert kind is not None
    value = {"a": 1, "b": 2, "list": [1, 2, 3], "text": "0123456789"}
    budget = Budget()
    before = budget.left
    Environment({"x": kind}).compile(source, expected=None).evaluate({"x": value}, budget)
    assert before - budget.left == cost
