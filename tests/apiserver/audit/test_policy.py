"""Which rule of a policy matches a request, and which files are no policy."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.audit.policy import Level, Policy
from kplane.apiserver.audit.policyfile import read_policy
from kplane.apiserver.auth.authorizer import Attributes
from kplane.apiserver.auth.user import User
from kplane.runtime.process import Fatal

JANE = User("jane", groups=("devs", "system:authenticated"))


def policy(*rules: dict[str, Any]) -> Policy:
    return read_policy({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": list(rules)}, "test")


def about(
    resource: str = "pods", verb: str = "get", namespace: str = "default", group: str = "", **more: Any
) -> Attributes:
    return Attributes(JANE, verb, True, group, "v1", resource, namespace=namespace, **more)


def path(path: str) -> Attributes:
    return Attributes(JANE, "get", False, path=path)


def matches(rule: dict[str, Any], attributes: Attributes) -> bool:
    return policy({"level": "Metadata"} | rule).rule_for(attributes).level is Level.METADATA


def pods(*resources: str, **more: Any) -> dict[str, Any]:
    return {"resources": [{"group": "", "resources": list(resources)} | more]}


@pytest.mark.parametrize(
    ("rule", "attributes", "expected"),
    [
        pytest.param({}, about(), True, id="everything"),
        pytest.param({}, path("/healthz"), True, id="every path"),
        pytest.param({"users": ["jane"]}, about(), True, id="user"),
        pytest.param({"users": ["joe"]}, about(), False, id="other user"),
        pytest.param({"userGroups": ["ops", "devs"]}, about(), True, id="group"),
        pytest.param({"userGroups": ["ops"]}, about(), False, id="other group"),
        pytest.param({"verbs": ["get", "list"]}, about(), True, id="verb"),
        pytest.param({"verbs": ["list"]}, about(), False, id="other verb"),
        pytest.param({"namespaces": ["default"]}, about(), True, id="namespace"),
        pytest.param({"namespaces": ["kube-system"]}, about(), False, id="other namespace"),
        pytest.param({"namespaces": [""]}, about("nodes", namespace=""), True, id="no namespace"),
        pytest.param({"namespaces": [""]}, path("/healthz"), False, id="a path has no namespace"),
        pytest.param(pods(), about(), True, id="group alone"),
        pytest.param(pods(), about(group="apps"), False, id="other API group"),
        pytest.param(pods("pods"), about(), True, id="resource"),
        pytest.param(pods("pods"), about(subresource="log"), False, id="not its subresource"),
        pytest.param(pods("pods/log"), about(subresource="log"), True, id="subresource"),
        pytest.param(pods("pods/*"), about(subresource="log"), True, id="all subresources"),
        pytest.param(pods("pods/*"), about(), True, id="all subresources and itself"),
        pytest.param(pods("*/log"), about(subresource="log"), True, id="subresource of anything"),
        pytest.param(pods("*/log"), about(subresource="exec"), False, id="other subresource of anything"),
        pytest.param(pods("*"), about(subresource="log"), True, id="anything"),
        pytest.param(pods("pods", resourceNames=["web"]), about(name="web"), True, id="name"),
        pytest.param(pods("pods", resourceNames=["web"]), about(name="db"), False, id="other name"),
        pytest.param(pods("pods"), path("/healthz"), False, id="a path is no resource"),
        pytest.param({"nonResourceURLs": ["/healthz"]}, path("/healthz"), True, id="path"),
        pytest.param({"nonResourceURLs": ["/healthz"]}, path("/healthz/etcd"), False, id="longer path"),
        pytest.param({"nonResourceURLs": ["/healthz*"]}, path("/healthz/etcd"), True, id="pattern"),
        pytest.param({"nonResourceURLs": ["*"]}, path("/version"), True, id="all paths"),
        pytest.param({"nonResourceURLs": ["*"]}, about(), False, id="a resource is no path"),
    ],
)
def test_a_rule_matches(rule: dict[str, Any], attributes: Attributes, expected: bool) -> None:
    assert matches(rule, attributes) is expected


def test_the_first_rule_that_matches_decides() -> None:
    found = policy({"level": "None", "users": ["jane"]}, {"level": "RequestResponse"})

    assert found.rule_for(about()).level is Level.NONE


def test_what_no_rule_matches_is_not_recorded() -> None:
    assert policy({"level": "Metadata", "verbs": ["list"]}).rule_for(about()).level is Level.NONE


def test_nobody_is_in_no_rule_about_users() -> None:
    found = policy({"level": "Request", "users": ["jane"]}, {"level": "Metadata"})

    assert found.rule_for(about(), anybody=True).level is Level.METADATA


def test_stages_are_omitted_by_rule_and_by_policy_together() -> None:
    content = {
        "apiVersion": "audit.k8s.io/v1",
        "kind": "Policy",
        "omitStages": ["Panic"],
        "rules": [{"level": "Metadata", "omitStages": ["RequestReceived"]}],
    }

    assert read_policy(content, "test").rules[0].omits == {"Panic", "RequestReceived"}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ({}, "rules[0].level: Required value"),
        (
            {"level": "All"},
            'rules[0].level: Unsupported value: "All": supported values: "None", "Metadata", "Request", '
            '"RequestResponse"',
        ),
        (
            {"level": "None", "nonResourceURLs": ["healthz"]},
            'rules[0].nonResourceURLs[0]: Invalid value: "healthz": non-resource URL rules must begin with '
            "a '/' character",
        ),
        (
            {"level": "None", "nonResourceURLs": ["/a*b"]},
            "rules[0].nonResourceURLs[0]: Invalid value: \"/a*b\": non-resource URL wildcards '*' must be "
            "the final character of the rule",
        ),
        (
            {"level": "None", "resources": [{"group": "", "resourceNames": ["a"]}]},
            'rules[0].resources.resourceNames: Invalid value: ["a"]: using resourceNames requires at least '
            "one resource",
        ),
        (
            {"level": "None", "omitStages": ["Start"]},
            'rules[0].omitStages[0]: Invalid value: "Start": allowed stages are RequestReceived,'
            "ResponseStarted,ResponseComplete,Panic",
        ),
        (
            {"level": "None", "nonResourceURLs": ["/a"], "namespaces": ["b"]},
            'rules[0].nonResourceURLs: Invalid value: ["/a"]: rules cannot apply to both regular resources '
            "and non-resource URLs",
        ),
    ],
)
def test_faults_of_a_rule_are_told(rule: dict[str, Any], message: str) -> None:
    with pytest.raises(Fatal) as caught:
        policy(rule)

    assert str(caught.value) == f"loading audit policy file: {message}"


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([], id="no object"),
        pytest.param({"apiVersion": "v1", "kind": "Policy", "rules": [{"level": "None"}]}, id="version"),
        pytest.param({"apiVersion": "audit.k8s.io/v1", "kind": "Policy"}, id="no rules"),
        pytest.param({"apiVersion": "audit.k8s.io/v1", "kind": "Policy", "rules": "all"}, id="type"),
    ],
)
def test_a_file_that_is_no_policy_is_refused(content: Any) -> None:
    with pytest.raises(Fatal):
        read_policy(content, "test")


def test_unknown_fields_are_told_and_ignored(caplog: pytest.LogCaptureFixture) -> None:
    found = policy({"level": "Metadata", "lvl": "None", "resources": [{"group": "", "kinds": ["Pod"]}]})

    assert found.rules[0].level is Level.METADATA
    assert "rules[0].lvl, rules[0].resources[0].kinds" in caplog.text
