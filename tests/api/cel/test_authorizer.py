"""Authorization checks out of expressions: what is asked, what is answered, what it costs."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.cel import Budget, BudgetExceeded, Environment, EvaluationError
from kplane.api.cel.library.authorizer import (
    AUTHORIZER,
    CHECK_COST,
    RESOURCE_CHECK,
    Authorizer,
    Check,
    Decision,
    ResourceCheck,
    Undecided,
)

ENVIRONMENT = Environment({"authorizer": AUTHORIZER, "authorizer.requestResource": RESOURCE_CHECK})


class Asked:
    """Remembers the checks and gives one answer."""

    def __init__(self, answer: Decision) -> None:
        self.answer = answer
        self.checks: list[Check] = []

    def __call__(self, check: Check) -> Decision:
        self.checks.append(check)
        return self.answer


def evaluate(source: str, decide: Any, budget: Budget | None = None) -> Any:
    return ENVIRONMENT.compile(source, expected=None).evaluate({"authorizer": Authorizer(decide)}, budget)


@pytest.mark.parametrize(
    ("source", "check"),
    [
        ("authorizer.path('/healthz').check('get')", Check("get", path="/healthz")),
        ("authorizer.group('').resource('pods').check('list')", Check("list", resource="pods")),
        (
            "authorizer.group('apps').resource('deployments').subresource('scale').namespace('n').name('d')"
            ".check('update')",
            Check(
                "update", group="apps", resource="deployments", subresource="scale", namespace="n", name="d"
            ),
        ),
        (
            "authorizer.group('').resource('pods').fieldSelector('a=b').labelSelector('c').check('list')",
            Check("list", resource="pods", field_selector="a=b", label_selector="c"),
        ),
        (
            "authorizer.serviceAccount('ns', 'sa').group('').resource('pods').check('get')",
            Check("get", resource="pods", service_account=("ns", "sa")),
        ),
    ],
)
def test_a_check_is_built_step_by_step(source: str, check: Check) -> None:
    asked = Asked(Decision(True))
    assert evaluate(f"{source}.allowed()", asked) is True
    assert asked.checks == [check]


def test_the_decision_can_be_read() -> None:
    asked = Asked(Decision(False, reason="no rule", error="it broke"))
    check = "authorizer.path('/x').check('get')"
    assert evaluate(f"!{check}.allowed()", asked) is True
    assert evaluate(f"{check}.reason()", asked) == "no rule"
    assert evaluate(f"{check}.errored() && {check}.error() == 'it broke'", asked) is True


def test_the_resource_of_the_request_is_a_variable_with_a_dot_in_its_name() -> None:
    asked = Asked(Decision(True))
    program = ENVIRONMENT.compile("authorizer.requestResource.check('custom').allowed()")
    assert program.references == {"authorizer.requestResource"}
    resource = ResourceCheck(asked, Check(resource="pods", namespace="n", name="p"))
    assert program.evaluate({"authorizer.requestResource": resource}) is True
    assert asked.checks == [Check("custom", resource="pods", namespace="n", name="p")]


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("authorizer.path(' ')", "path must not be empty"),
        ("authorizer.group('').resource('')", "resource must not be empty"),
        ("authorizer.serviceAccount('ns', 'A B')", "Invalid service account name"),
        ("authorizer.serviceAccount('n.s', 'sa')", "Invalid service account namespace"),
    ],
)
def test_what_cannot_be_asked(source: str, message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        evaluate(source, Asked(Decision(True)))


def test_one_evaluation_affords_two_checks() -> None:
    check = "authorizer.path('/x').check('get').allowed()"
    asked = Asked(Decision(True))
    assert evaluate(f"{check} && {check}", asked) is True
    with pytest.raises(BudgetExceeded):
        evaluate(f"{check} && {check} && {check}", asked, Budget(10**9))
    assert ENVIRONMENT.compile(check).estimate().most == CHECK_COST + 3


def test_an_answer_that_must_be_waited_for_is_asked_outside() -> None:
    known: dict[Check, Decision] = {}

    def decide(check: Check) -> Decision:
        if check not in known:
            raise Undecided(check)
        return known[check]

    source = "authorizer.path('/x').check('get').allowed() || true"
    with pytest.raises(Undecided) as caught:
        evaluate(source, decide)
    known[caught.value.check] = Decision(False)
    assert evaluate(source, decide) is True
