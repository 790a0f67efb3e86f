"""Rules: what one allows, and which cover which."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.auth.authorizer import Attributes
from kplane.apiserver.auth.rbac.rules import MAX_PARTS, Rule, compact, uncovered
from kplane.apiserver.auth.user import User

ANN = User("ann")


def asked(verb: str, what: str, group: str = "", name: str = "") -> Attributes:
    if what.startswith("/"):
        return Attributes(ANN, verb, False, path=what)
    resource, _, subresource = what.partition("/")
    return Attributes(ANN, verb, group=group, resource=resource, subresource=subresource, name=name)


def on(verbs: str, resources: str, groups: str = "", names: str = "") -> Rule:
    return Rule(
        tuple(verbs.split()),
        tuple(groups.split()) or ("",),
        tuple(resources.split()),
        tuple(names.split()),
    )


def at(verbs: str, *paths: str) -> Rule:
    return Rule(tuple(verbs.split()), paths=paths)


@pytest.mark.parametrize(
    ("rule", "question", "allowed"),
    [
        (on("get", "pods"), asked("get", "pods"), True),
        (on("get", "pods"), asked("list", "pods"), False),
        (on("*", "pods"), asked("list", "pods"), True),
        (on("get", "pods"), asked("get", "pods", "apps"), False),
        (on("get", "pods", "*"), asked("get", "pods", "apps"), True),
        (on("get", "*"), asked("get", "pods"), True),
        (on("get", "*"), asked("get", "pods/log"), True),
        (on("get", "pods"), asked("get", "pods/log"), False),
        (on("get", "pods/log"), asked("get", "pods/log"), True),
        (on("get", "pods/log"), asked("get", "pods"), False),
        (on("get", "*/scale"), asked("get", "deployments/scale"), True),
        (on("get", "*/scale"), asked("get", "deployments/status"), False),
        (on("get", "*/scale"), asked("get", "deployments"), False),
        (on("get", "pods/*"), asked("get", "pods/log"), False),
        (on("get", "pods", names="a b"), asked("get", "pods", name="b"), True),
        (on("get", "pods", names="a b"), asked("get", "pods", name="c"), False),
        (on("list", "pods", names="a"), asked("list", "pods"), False),
        (on("get", "pods"), asked("get", "/pods"), False),
        (on("*", "*", "*"), asked("get", "/healthz"), False),
        (at("get", "/healthz"), asked("get", "/healthz"), True),
        (at("get", "/healthz"), asked("get", "/healthz/etcd"), False),
        (at("get", "/healthz/*"), asked("get", "/healthz/etcd"), True),
        (at("get", "/healthz/*"), asked("get", "/healthz"), False),
        (at("get", "/health*"), asked("get", "/healthz"), True),
        (at("get", "*"), asked("get", "/anything"), True),
        (at("get", "*"), asked("post", "/anything"), False),
        (at("*", "*"), asked("get", "pods"), False),
    ],
)
def test_a_rule_allows(rule: Rule, question: Attributes, allowed: bool) -> None:
    assert rule.allows(question) is allowed


@pytest.mark.parametrize(
    ("owned", "wanted", "missing"),
    [
        ([on("get list", "pods")], [on("get", "pods")], []),
        ([on("get", "pods"), on("list", "pods")], [on("get list", "pods")], []),
        ([on("get", "pods")], [on("get list", "pods")], [on("list", "pods")]),
        ([on("*", "*", "*")], [on("get", "pods/log", "x")], []),
        ([on("*", "*", "*")], [at("get", "/x")], [at("get", "/x")]),
        ([on("get", "pods")], [on("*", "pods")], [on("*", "pods")]),
        ([on("get", "pods", names="a")], [on("get", "pods", names="a b")], [on("get", "pods", names="b")]),
        ([on("get", "pods", names="a")], [on("get", "pods")], [on("get", "pods")]),
        ([on("get", "pods")], [on("get", "pods", names="a")], []),
        ([on("get", "*/scale")], [on("get", "deployments/scale")], []),
        ([on("get", "*/scale")], [on("get", "*/scale")], []),
        ([on("get", "*/scale")], [on("get", "deployments")], [on("get", "deployments")]),
        ([at("get", "/api/*")], [at("get", "/api/v1", "/apis")], [at("get", "/apis")]),
        ([at("get", "/api/*")], [at("get", "/api*")], [at("get", "/api*")]),
        ([], [on("get", "pods")], [on("get", "pods")]),
    ],
)
def test_what_is_not_held_is_told_in_its_parts(
    owned: list[Rule], wanted: list[Rule], missing: list[Rule]
) -> None:
    assert uncovered(owned, wanted) == missing


def test_missing_parts_are_told_together() -> None:
    parts = uncovered([], [on("get list", "pods", names="a b"), at("get", "/x"), on("watch", "pods")])

    assert [str(rule) for rule in compact(parts)] == [
        '{APIGroups:[""] Resources:["pods"] ResourceNames:["a"] Verbs:["get" "list"]}'.replace("] ", "], "),
        '{APIGroups:[""] Resources:["pods"] ResourceNames:["b"] Verbs:["get" "list"]}'.replace("] ", "], "),
        '{NonResourceURLs:["/x"], Verbs:["get"]}',
        '{APIGroups:[""], Resources:["pods"], Verbs:["watch"]}',
    ]


@pytest.mark.parametrize("owned", [[], [on("*", "*", "*")]])
def test_a_rule_of_a_billion_parts_is_judged_as_a_whole(owned: list[Any]) -> None:
    names = tuple(f"n{index}" for index in range(1000))
    rule = Rule(names, names, names)
    assert len(names) ** 3 > MAX_PARTS

    assert uncovered(owned, [rule]) == ([] if owned else [rule])
