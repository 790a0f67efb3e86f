"""The language itself: operators, literals, macros, conversions; values and errors as cel-go has them."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import DYN, INT, STRING, Environment, EvaluationError, list_of, map_of, to_json

VARIABLES = {
    "i": INT,
    "s": STRING,
    "d": DYN,
    "numbers": list_of(INT),
    "labels": map_of(STRING, STRING),
}
BINDINGS: dict[str, Any] = {
    "i": 7,
    "s": "héllo",
    "d": {"a": {"b": [1, "two", None, 2.5, True]}, "n": 1},
    "numbers": [1, 2, 3],
    "labels": {"app": "web", "tier": "front"},
}


def value_of(source: str, bindings: dict[str, Any] = BINDINGS) -> Any:
    return Environment(VARIABLES).compile(source, expected=None).evaluate(bindings)


TRUE = [
    # arithmetic
    "1 + 2 * 3 - 4 == 3",
    "7 / 2 == 3 && -7 / 2 == -3",
    "7 % 3 == 1 && -7 % 3 == -1",
    "7u / 2u == 3u && 7u % 2u == 1u && 2u - 1u == 1u",
    "1.5 + 2.5 == 4.0 && 1.0 / 4.0 == 0.25 && 2.0 * 3.0 == 6.0",
    "-(-i) == i && --i == 7 && -i == -7",
    "1.0 / 0.0 > 1e300 && -1.0 / 0.0 < -1e300",
    "-9223372036854775808 < 9223372036854775807",
    "0x10 == 16 && 0xFFu == 255u && 1e3 == 1000.0 && .5 == 0.5",
    # text
    "'a' + \"b\" == 'ab' && b'a' + b'b' == b'ab'",
    r"'\n\t\\\'\"\x41\u00e9\U0001F600\101' == " + "'''\n\t\\\\'\"Aé😀A'''",
    r"r'\n' == '\\n' && size(r'''a'b''') == 3",
    r"b'\xff' == b'\377' && size(b'é') == 2 && size('é') == 1",
    "s.size() == 5 && size(s) == 5",
    "s.startsWith('h') && s.endsWith('llo') && s.contains('éll') && !s.contains('x')",
    "s.matches('^h.l+o$') && matches(s, 'l+')",
    # comparison
    "1 < 2 && 2 <= 2 && 3 > 2 && 3 >= 3 && 1 != 2",
    "1 < 2u && 1u < 2.0 && 1.5 > 1 && 9007199254740993 > 9007199254740992.0",
    "'a' < 'b' && b'a' < b'b' && false < true",
    "duration('1m') < duration('1h') && timestamp(0) < timestamp('2021-01-01T00:00:00Z')",
    "dyn(1) == dyn(1.0) && dyn(1u) == dyn(1) && dyn(1) != dyn('1') && dyn(true) != dyn(1)",
    "[1, 2] == [1, 2] && [1] != [2] && {'a': 1} == {'a': 1} && {'a': 1} != {'b': 1}",
    "[dyn(1), dyn('a')] == [dyn(1.0), dyn('a')] && [[1], [2]] != [[1], [3]]",
    "null == null && d.a.b[2] == null",
    # logic
    "true || false && false",
    "!false && !!true",
    "(i > 5 ? 'big' : 'small') == 'big'",
    "true ? true : 1 / 0 == 1",
    "false && 1 / 0 == 1 ? false : true",
    "1 / 0 == 1 || true",
    "!(1 / 0 == 1 && false)",
    # containment and selection
    "2 in numbers && !(5 in numbers) && 'app' in labels && !('x' in labels)",
    "'two' in d.a.b && 2.5 in d.a.b && !(dyn('x') in d.a.b)",
    "numbers[0] == 1 && labels['app'] == 'web' && labels.tier == 'front' && d.a.b[1] == 'two'",
    "has(labels.app) && !has(labels.zone) && has(d.a.b) && !has(d.a.c)",
    "{1: 'a', 2: 'b'}[2] == 'b' && {true: 1}[true] == 1 && {1u: 'x'}[1u] == 'x'",
    "size(numbers) == 3 && labels.size() == 2 && size({}) == 0 && size([]) == 0",
    "numbers + [4] == [1, 2, 3, 4]",
    "d.a.b[1u] == 'two' && d.a.b[1.0] == 'two' && d['a']['b'][dyn(1)] == 'two'",
    "[1, 2, 3,] == [1, 2, 3] && {'a': 1,} == {'a': 1}",
    # macros
    "numbers.all(n, n > 0) && !numbers.all(n, n > 1) && [].all(n, false)",
    "numbers.exists(n, n == 2) && !numbers.exists(n, n == 5) && ![].exists(n, true)",
    "numbers.exists_one(n, n == 2) && !numbers.exists_one(n, n > 1) && numbers.existsOne(n, n > 2)",
    "numbers.map(n, n * n) == [1, 4, 9] && numbers.map(n, n > 1, n * 10) == [20, 30]",
    "numbers.filter(n, n != 2) == [1, 3]",
    "labels.all(k, k in ['app', 'tier']) && labels.exists(k, labels[k] == 'web')",
    "labels.map(k, k).size() == 2 && labels.filter(k, k == 'app') == ['app']",
    "numbers.map(n, numbers.map(m, n * m)) == [[1, 2, 3], [2, 4, 6], [3, 6, 9]]",
    "[0, 1].exists(n, 1 / n == 1) && !([0, 1].all(n, 1 / n == 2))",
    "d.a.b.exists(x, x == 'two')",
    "numbers.all(i, n, n == i + 1) && numbers.exists(i, n, i == 2 && n == 3)",
    "labels.all(k, v, size(k) <= 4 && size(v) <= 5) && labels.exists(k, v, k == 'app' && v == 'web')",
    "labels.exists_one(k, v, v == 'web') && numbers.existsOne(i, v, v == 2)",
    "numbers.transformList(i, v, i * v) == [0, 2, 6] && numbers.transformList(i, v, v > 1, v) == [2, 3]",
    "labels.transformMap(k, v, k + v) == {'app': 'appweb', 'tier': 'tierfront'}",
    "labels.transformMap(k, v, k == 'app', v) == {'app': 'web'}",
    "labels.transformMapEntry(k, v, {v: k}) == {'web': 'app', 'front': 'tier'}",
    "cel.bind(x, i + 1, x * x) == 64 && cel.bind(x, 1, cel.bind(x, x + 1, x)) == 2",
    "numbers.map(i, i) == numbers && i == 7",
    # conversion
    "int('42') == 42 && int(3.9) == 3 && int(-3.9) == -3 && int(7u) == 7",
    "uint(7) == 7u && uint('7') == 7u && double('1.5') == 1.5 && double(2) == 2.0",
    "string(1) == '1' && string(1.5) == '1.5' && string(1.0) == '1' && string(true) == 'true'",
    "string(1e21) == '1e+21' && string(1e20) == '100000000000000000000' && string(1e-7) == '1e-07'",
    "string(b'abc') == 'abc' && bytes('é') == b'é' && string(7u) == '7'",
    "bool('true') && !bool('False') && bool(true)",
    "string(duration('1h30m')) == '5400s' && string(duration('1.5s')) == '1.5s'",
    "string(timestamp('2020-01-02T03:04:05.250+01:00')) == '2020-01-02T02:04:05.25Z'",
    "int(timestamp('1970-01-01T00:01:00Z')) == 60 && timestamp(60) == timestamp('1970-01-01T00:01:00Z')",
    "type(1) == int && type('') == string && type([]) == list && type({}) == map && type(null) == null_type",
    "type(1u) == uint && type(1.0) == double && type(b'') == bytes && type(true) == bool",
    "type(int) == type && type(int) != int",
    "type(timestamp(0)) == google.protobuf.Timestamp && type(d.a.b[1]) == string",
    # time
    "timestamp('2020-01-01T00:00:00Z') + duration('1h') == timestamp('2020-01-01T01:00:00Z')",
    "timestamp('2020-01-01T01:00:00Z') - timestamp('2020-01-01T00:00:00Z') == duration('60m')",
    "duration('1h') + duration('1m') - duration('1m') == duration('3600s')",
    "timestamp('2023-03-05T06:07:08.009Z').getFullYear() == 2023",
    "timestamp('2023-03-05T06:07:08.009Z').getMonth() == 2",
    "timestamp('2023-03-05T06:07:08.009Z').getDate() == 5",
    "timestamp('2023-03-05T06:07:08.009Z').getDayOfMonth() == 4",
    "timestamp('2023-03-05T06:07:08.009Z').getDayOfWeek() == 0",
    "timestamp('2023-03-05T06:07:08.009Z').getDayOfYear() == 63",
    "timestamp('2023-03-05T06:07:08.009Z').getHours() == 6",
    "timestamp('2023-03-05T06:07:08.009Z').getMinutes() == 7",
    "timestamp('2023-03-05T06:07:08.009Z').getSeconds() == 8",
    "timestamp('2023-03-05T06:07:08.009Z').getMilliseconds() == 9",
    "timestamp('2023-03-05T06:07:08Z').getHours('-08:00') == 22",
    "timestamp('2023-07-05T06:07:08Z').getHours('America/New_York') == 2",
    "duration('1h1m1s').getSeconds() == 3661 && duration('90m').getHours() == 1",
    "duration('-90s').getMinutes() == -1 && duration('1.5s').getMilliseconds() == 1500",
    # optionals
    "optional.of(1).hasValue() && !optional.none().hasValue() && optional.of(1).value() == 1",
    "optional.none().orValue(3) == 3 && optional.none().or(optional.of(4)).value() == 4",
    "!optional.ofNonZeroValue('').hasValue() && optional.ofNonZeroValue(1).hasValue()",
    "labels.?app.orValue('none') == 'web' && labels.?zone.orValue('none') == 'none'",
    "labels[?'app'].hasValue() && numbers[?0].value() == 1 && !numbers[?9].hasValue()",
    "d.?a.?b[?1].orValue('x') == 'two' && d.?x.?y.orValue('x') == 'x'",
    "optional.of(2).optMap(x, x * 2).value() == 4 && !optional.none().optMap(x, x + 1).hasValue()",
    "optional.of(2).optFlatMap(x, optional.of(x + 1)).value() == 3",
    "[1, ?optional.none(), ?optional.of(2)] == [1, 2]",
    "{'a': 1, ?'b': optional.none(), ?'c': optional.of(3)} == {'a': 1, 'c': 3}",
    "has({'a': 1}.a) && optional.of({'a': 1}).a.value() == 1",
    # comments and names
    "true // && false",
    ".i == 7",
]


@pytest.mark.parametrize("source", TRUE)
def test_expression_holds(source: str) -> None:
    assert value_of(source) is True


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("1 / 0", "division by zero"),
        ("1 % 0", "modulus by zero"),
        ("1u / 0u", "division by zero"),
        ("9223372036854775807 + i", "integer overflow"),
        ("-9223372036854775808 - i", "integer overflow"),
        ("9223372036854775807 * 2", "integer overflow"),
        ("-(-9223372036854775808 + 0)", "integer overflow"),
        ("0u - 1u", "unsigned integer overflow"),
        ("int(1e30)", "integer overflow"),
        ("uint(-1)", "unsigned integer overflow"),
        ("int('x')", 'strconv.ParseInt: parsing "x": invalid syntax'),
        ("double('x')", 'strconv.ParseFloat: parsing "x": invalid syntax'),
        ("bool('x')", 'strconv.ParseBool: parsing "x": invalid syntax'),
        ("string(b'\\xff')", "invalid UTF-8 in bytes, cannot convert to string"),
        ("numbers[3]", "index out of bounds: 3"),
        ("numbers[-1]", "index out of bounds: -1"),
        ("labels['zone']", "no such key: zone"),
        ("labels.zone", "no such key: zone"),
        ("d.a.x", "no such key: x"),
        ("d['x']", "no such key: x"),
        ("d.a.b[9]", "index out of bounds: 9"),
        ("d.a.b[1.5]", "unsupported index value 1.5 in list"),
        ("d.a.b['x']", "unsupported index type 'string' in list"),
        ("d.n['x']", "no such overload"),
        ("d.n.x", "no such overload"),
        ("d.n + 'a'", "no such overload"),
        ("d.n ? 1 : 2", "no such overload"),
        ("d.n && true", "no such overload"),
        ("d.n.startsWith('a')", "no such overload"),
        ("d.a.b[2].startsWith('a')", "no such overload"),
        ("numbers.all(n, 1 / (n - n) == 1)", "division by zero"),
        ("numbers.exists_one(n, 1 / (n - 1) == 1)", "division by zero"),
        ("{'a': 1, 'a': 2}", "Failed with repeated key: a"),
        ("optional.none().value()", "optional.none() dereference"),
        ("timestamp(d.a.b[1])", 'invalid timestamp "two"'),
        ("duration(s)", 'time: invalid duration "héllo"'),
        ("timestamp(0).getHours('Mars/Base')", "unknown time zone Mars/Base"),
        ("timestamp(0).getHours('../../etc/passwd')", "unknown time zone ../../etc/passwd"),
        ("timestamp(0).getHours('/etc/passwd')", "unknown time zone /etc/passwd"),
        ("timestamp(0).getHours('America')", "unknown time zone America"),
        ("timestamp(0).getHours('99:00')", "unknown time zone 99:00"),
        ("s.matches(s + '(')", "error parsing regexp: missing ): héllo("),
        ("timestamp('9999-12-31T23:59:59Z') + duration('1h')", "timestamp overflow"),
        ("numbers.transformMapEntry(i, n, {'k': n})", "insert failed: key 'k' already exists"),
        ("true && 1 / 0 == 1", "division by zero"),
        ("1 / 0 == 1 || false", "division by zero"),
    ],
)
def test_evaluation_fails(source: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        value_of(source)
    assert str(caught.value) == message


def test_unbound_variable_fails_only_where_it_is_read() -> None:
    assert value_of("true || i == 1", {}) is True
    with pytest.raises(EvaluationError, match=r"^no such attribute\(s\): i$"):
        value_of("i == 1", {})


def test_a_null_where_a_string_is_declared_is_an_error_that_logic_can_absorb() -> None:
    assert value_of("s.startsWith('a') || true", {"s": None}) is True
    with pytest.raises(EvaluationError, match="no such overload"):
        value_of("s.startsWith('a')", {"s": None})


def test_values_are_used_where_they_lie() -> None:
    assert value_of("d.a") is BINDINGS["d"]["a"]


def test_loop_variable_hides_a_declared_one_only_inside() -> None:
    assert value_of("[10].map(i, i) + [i]") == [10, 7]


@pytest.mark.parametrize(
    ("source", "plain"),
    [
        ("{'a': d.a.b.map(x, dyn(x))}", {"a": [1, "two", None, 2.5, True]}),
        ("timestamp('2020-01-01T00:00:00Z')", "2020-01-01T00:00:00Z"),
        ("duration('90s')", "90s"),
        ("b'ab'", "YWI="),
        ("7u", 7),
        ("optional.of('x')", "x"),
        ("optional.none()", None),
        ("[{'a': duration('1s')}]", [{"a": "1s"}]),
    ],
)
def test_results_become_json(source: str, plain: Any) -> None:
    assert to_json(value_of(source)) == plain


def test_results_without_a_json_form_are_refused() -> None:
    with pytest.raises(EvaluationError, match="to JSON"):
        to_json(value_of("quantity('1')"))
