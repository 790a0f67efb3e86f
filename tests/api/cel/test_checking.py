"""What does not compile, and how cel-go says it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest

from kplane.api.cel import (
    BOOL,
    DYN,
    INT,
    NULL,
    STRING,
    CelError,
    Environment,
    EvaluationError,
    list_of,
    map_of,
    object_of,
    type_of,
)

SELF = type_of(
    {
        "type": "object",
        "properties": {
            "replicas": {"type": "integer"},
            "name": {"type": "string"},
            "items": {"type": "array", "items": {"type": "object", "properties": {"a": {"type": "string"}}}},
        },
    },
    "selfType",
)
assert SELF is not None
ENVIRONMENT = Environment(
    {"self": SELF, "x": INT, "s": STRING, "d": DYN, "list": list_of(INT), "map": map_of(STRING, INT)}
)
STARTS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null',"
    " NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)


def fault(source: str) -> str:
    with pytest.raises(CelError) as caught:
        ENVIRONMENT.compile(source, expected=None)
    return str(caught.value)


@pytest.mark.parametrize(
    ("source", "column", "message"),
    [
        ("y + 1", 1, "undeclared reference to 'y' (in container '')"),
        ("x.foo()", 6, "undeclared reference to 'foo' (in container '')"),
        ("foo(x)", 4, "undeclared reference to 'foo' (in container '')"),
        ("Foo{a: 1}", 4, "undeclared reference to 'Foo' (in container '')"),
        ("int{a: 1}", 4, "'int' is not a message type"),
        ("self.nope == 1", 5, "undefined field 'nope'"),
        ("has(self.nope)", 4, "undefined field 'nope'"),
        ("self.items[0].b", 14, "undefined field 'b'"),
        ("x.y", 2, "type 'int' does not support field selection"),
        ("list.y", 5, "type 'list(int)' does not support field selection"),
        ("x + s", 3, "found no matching overload for '_+_' applied to '(int, string)'"),
        ("1 + 1u", 3, "found no matching overload for '_+_' applied to '(int, uint)'"),
        ("x == s", 3, "found no matching overload for '_==_' applied to '(int, string)'"),
        ("s == null", 3, "found no matching overload for '_==_' applied to '(string, null)'"),
        ("!x", 1, "found no matching overload for '!_' applied to '(int)'"),
        ("-s", 1, "found no matching overload for '-_' applied to '(string)'"),
        ("x && true", 3, "found no matching overload for '_&&_' applied to '(int, bool)'"),
        ("x ? 1 : 2", 3, "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        ("true ? 1 : 'a'", 6, "found no matching overload for '_?_:_' applied to '(bool, int, string)'"),
        ("s.startsWith(1)", 13, "found no matching overload for 'startsWith' applied to 'string.(int)'"),
        ("size(x)", 5, "found no matching overload for 'size' applied to '(int)'"),
        ("s.contains()", 11, "found no matching overload for 'contains' applied to 'string.()'"),
        ("list['a']", 5, "found no matching overload for '_[_]' applied to '(list(int), string)'"),
        ("map[1]", 4, "found no matching overload for '_[_]' applied to '(map(string, int), int)'"),
        ("'a' in list", 5, "found no matching overload for '@in' applied to '(string, list(int))'"),
        ("[1, 'a']", 5, "expected type 'int' but found 'string'"),
        ("{'a': 1, 'b': 'c'}", 15, "expected type 'int' but found 'string'"),
        ("{'a': 1, 2: 3}", 10, "expected type 'string' but found 'int'"),
        ("[?1]", 3, "expected type 'optional_type(int)' but found 'int'"),
        (
            "x.all(i, true)",
            1,
            "expression of type 'int' cannot be range of a comprehension (must be list, map, or dynamic)",
        ),
        ("list.all(i, i)", 9, "found no matching overload for '_&&_' applied to '(bool, int)'"),
        ("list.exists(i, i)", 12, "found no matching overload for '_||_' applied to '(bool, int)'"),
        ("list.exists_one(i, i)", 16, "found no matching overload for '_?_:_' applied to '(int, int, int)'"),
        (
            "list.filter(i, i)",
            12,
            "found no matching overload for '_?_:_' applied to '(int, list(int), list(int))'",
        ),
        ("list.all(i.j, true)", 11, "argument must be a simple name"),
        ("list.all(1, true)", 10, "argument must be a simple name"),
        ("list.all(i, i, true)", 13, "duplicate variable name: i"),
        ("cel.bind(1, 2, 3)", 10, "cel.bind() variable names must be simple identifiers"),
        ("has(x)", 5, "invalid argument to has() macro"),
        ("i", 1, "undeclared reference to 'i' (in container '')"),
        ("list.map(i, i) == list && i == 1", 27, "undeclared reference to 'i' (in container '')"),
        ("duration('x') == duration('1s')", 10, "invalid duration argument"),
        ("timestamp('x') > timestamp(0)", 11, "invalid timestamp argument"),
        ("s.matches('(')", 11, "invalid matches argument"),
        ("for == 1", 1, "reserved identifier: for"),
        ("9223372036854775808", 1, "invalid int literal"),
        ("-9223372036854775809", 1, "invalid int literal"),
        ("18446744073709551616u", 1, "invalid uint literal"),
        ("1e999", 1, "invalid double literal"),
        ("1 +", 4, f"Syntax error: mismatched input '<EOF>' expecting {STARTS}"),
        ("", 1, f"Syntax error: mismatched input '<EOF>' expecting {STARTS}"),
        ("1 + * 2", 5, f"Syntax error: mismatched input '*' expecting {STARTS}"),
        ("(1", 3, "Syntax error: mismatched input '<EOF>' expecting ')'"),
        ("true ? 1", 9, "Syntax error: mismatched input '<EOF>' expecting ':'"),
        ("1 2", 3, "Syntax error: extraneous input '2' expecting <EOF>"),
        ("self.", 6, "Syntax error: no viable alternative at input '.'"),
        ("a @ b", 3, "Syntax error: token recognition error at: '@'"),
        ("'abc", 1, "Syntax error: token recognition error at: ''abc'"),
        (r"'\q'", 1, "invalid string literal: unable to unescape string"),
        (r"'\uD800'", 1, "invalid string literal: unable to unescape string"),
        (r"b'\u00e9'", 1, "invalid bytes literal: unable to unescape string"),
    ],
)
def test_fault_is_told_with_its_place(source: str, column: int, message: str) -> None:
    assert fault(source).split("\n |")[0] == f"ERROR: <input>:1:{column}: {message}"


def test_the_line_and_a_caret_are_shown() -> None:
    assert fault("true &&\n  y == 1") == (
        "ERROR: <input>:2:3: undeclared reference to 'y' (in container '')\n |   y == 1\n | ..^"
    )


def test_tabs_are_shown_as_spaces_and_wide_characters_with_wide_dots() -> None:
    assert fault("\t'é' == y").split("\n")[1:] == [" |  'é' == y", " | ..．.....^"]


def test_every_fault_is_told_in_order() -> None:
    shown = fault("b == a || self.c == 1")
    assert [line.split(": ", 2)[2] for line in shown.split("\n") if line.startswith("ERROR")] == [
        "undeclared reference to 'b' (in container '')",
        "undeclared reference to 'a' (in container '')",
        "undefined field 'c'",
    ]


def test_one_mistake_is_told_once() -> None:
    assert fault("self.nope.foo.bar.startsWith('a') && self.nope2 + 1 == 'a'").count("ERROR") == 2


def test_more_than_a_hundred_faults_are_counted() -> None:
    shown = fault(" || ".join(f"y{n}" for n in range(150)))
    assert shown.count("ERROR") == 100
    assert shown.endswith("50 more errors were truncated")


def test_a_value_of_another_type_than_expected_is_refused() -> None:
    with pytest.raises(CelError, match=r"^must evaluate to bool but got int$") as caught:
        ENVIRONMENT.compile("x + 1")
    assert caught.value.wrong_result
    with pytest.raises(CelError, match=r"^must evaluate to bool but got dyn$"):
        ENVIRONMENT.compile("d")
    with pytest.raises(CelError, match=r"^must evaluate to string but got int$"):
        ENVIRONMENT.compile("x", expected=STRING)
    with pytest.raises(CelError, match=r"^must evaluate to one of \[string null_type\] but got list\(int\)$"):
        ENVIRONMENT.compile("[x]", expected=(STRING, NULL))
    assert ENVIRONMENT.compile("null", expected=(STRING, NULL)).evaluate({}) is None
    assert ENVIRONMENT.compile("s", expected=STRING).type is STRING


@pytest.mark.parametrize(
    ("source", "kind"),
    [
        ("[]", "list(dyn)"),
        ("[] + [1]", "list(int)"),
        ("[[], [1]]", "list(list(int))"),
        ("{}", "map(dyn, dyn)"),
        ("[1].map(i, string(i))", "list(string)"),
        ("map.map(k, map[k])", "list(int)"),
        ("d.a.b", "dyn"),
        ("d ? 1 : 2", "int"),
        ("d + 1", "int"),
        ("self.items[0].a", "string"),
        ("self.?name", "optional_type(string)"),
        ("optional.none()", "optional_type(dyn)"),
        ("true ? optional.none() : optional.of(1)", "optional_type(int)"),
        ("type(1)", "type(int)"),
        ("self", "selfType"),
        ("self.items[0]", "selfType.items.@idx"),
        ("x == 1 ? null : timestamp(0)", "null"),
    ],
)
def test_type_of_the_result(source: str, kind: str) -> None:
    assert str(ENVIRONMENT.compile(source, expected=None).type) == kind


def test_references_are_the_declared_variables_that_are_read() -> None:
    environment = Environment({"self": DYN, "oldSelf": DYN, "x": INT})
    assert environment.compile("self == 1 || [1].all(x, x > 0)").references == {"self"}
    assert environment.compile("cel.bind(y, oldSelf, y == self)").references == {"self", "oldSelf"}
    assert environment.compile("true").references == frozenset()


def test_an_environment_can_be_extended() -> None:
    extended = ENVIRONMENT.extended({"more": BOOL})
    assert extended.compile("more || x == 1").evaluate({"more": True}) is True
    with pytest.raises(CelError):
        ENVIRONMENT.compile("more")


class Lazy(Mapping[str, Any]):
    """Values that are computed when they are asked for, as a policy's variables are."""

    def __init__(self, **fields: Callable[[], Any]) -> None:
        self.fields = fields
        self.asked: list[str] = []

    def __getitem__(self, key: str) -> Any:
        self.asked.append(key)
        return self.fields[key]()

    def __contains__(self, key: object) -> bool:
        return key in self.fields

    def __iter__(self) -> Iterator[str]:
        return iter(self.fields)

    def __len__(self) -> int:
        return len(self.fields)


def test_any_mapping_is_an_object_and_only_what_is_read_is_asked_for() -> None:
    variables = object_of("kubernetes.variables", {"used": INT, "unused": INT})
    program = Environment({"variables": variables}).compile("has(variables.used) && variables.used > 1")
    lazy = Lazy(used=lambda: 2, unused=lambda: 1 / 0)
    assert program.evaluate({"variables": lazy}) is True
    assert lazy.asked == ["used"]


def test_a_failing_variable_is_an_error_of_the_expression_that_reads_it() -> None:
    inner = Environment({}).compile("1 / 0 == 1")
    lazy = Lazy(broken=lambda: inner.evaluate({}))
    environment = Environment({"variables": object_of("kubernetes.variables", {"broken": BOOL})})
    assert environment.compile("variables.broken || true").evaluate({"variables": lazy}) is True
    with pytest.raises(EvaluationError, match="division by zero"):
        environment.compile("variables.broken").evaluate({"variables": lazy})


def test_one_program_may_be_evaluated_while_it_is_evaluated() -> None:
    program = Environment({"d": DYN}).compile("d.list.map(x, d.inner + x)[0]", expected=None)
    inner = {"list": [1], "inner": 10}
    assert program.evaluate({"d": Lazy(list=lambda: [5], inner=lambda: program.evaluate({"d": inner}))}) == 16
