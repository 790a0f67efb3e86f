"""Expressions and values that are meant to hurt: every one ends soon, with an error that says so."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest

from kplane.api.cel import (
    DYN,
    STRING,
    Budget,
    BudgetExceeded,
    CelError,
    Environment,
    EvaluationError,
    list_of,
    to_json,
)

ENVIRONMENT = Environment({"s": STRING, "strings": list_of(STRING), "d": DYN})
WITHIN = 30.0
"""Seconds; generous, as the machine may be busy. What is not bounded takes years."""


def timed(call: Callable[[], Any]) -> Any:
    begun = time.perf_counter()
    try:
        return call()
    finally:
        assert time.perf_counter() - begun < WITHIN


def deep_list(depth: int) -> str:
    """`b` is a tree of 2**depth leaves in a few cells."""
    source = "b"
    for _ in range(depth):
        source = f"cel.bind(b, [b, b], {source})"
    return f"cel.bind(b, [1], {source.replace('b, [b, b], b)', 'b, [b, b], USE)')})"


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "(" * 300 + "1" + ")" * 300,
        "[" * 300 + "]" * 300,
        "(" * 50_000,
        "{1:" * 300 + "1" + "}" * 300,
        "f(" * 300 + ")" * 300,
        "true ? " * 300,
        "true ? 1 : " * 300 + "1",
        "d" + ".a" * 40_000,
        "d" + "[0]" * 20_000,
        "1" + " + 1" * 20_000,
        "1" * 90_000,
        "x" * 100_001,
        "'" * 99_999,
        "\\" * 1000,
        "[1].map(x, " * 300 + "x" + ")" * 300,
    ],
)
def test_deep_and_long_sources_are_refused(source: str) -> None:
    with pytest.raises(CelError):
        timed(lambda: ENVIRONMENT.compile(source, expected=None))


def test_nesting_that_upstream_allows_compiles() -> None:
    program = ENVIRONMENT.compile("(" * 120 + "1" + ")" * 120, expected=None)
    assert program.evaluate({}) == 1


def test_the_depth_of_the_tree_has_a_limit_that_does_not_depend_on_the_stack() -> None:
    assert ENVIRONMENT.compile("1" + " + 1" * 200, expected=None).evaluate({}) == 201
    with pytest.raises(CelError, match="expression recursion limit exceeded: 250"):
        ENVIRONMENT.compile("1" + " + 1" * 260, expected=None)


def test_a_thousand_conditions_in_a_row_are_not_deep() -> None:
    source = " && ".join(f"size(s) != {n}" for n in range(1000))
    assert timed(lambda: ENVIRONMENT.compile(source).evaluate({"s": "x" * 2000})) is True
    assert ENVIRONMENT.compile(source.replace("&&", "||").replace("!=", "==")).evaluate({"s": ""}) is True


def test_an_even_number_of_signs_cancels_out() -> None:
    assert ENVIRONMENT.compile("!" * 10_000 + "true").evaluate({}) is True


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        "strings.all(a, strings.all(b, strings.all(c, a != b || b != c || true)))",
        "strings.map(a, strings.map(b, strings.map(c, a))) == []",
        "strings.exists_one(a, strings.exists_one(b, strings.exists_one(c, true)))",
        "strings.filter(a, strings.filter(b, strings.filter(c, true) == []) == []) == []",
        "strings.transformMap(i, a, strings.transformMap(j, b, strings.transformMap(k, c, c))).size() == 0",
        "strings.all(a, strings.all(b, strings.all(c, d == d)))",
    ],
)
def test_loops_in_loops_run_out_of_budget(source: str) -> None:
    bindings = {"strings": [str(n) for n in range(2000)], "d": {"a": list(range(1000))}}
    with pytest.raises(BudgetExceeded):
        timed(lambda: ENVIRONMENT.compile(source).evaluate(bindings))


@pytest.mark.slow
@pytest.mark.parametrize(
    "use",
    [
        "b == b",
        "dyn(b) in [dyn(b)]",
        "sets.contains(b, b)",
        "b.flatten(100) == []",
        "b.distinct() == b",
        "[dyn(b)].indexOf(dyn(b)) == 0",
        "'%s'.format([b]) == ''",
        "dyn(b) == dyn([b])",
    ],
)
def test_values_that_share_their_parts_are_not_walked_for_ever(use: str) -> None:
    program = ENVIRONMENT.compile(deep_list(40).replace("USE", use), expected=None)
    with pytest.raises((BudgetExceeded, EvaluationError)):
        timed(lambda: program.evaluate({}))


@pytest.mark.slow
def test_results_that_share_their_parts_are_not_written_out() -> None:
    result = ENVIRONMENT.compile(deep_list(40).replace("USE", "b"), expected=None).evaluate({})
    with pytest.raises(EvaluationError, match="too large"):
        timed(lambda: to_json(result))


@pytest.mark.slow
@pytest.mark.parametrize(
    "source",
    [
        # Doubled 40 times.
        "cel.bind(a, s," * 1 + "cel.bind(a, a + a," * 40 + "a.size() == 0" + ")" * 41,
        "cel.bind(a, [1, 1]," + "cel.bind(a, a + a," * 40 + "a.size() == 0" + ")" * 41,
        "cel.bind(a, s," + "cel.bind(a, a.replace('', a)," * 6 + "a.size() == 0" + ")" * 7,
        "cel.bind(a, s," + "cel.bind(a, [a, a, a, a].join(a)," * 30 + "a.size() == 0" + ")" * 31,
        "lists.range(1000000000).size() == 0",
        "s.split('').map(a, s.split('')).size() == 0 && s.split('').all(a, s.split('').all(b, s == a))",
    ],
)
def test_values_cannot_grow_beyond_the_budget(source: str) -> None:
    with pytest.raises((BudgetExceeded, EvaluationError)):
        timed(lambda: ENVIRONMENT.compile(source).evaluate({"s": "ab" * 2000}))


@pytest.mark.parametrize("pattern", ["(a+)+$", "(a|aa)+$", "(.*)*x", "(a*)*b", "a{0,100}a{0,100}a{1,9}$"])
def test_regular_expressions_take_linear_time(pattern: str) -> None:
    program = ENVIRONMENT.compile(f"s.matches('{pattern}')")
    assert timed(lambda: program.evaluate({"s": "a" * 5000 + "!"})) is False


@pytest.mark.parametrize("pattern", ["((a{1000}){1000}){1000}", "(?=a)", "\\1", "(" + "a" * 5000 + "){900}"])
def test_regular_expressions_that_are_too_much_are_refused(pattern: str) -> None:
    with pytest.raises(EvaluationError, match="error parsing regexp"):
        timed(
            lambda: ENVIRONMENT.compile("s.matches(d)").evaluate(
                {"s": "a", "d": pattern}, Budget(10**9, 10**9)
            )
        )


def test_numbers_in_text_are_bounded() -> None:
    long = "1" * 1_000_000
    for source in ("int(s) == 1", "uint(s) == 1u", "double(s) == 1.0", "duration(s) == duration('1s')"):
        with pytest.raises(EvaluationError):
            timed(lambda source=source: ENVIRONMENT.compile(source).evaluate({"s": long}))
    with pytest.raises(EvaluationError, match="precision is too large"):
        ENVIRONMENT.compile("'%.999999999f'.format([1.0]) == ''").evaluate({})


def test_quantities_and_versions_in_text_are_bounded() -> None:
    for source in ("isQuantity(s)", "isSemver(s)", "isIP(s)", "isCIDR(s)"):
        for text in ("1" * 500_000, "1e" + "9" * 500_000, "1.2." + "3" * 500_000):
            assert timed(lambda s=source, t=text: ENVIRONMENT.compile(s).evaluate({"s": t})) is False


def test_a_budget_is_shared_by_evaluations() -> None:
    program = ENVIRONMENT.compile("strings.all(a, a != '')")
    bindings = {"strings": ["x"] * 100}
    budget = Budget(700)
    assert program.evaluate(bindings, budget) is True
    assert budget.left == 700 - (1 + 100 * 4 + 1)
    with pytest.raises(BudgetExceeded) as caught:
        program.evaluate(bindings, budget)
    assert not caught.value.per_call
    assert str(caught.value) == "operation cancelled: actual cost limit exceeded"


def test_one_evaluation_has_a_limit_of_its_own() -> None:
    program = ENVIRONMENT.compile("strings.all(a, a != '')")
    with pytest.raises(BudgetExceeded) as caught:
        program.evaluate({"strings": ["x"] * 100}, Budget(1000, per_call=100))
    assert caught.value.per_call


def test_a_budget_that_ran_out_is_no_error_that_logic_absorbs() -> None:
    program = ENVIRONMENT.compile("strings.all(a, a != '') || true")
    with pytest.raises(BudgetExceeded):
        program.evaluate({"strings": ["x"] * 100}, Budget(100))


def test_a_failed_evaluation_is_paid_for() -> None:
    budget = Budget(1000)
    with pytest.raises(EvaluationError):
        ENVIRONMENT.compile("strings.all(a, a != '') && strings[500] == ''").evaluate(
            {"strings": ["x"] * 100}, budget
        )
    assert budget.left < 600
