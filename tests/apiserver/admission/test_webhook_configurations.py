# ruff: noqa: E501 -- messages are upstream's, in one piece
"""Which webhook configurations are accepted, and match conditions."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap
from .conftest import MUTATING, VALIDATING, Hooks, rule

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
URL = "; desired format: https://host[/path]"


def webhook(**fields: Any) -> dict[str, Any]:
    return {
        "name": "hook.example.com",
        "clientConfig": {"url": "https://hook.example.com/x"},
        "rules": [rule()],
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    } | fields


def service(**fields: Any) -> dict[str, Any]:
    return {"clientConfig": {"service": {"name": "hook", "namespace": "default"} | fields}}


async def test_defaults(api: Api) -> None:
    made = await api.make(MUTATING, {"metadata": {"name": "m"}, "webhooks": [webhook(**service())]})

    [found] = made["webhooks"]
    assert made["metadata"]["generation"] == 1
    assert {name: found[name] for name in ("failurePolicy", "matchPolicy", "timeoutSeconds")} == {
        "failurePolicy": "Fail",
        "matchPolicy": "Equivalent",
        "timeoutSeconds": 10,
    }
    assert found["namespaceSelector"] == found["objectSelector"] == {}
    assert found["reinvocationPolicy"] == "Never"
    assert found["rules"][0]["scope"] == "*"
    assert found["clientConfig"]["service"]["port"] == 443


CONDITION = {"name": "c", "expression": "true"}
FAULTS: dict[str, tuple[dict[str, Any], str]] = {
    "no-name": ({"name": ""}, "webhooks[0].name: Required value"),
    "short-name": (
        {"name": "a.b"},
        'webhooks[0].name: Invalid value: "a.b": should be a domain with at least three segments separated by '
        "dots",
    ),
    "operations": (
        {"rules": [rule(operations="")]},
        "webhooks[0].rules[0].operations: Required value",
    ),
    "wild-operations": (
        {"rules": [rule(operations="* CREATE")]},
        'webhooks[0].rules[0].operations: Invalid value: ["*","CREATE"]: if \'*\' is present, must not specify '
        "other operations",
    ),
    "unknown-operation": (
        {"rules": [rule(operations="WATCH")]},
        'webhooks[0].rules[0].operations[0]: Unsupported value: "WATCH": supported values: "*", "CONNECT", '
        '"CREATE", "DELETE", "UPDATE"',
    ),
    "wild-groups": (
        {"rules": [rule(apiGroups=["*", "apps"])]},
        'webhooks[0].rules[0].apiGroups: Invalid value: ["*","apps"]: if \'*\' is present, must not specify other '
        "API groups",
    ),
    "empty-version": (
        {"rules": [rule(apiVersions=[""])]},
        "webhooks[0].rules[0].apiVersions[0]: Required value",
    ),
    "resources": ({"rules": [rule("")]}, "webhooks[0].rules[0].resources: Required value"),
    "wild-subresource": (
        {"rules": [rule("pods/* pods/status")]},
        "webhooks[0].rules[0].resources[1]: Invalid value: \"pods/status\": if 'pods/*' is present, must not specify "
        "pods/status",
    ),
    "wild-resource": (
        {"rules": [rule("* pods")]},
        'webhooks[0].rules[0].resources: Invalid value: ["*","pods"]: if \'*\' is present, must not specify other '
        "resources without subresources",
    ),
    "everything": (
        {"rules": [rule("*/* pods")]},
        'webhooks[0].rules[0].resources: Invalid value: ["*/*","pods"]: if \'*/*\' is present, must not specify '
        "other resources",
    ),
    "scope": (
        {"rules": [rule(scope="Pod")]},
        'webhooks[0].rules[0].scope: Unsupported value: "Pod": supported values: "*", "Cluster", "Namespaced"',
    ),
    "failure-policy": (
        {"failurePolicy": "Maybe"},
        'webhooks[0].failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"',
    ),
    "match-policy": (
        {"matchPolicy": "Fuzzy"},
        'webhooks[0].matchPolicy: Unsupported value: "Fuzzy": supported values: "Equivalent", "Exact"',
    ),
    "side-effects": (
        {"sideEffects": "Some"},
        'webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun"',
    ),
    "no-side-effects": (
        {"sideEffects": None},
        "webhooks[0].sideEffects: Required value: must specify one of None, NoneOnDryRun",
    ),
    "timeout": (
        {"timeoutSeconds": 31},
        "webhooks[0].timeoutSeconds: Invalid value: 31: the timeout value must be between 1 and 30 seconds",
    ),
    "selector": (
        {"objectSelector": {"matchExpressions": [{"key": "a", "operator": "Near"}]}},
        'webhooks[0].objectSelector.matchExpressions[0].operator: Invalid value: "Near": not a valid selector '
        "operator",
    ),
    "reinvocation": (
        {"reinvocationPolicy": "Always"},
        'webhooks[0].reinvocationPolicy: Unsupported value: "Always": supported values: "IfNeeded", "Never"',
    ),
    "no-client": (
        {"clientConfig": {}},
        "webhooks[0].clientConfig: Required value: exactly one of url or service",
    ),
    "two-clients": (
        {"clientConfig": {"url": "https://x"} | service()["clientConfig"]},
        "webhooks[0].clientConfig: Required value: exactly one of url or service is required",
    ),
    "http": (
        {"clientConfig": {"url": "http://x"}},
        f"webhooks[0].clientConfig.url: Invalid value: \"http\": 'https' is the only allowed URL scheme{URL}",
    ),
    "no-host": (
        {"clientConfig": {"url": "https:///x"}},
        f'webhooks[0].clientConfig.url: Invalid value: "": host must be specified{URL}',
    ),
    "user": (
        {"clientConfig": {"url": "https://me:secret@x"}},
        'webhooks[0].clientConfig.url: Invalid value: "me": user information is not permitted in the URL',
    ),
    "query": (
        {"clientConfig": {"url": "https://x/?a=b"}},
        'webhooks[0].clientConfig.url: Invalid value: "a=b": query parameters are not permitted in the URL',
    ),
    "fragment": (
        {"clientConfig": {"url": "https://x/#a"}},
        'webhooks[0].clientConfig.url: Invalid value: "a": fragments are not permitted in the URL',
    ),
    "service-name": (service(name=""), "webhooks[0].clientConfig.service.name: Required value: service name"),
    "service-port": (
        service(port=70000),
        "webhooks[0].clientConfig.service.port: Invalid value: 70000: port is not valid: must be between 1 and",
    ),
    "service-path": (
        service(path="/a//b"),
        'webhooks[0].clientConfig.service.path: Invalid value: "/a//b": segment[1] may not be empty',
    ),
    "relative-path": (
        service(path="ab"),
        "webhooks[0].clientConfig.service.path: Invalid value: \"ab\": must start with a '/'",
    ),
    "no-versions": (
        {"admissionReviewVersions": []},
        "webhooks[0].admissionReviewVersions: Required value: must specify one of v1, v1beta1",
    ),
    "same-version": (
        {"admissionReviewVersions": ["v1", "v1"]},
        'webhooks[0].admissionReviewVersions[1]: Invalid value: "v1": duplicate version',
    ),
    "unknown-versions": (
        {"admissionReviewVersions": ["v2"]},
        'webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1',
    ),
    "many-conditions": (
        {"matchConditions": [CONDITION | {"name": f"c{index}"} for index in range(65)]},
        "webhooks[0].matchConditions: Too many: 65: must have at most 64 items",
    ),
    "same-condition": (
        {"matchConditions": [CONDITION, CONDITION]},
        'webhooks[0].matchConditions[1].name: Duplicate value: "c"',
    ),
    "no-expression": (
        {"matchConditions": [CONDITION | {"expression": " "}]},
        "webhooks[0].matchConditions[0].expression: Required value",
    ),
    "syntax": (
        {"matchConditions": [CONDITION | {"expression": "object."}]},
        'webhooks[0].matchConditions[0].expression: Invalid value: "object.": compilation failed: ERROR: <input>:1:',
    ),
    "no-boolean": (
        {"matchConditions": [CONDITION | {"expression": "1"}]},
        'webhooks[0].matchConditions[0].expression: Invalid value: "1": must evaluate to bool but got int',
    ),
    "unknown-field": (
        {"matchConditions": [CONDITION | {"expression": "request.nothing == ''"}]},
        "undefined field 'nothing'",
    ),
}


@pytest.mark.parametrize(("fields", "text"), [pytest.param(*row, id=name) for name, row in FAULTS.items()])
async def test_faults(api: Api, fields: dict[str, Any], text: str) -> None:
    made = webhook(**fields)
    made = {name: value for name, value in made.items() if value is not None}

    answer = await api("POST", MUTATING, {"metadata": {"name": "m"}, "webhooks": [made]})

    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert text in answer.body["message"]
    assert "secret" not in answer.body["message"]


async def test_names_are_unique_in_a_configuration(api: Api) -> None:
    answer = await api("POST", VALIDATING, {"metadata": {"name": "m"}, "webhooks": [webhook(), webhook()]})

    assert 'webhooks[1].name: Duplicate value: "hook.example.com"' in answer.body["message"]


async def test_rules_about_reviews_are_warned_of(api: Api) -> None:
    reviews = rule("tokenreviews", apiGroups=["authentication.k8s.io"], apiVersions=["v1"])

    body = {"metadata": {"name": "v"}, "webhooks": [webhook(rules=[rule(), reviews])]}
    answer = await api("POST", VALIDATING, body)

    assert answer.code == 201
    assert answer.headers["warning"] == (
        '299 - "webhooks[0].rules[1]: tokenreviews.authentication.k8s.io is excluded from admission webhooks; '
        'this rule will have no effect"'
    )


@pytest.mark.parametrize(
    ("expression", "met"),
    [
        pytest.param("object.data.color == 'blue'", True, id="object"),
        pytest.param("object.data.color == 'red'", False, id="another-object"),
        pytest.param("oldObject == null", True, id="old"),
        pytest.param("request.operation == 'CREATE' && request.namespace == 'default'", True, id="request"),
        pytest.param("request.userInfo.username == 'admin'", True, id="user"),
        pytest.param("'system:masters' in request.userInfo.groups && !request.dryRun", True, id="groups"),
        pytest.param("request.resource.resource == 'pods'", False, id="resource"),
        pytest.param("authorizer.requestResource.check('breakglass').allowed()", True, id="permission"),
        pytest.param(
            "authorizer.serviceAccount('default', 'x').group('apps').resource('deployments').check('get').allowed()"
            " && !authorizer.path('/healthz').check('get').allowed()",
            False,
            id="two-questions",
        ),
    ],
)
async def test_match_conditions_choose_requests(api: Api, hooks: Hooks, expression: str, met: bool) -> None:
    conditions = [{"name": "always", "expression": "true"}, {"name": "c", "expression": expression}]
    await hooks.validating(hooks.webhook("v", matchConditions=conditions))
    await hooks.mutating(hooks.webhook("m", matchConditions=conditions))

    await api.make(CONFIGMAPS, configmap())

    assert [path for path, _ in hooks.asked] == (["m", "v"] if met else [])


async def test_a_condition_without_a_value_is_a_failure_unless_another_is_false(
    api: Api, hooks: Hooks
) -> None:
    broken = {"name": "broken", "expression": "object.nothing == 1"}
    false = {"name": "false", "expression": "object.data.color == 'red'"}
    await hooks.validating(hooks.webhook(matchConditions=[broken, false]))
    await api.make(CONFIGMAPS, configmap("a"))

    await hooks.validating(hooks.webhook("open", matchConditions=[broken], failurePolicy="Ignore"), name="w")
    await api.make(CONFIGMAPS, configmap("b"))

    await hooks.validating(hooks.webhook("closed", matchConditions=[broken]), name="x")
    answer = await api("POST", CONFIGMAPS, configmap("c"))

    assert not hooks.asked
    assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == (
        "configmaps \"c\" is forbidden: expression 'object.nothing == 1' resulted in error: no such key: nothing"
    )
