"""Random expressions: well-typed ones agree with Python, any text gives a CelError or a Program."""

from __future__ import annotations

import math
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kplane.api.cel import (
    BOOL,
    DOUBLE,
    DYN,
    INT,
    STRING,
    Budget,
    BudgetExceeded,
    CelError,
    Environment,
    EvaluationError,
    Program,
    list_of,
    to_json,
)

ENVIRONMENT = Environment(
    {"a": INT, "b": INT, "p": BOOL, "q": BOOL, "s": STRING, "x": DOUBLE, "l": list_of(INT), "d": DYN}
)
pytestmark = pytest.mark.slow
LEAST, MOST = -(2**63), 2**63 - 1


class _Error(Exception):
    """The expression has no value."""


def _arithmetic(operator: str, left: int, right: int) -> int:
    """CEL's integers, written down once more."""
    match operator:
        case "+":
            value = left + right
        case "-":
            value = left - right
        case "*":
            value = left * right
        case _:
            if right == 0:
                raise _Error
            value = math.trunc(left / right) if abs(left) < 2**52 else abs(left) // abs(right)
            if abs(left) >= 2**52 and (left < 0) != (right < 0):
                value = -value
            if operator == "%":
                value = left - right * value
    if not LEAST <= value <= MOST:
        raise _Error
    return value


Pair = tuple[str, Any]
"""Source, and how Python computes it: a function of the bindings."""


def _binary(operator: str, left: Pair, right: Pair) -> Pair:
    return f"({left[0]} {operator} {right[0]})", lambda env: _arithmetic(
        operator, left[1](env), right[1](env)
    )


_names = st.sampled_from("ab").map(lambda name: (name, lambda env: env[name]))
_small = st.integers(-100, 100).map(lambda value: (f"({value})", lambda env: value))
INTEGERS = st.recursive(
    _names | _small,
    lambda inner: st.builds(_binary, st.sampled_from("+-*/%"), inner, inner),
    max_leaves=12,
)


def _compared(operator: str, left: Pair, right: Pair) -> Pair:
    compare = {
        "<": lambda one, other: one < other,
        "<=": lambda one, other: one <= other,
        "==": lambda one, other: one == other,
        "!=": lambda one, other: one != other,
    }[operator]
    return f"({left[0]} {operator} {right[0]})", lambda env: compare(left[1](env), right[1](env))


def _either(operator: str, left: Pair, right: Pair) -> Pair:
    stop = operator == "||"

    def run(env: dict[str, Any]) -> bool:
        verdicts = []
        for side in (left, right):
            try:
                verdicts.append(side[1](env))
            except _Error as error:
                verdicts.append(error)
        if any(verdict is stop for verdict in verdicts):
            return stop
        for verdict in verdicts:
            if isinstance(verdict, _Error):
                raise verdict
        return not stop

    return f"({left[0]} {operator} {right[0]})", run


_flags = st.sampled_from("pq").map(lambda name: (name, lambda env: env[name]))
_relations = st.builds(_compared, st.sampled_from(["<", "<=", "==", "!="]), INTEGERS, INTEGERS)
CONDITIONS = st.recursive(
    _flags | _relations,
    lambda inner: (
        st.builds(_either, st.sampled_from(["&&", "||"]), inner, inner)
        | inner.map(lambda pair: (f"!{pair[0]}", lambda env: not pair[1](env)))
    ),
    max_leaves=8,
)


def _agree(pair: Pair, bindings: dict[str, Any]) -> None:
    source, compute = pair
    program = ENVIRONMENT.compile(source, expected=None)
    try:
        expected = compute(bindings)
    except _Error:
        expected = _Error
    try:
        value = program.evaluate(bindings)
    except EvaluationError:
        value = _Error
    assert value is expected or (type(value) is type(expected) and value == expected), source


_BIG = st.integers(LEAST, MOST) | st.integers(-10, 10)


@settings(deadline=None)
@given(INTEGERS, _BIG, _BIG)
def test_integer_arithmetic_agrees_with_python(pair: Pair, a: int, b: int) -> None:
    _agree(pair, {"a": a, "b": b})


@settings(deadline=None)
@given(CONDITIONS, _BIG, _BIG, st.booleans(), st.booleans())
def test_logic_agrees_with_python(pair: Pair, a: int, b: int, p: bool, q: bool) -> None:
    _agree(pair, {"a": a, "b": b, "p": p, "q": q})


@settings(deadline=None)
@given(st.lists(st.integers(-50, 50), max_size=12), st.integers(-50, 50))
def test_comprehensions_agree_with_python(items: list[int], bound: int) -> None:
    bindings = {"l": items, "a": bound}
    for source, expected in (
        ("l.all(i, i < a)", all(item < bound for item in items)),
        ("l.exists(i, i == a)", bound in items),
        ("l.exists_one(i, i == a)", items.count(bound) == 1),
        ("l.filter(i, i < a)", [item for item in items if item < bound]),
        ("l.map(i, i * 2)", [item * 2 for item in items]),
        ("l.map(i, i < a, i + 1)", [item + 1 for item in items if item < bound]),
        ("l.sort()", sorted(items)),
        ("l.distinct()", list(dict.fromkeys(items))),
        ("l.isSorted()", items == sorted(items)),
        ("l.indexOf(a)", items.index(bound) if bound in items else -1),
        ("a in l", bound in items),
    ):
        assert ENVIRONMENT.compile(source, expected=None).evaluate(bindings) == expected


@settings(deadline=None)
@given(st.text(max_size=20), st.text(max_size=4), st.text(max_size=4))
def test_strings_agree_with_python(text: str, old: str, new: str) -> None:
    bindings = {"s": text, "d": {"old": old, "new": new}}
    for source, expected in (
        ("s.replace(d.old, d.new)", text.replace(old, new)),
        ("s.contains(d.old)", old in text),
        ("s.startsWith(d.old) || s.endsWith(d.old)", text.startswith(old) or text.endswith(old)),
        ("s.split(d.old).join(d.old)", text),
        ("s.reverse().reverse() == s", True),
        ("size(s + d.new)", len(text) + len(new)),
        ("bytes(s) == bytes(s) && string(bytes(s)) == s", True),
    ):
        assert ENVIRONMENT.compile(source, expected=None).evaluate(bindings) == expected


_WORDS = [
    *("a", "b", "p", "q", "s", "x", "l", "d", "self", "i", "j"),
    *("size", "has", "all", "exists", "map", "filter", "cel", "bind", "type", "int", "string", "list"),
    *("optional", "of", "none", "quantity", "ip", "matches"),
    *("1", "0", "1u", "2.5", "'a'", "b'c'", "true", "null", "in"),
    *("&&", "||", "!", "==", "!=", "<", ">", "<=", ">=", "+", "-", "*", "/", "%", "?", ":"),
    *(".", ".?", "[?", "(", ")", "[", "]", "{", "}", ","),
]


def _compiled(source: str) -> tuple[Program | None, str]:
    try:
        return ENVIRONMENT.compile(source, expected=None), ""
    except CelError as error:
        return None, str(error)


@settings(deadline=None, max_examples=300)
@given(st.lists(st.sampled_from(_WORDS), max_size=14).map(" ".join) | st.text(max_size=30))
def test_any_text_is_a_program_or_a_cel_error(source: str) -> None:
    program, message = _compiled(source)
    if program is None:
        assert message.startswith("ERROR: <input>:")
        return
    program.estimate()
    bindings = {"a": 1, "b": 2, "p": True, "q": False, "s": "ab", "x": 1.5, "l": [1, 2], "d": {"a": [1]}}
    with suppress(EvaluationError, BudgetExceeded):
        to_json(program.evaluate(bindings, Budget(10_000)))


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.floats(allow_nan=False) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)


@settings(deadline=None)
@given(_JSON)
def test_values_of_any_shape_give_a_value_or_an_evaluation_error(value: Any) -> None:
    for source in (
        "d.a.b[0] == 1",
        "d.all(i, i == d[i])",
        "d.map(i, i + 1)",
        "d.startsWith('a') || d > 1",
        "d == d && d in [d] && [d].indexOf(d) == 0",
        "size(d) + d.size()",
        "'%s'.format([d])",
        "d.?a.orValue(1) == 1",
        "[d].sum() == d",
        "s.startsWith(d) || l == d",
    ):
        with suppress(EvaluationError):
            ENVIRONMENT.compile(source, expected=None).evaluate({"d": value, "s": value, "l": value})
