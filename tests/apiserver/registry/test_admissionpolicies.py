"""Which admission policies and bindings are accepted, and what is said of others."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.apiserver.registry.admissionpolicies import (
    AdmissionPolicyBindingStrategy,
    MutatingAdmissionPolicyStrategy,
    ValidatingAdmissionPolicyStrategy,
)
from kplane.apiserver.registry.strategy import Strategy

from ..conftest import Api

VALIDATING = ValidatingAdmissionPolicyStrategy()
MUTATING = MutatingAdmissionPolicyStrategy()
VALIDATING_BINDING = AdmissionPolicyBindingStrategy(mutating=False)
MUTATING_BINDING = AdmissionPolicyBindingStrategy(mutating=True)
GROUP = "/apis/admissionregistration.k8s.io/v1"
RULE = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
CONFIG_MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}


def obj(**spec: Any) -> Object:
    return {"metadata": {"name": "p"}, "spec": spec}


def validating(**spec: Any) -> Object:
    sound = {"matchConstraints": {"resourceRules": [RULE]}, "validations": [{"expression": "true"}]}
    return deepcopy(obj(**sound | spec))


def validation(**fields: Any) -> Object:
    return validating(validations=[{"expression": "true"} | fields])


def mutating(**spec: Any) -> Object:
    sound = {
        "matchConstraints": {"resourceRules": [RULE]},
        "reinvocationPolicy": "Never",
        "mutations": [{"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}],
    }
    return deepcopy(obj(**sound | spec))


def binding(**spec: Any) -> Object:
    return deepcopy(obj(**{"policyName": "p", "validationActions": ["Deny"]} | spec))


def faults(strategy: Strategy, made: Object) -> list[str]:
    strategy.default(made)
    return [str(fault) for fault in strategy.validate(made, Path())]


def test_sound_policies_and_bindings_have_no_faults() -> None:
    assert faults(VALIDATING, validating()) == []
    assert faults(MUTATING, mutating()) == []
    assert faults(VALIDATING_BINDING, binding()) == []
    assert faults(MUTATING_BINDING, obj(policyName="p")) == []


def test_defaults() -> None:
    made = validating()
    VALIDATING.default(made)
    assert made["spec"]["failurePolicy"] == "Fail"
    constraints = made["spec"]["matchConstraints"]
    assert constraints["matchPolicy"] == "Equivalent"
    assert constraints["namespaceSelector"] == constraints["objectSelector"] == {}
    assert constraints["resourceRules"][0]["scope"] == "*"
    bound = binding(matchResources={"excludeResourceRules": [dict(RULE)]})
    VALIDATING_BINDING.default(bound)
    assert bound["spec"]["matchResources"]["excludeResourceRules"][0]["scope"] == "*"


def undeclared(source: str, name: str, column: int) -> str:
    caret = "." * (column - 1) + "^"
    return (
        f'Invalid value: "{source}": compilation failed: ERROR: <input>:1:{column}: undeclared reference to '
        f"'{name}' (in container '')\n | {source}\n | {caret}"
    )


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (
            obj(),
            [
                "spec.matchConstraints: Required value",
                "spec.validations: Required value: validations or auditAnnotations must contain at least "
                "one item",
                "spec.auditAnnotations: Required value: validations or auditAnnotations must contain at "
                "least one item",
            ],
        ),
        (
            validating(failurePolicy="Maybe"),
            ['spec.failurePolicy: Unsupported value: "Maybe": supported values: "Fail", "Ignore"'],
        ),
        (
            validating(matchConstraints={}),
            ["spec.matchConstraints.resourceRules: Required value"],
        ),
        (
            validating(paramKind={"apiVersion": "a/b/c", "kind": "a b"}),
            [
                'spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c',
                'spec.paramKind.kind: Invalid value: "a b": may have mixed case, but should otherwise match: '
                "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an "
                "alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or "
                "'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')",
            ],
        ),
        (
            validating(paramKind={}),
            ["spec.paramKind.apiVersion: Required value", "spec.paramKind.kind: Required value"],
        ),
        (
            validation(expression=" "),
            ["spec.validations[0].expression: Required value: expression is not specified"],
        ),
        (
            validation(expression="params.x"),
            ["spec.validations[0].expression: " + undeclared("params.x", "params", 1)],
        ),
        (
            validation(expression="variables.x"),
            ["spec.validations[0].expression: " + undeclared("variables.x", "variables", 1)],
        ),
        (
            validation(expression="object.x"),
            ['spec.validations[0].expression: Invalid value: "object.x": must evaluate to bool but got dyn'],
        ),
        (
            validation(messageExpression="1"),
            [
                'spec.validations[0].messageExpression: Invalid value: "1": must evaluate to string but got '
                "int"
            ],
        ),
        (
            validation(messageExpression="authorizer"),
            ["spec.validations[0].messageExpression: " + undeclared("authorizer", "authorizer", 1)],
        ),
        (
            validation(messageExpression=" ", message=" "),
            [
                'spec.validations[0].messageExpression: Invalid value: " ": must be non-empty if specified',
                'spec.validations[0].message: Invalid value: " ": message must be non-empty if specified',
            ],
        ),
        (
            validation(message="a\nb"),
            ['spec.validations[0].message: Invalid value: "a\\nb": message must not contain line breaks'],
        ),
        (
            validation(reason="Gone"),
            [
                'spec.validations[0].reason: Unsupported value: "Gone": supported values: "Forbidden", '
                '"Invalid", "RequestEntityTooLarge"'
            ],
        ),
        (
            validating(variables=[{"name": "in", "expression": "1"}, {"name": "", "expression": " "}]),
            [
                'spec.variables[0].name: Invalid value: "in": name is not a valid CEL identifier',
                "spec.variables[1].name: Required value: name is not specified",
                "spec.variables[1].expression: Required value: expression is not specified",
            ],
        ),
        (
            validating(
                variables=[
                    {"name": "a", "expression": "variables.b"},
                    {"name": "b", "expression": "1"},
                    {"name": "c", "expression": "variables.b + 'x'"},
                ]
            ),
            [
                'spec.variables[0].expression: Invalid value: "variables.b": compilation failed: ERROR: '
                "<input>:1:10: undefined field 'b'\n | variables.b\n | .........^",
                "spec.variables[2].expression: Invalid value: \"variables.b + 'x'\": compilation failed: "
                "ERROR: <input>:1:13: found no matching overload for '_+_' applied to '(int, string)'\n"
                " | variables.b + 'x'\n | ............^",
            ],
        ),
        (
            validating(validations=[], auditAnnotations=[{"key": "k", "valueExpression": "1"}]),
            [
                'spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of '
                "[string null_type] but got int"
            ],
        ),
        (
            validating(auditAnnotations=[{"key": "k", "valueExpression": "''"}] * 2),
            ['spec.auditAnnotations[1].key: Duplicate value: "k"'],
        ),
        (
            validating(auditAnnotations=[{"key": "k", "valueExpression": "'" + "x" * 5120 + "'"}]),
            [
                "spec.auditAnnotations[0].valueExpression: Required value: must not exceed 5120 bytes in "
                "length"
            ],
        ),
        (
            validating(matchConditions=[{"name": "n", "expression": "params == null"}]),
            ["spec.matchConditions[0].expression: " + undeclared("params == null", "params", 1)],
        ),
        (
            validating(
                paramKind=CONFIG_MAPS, matchConditions=[{"name": "n", "expression": "params == null"}]
            ),
            [],
        ),
    ],
)
def test_faults_of_validating_policies(made: Object, wanted: list[str]) -> None:
    assert faults(VALIDATING, deepcopy(made)) == wanted


def test_twenty_audit_annotations_are_enough() -> None:
    annotations = [{"key": f"k{n}", "valueExpression": "''"} for n in range(21)]
    (fault,) = faults(VALIDATING, validating(auditAnnotations=annotations))
    assert fault.startswith("spec.auditAnnotations: Invalid value: [")
    assert fault.endswith("must not have more than 20 auditAnnotations")


def test_keys_of_audit_annotations_are_qualified_by_the_policy() -> None:
    (fault,) = faults(VALIDATING, validating(auditAnnotations=[{"key": "a b", "valueExpression": "''"}]))
    assert fault.startswith('spec.auditAnnotations[0].key: Invalid value: "p/a b": name part must consist of')


def rules(**more: Any) -> dict[str, Any]:
    return {"matchConstraints": {"resourceRules": [RULE | more]}}


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (
            rules(resourceNames=["a", "a", ".."]),
            [
                'spec.matchConstraints.resourceRules[0].resourceNames[1]: Duplicate value: "a"',
                'spec.matchConstraints.resourceRules[0].resourceNames[2]: Invalid value: "..": may not be '
                "'..'",
            ],
        ),
        (
            rules(operations=["*", "CREATE"]),
            [
                'spec.matchConstraints.resourceRules[0].operations: Invalid value: ["*","CREATE"]: if '
                "'*' is present, must not specify other operations"
            ],
        ),
        (
            {"matchConstraints": {"resourceRules": [RULE], "matchPolicy": "Other"}},
            [
                'spec.matchConstraints.matchPolicy: Unsupported value: "Other": supported values: '
                '"Equivalent", "Exact"'
            ],
        ),
        (
            {"matchConstraints": {"resourceRules": [RULE], "objectSelector": {"matchLabels": {"a": "b c"}}}},
            [
                'spec.matchConstraints.objectSelector.matchLabels: Invalid value: "b c": a valid label must '
                "be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start "
                "and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex "
                "used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
            ],
        ),
    ],
)
def test_faults_of_what_policies_are_about(made: Object, wanted: list[str]) -> None:
    assert faults(VALIDATING, validating(**deepcopy(made))) == wanted


def patch(kind: str = "", **parts: str) -> Object:
    named = {name: {"expression": text} for name, text in parts.items()}
    return mutating(mutations=[({"patchType": kind} if kind else {}) | named])


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (
            obj(),
            [
                "spec.matchConstraints: Required value",
                "spec.mutations: Required value: mutations must contain at least one item",
                "spec.reinvocationPolicy: Required value",
            ],
        ),
        (
            mutating(reinvocationPolicy="Often"),
            ['spec.reinvocationPolicy: Unsupported value: "Often": supported values: "IfNeeded", "Never"'],
        ),
        (
            mutating(**rules(operations=["DELETE"])),
            [
                'spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported '
                'values: "*", "CONNECT", "CREATE", "UPDATE"'
            ],
        ),
        (patch(jsonPatch="[]"), ["spec.mutations[0].patchType: Required value"]),
        (
            patch("Other", jsonPatch="[]"),
            [
                'spec.mutations[0].patchType: Unsupported value: "Other": supported values: '
                '"ApplyConfiguration", "JSONPatch"'
            ],
        ),
        (
            patch("JSONPatch", applyConfiguration="Object{}"),
            [
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                'spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be '
                "specified when patchType is JSONPatch",
            ],
        ),
        (patch("JSONPatch", jsonPatch=" "), ["spec.mutations[0].jsonPatch.expression: Required value"]),
        (
            patch("JSONPatch", jsonPatch="object"),
            [
                'spec.mutations[0].jsonPatch.expression: Invalid value: "object": must evaluate to '
                "list(JSONPatch) but got dyn"
            ],
        ),
        (
            patch("ApplyConfiguration", applyConfiguration="Object{a: params.b}"),
            [
                "spec.mutations[0].applyConfiguration.expression: "
                + undeclared("Object{a: params.b}", "params", 11)
            ],
        ),
        (
            mutating(variables=[{"name": "o", "expression": "Object{}"}]),
            [
                'spec.variables[0].expression: Invalid value: "Object{}": compilation failed: ERROR: '
                "<input>:1:7: undeclared reference to 'Object' (in container '')\n | Object{}\n | ......^"
            ],
        ),
    ],
)
def test_faults_of_mutating_policies(made: Object, wanted: list[str]) -> None:
    assert faults(MUTATING, deepcopy(made)) == wanted


def ref(**fields: Any) -> Object:
    return binding(paramRef={"parameterNotFoundAction": "Deny"} | fields)


@pytest.mark.parametrize(
    ("made", "wanted"),
    [
        (obj(validationActions=["Deny"]), ["spec.policyName: Required value"]),
        (ref(), ["spec.paramRef: Required value: one of name or selector must be specified"]),
        (
            ref(name="a", selector={}),
            [
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
            ],
        ),
        (
            ref(name="a", parameterNotFoundAction=None),
            ["spec.paramRef.parameterNotFoundAction: Required value"],
        ),
        (
            ref(name="a", parameterNotFoundAction="Warn"),
            [
                'spec.paramRef.parameterNotFoundAction: Unsupported value: "Warn": supported values: '
                '"Deny", "Allow"'
            ],
        ),
        (
            binding(validationActions=[]),
            ["spec.validationActions: Required value: at least one validation action is required"],
        ),
        (
            binding(validationActions=["Deny", "Warn", "Deny", "Shout"]),
            [
                'spec.validationActions[2]: Duplicate value: "Deny"',
                'spec.validationActions[3]: Unsupported value: "Shout": supported values: "Audit", "Deny", '
                '"Warn"',
                'spec.validationActions: Invalid value: ["Deny","Warn","Deny","Shout"]: must not contain '
                "both Deny and Warn (repeating the same validation failure information in the API response "
                "and headers serves no purpose)",
            ],
        ),
    ],
)
def test_faults_of_bindings(made: Object, wanted: list[str]) -> None:
    assert faults(VALIDATING_BINDING, deepcopy(made)) == wanted


def test_bindings_of_mutating_policies_have_no_deletions() -> None:
    bound = obj(policyName="p", matchResources={"resourceRules": [RULE | {"operations": ["DELETE"]}]})
    (fault,) = faults(MUTATING_BINDING, deepcopy(bound))
    assert fault.startswith('spec.matchResources.resourceRules.operations: Unsupported value: "DELETE"')


async def test_conditions_that_were_sound_may_stay(api: Api) -> None:
    path = f"{GROUP}/validatingadmissionpolicies"
    made = await api.make(path, validating(matchConditions=[{"name": "n", "expression": "true"}]))
    made["spec"]["paramKind"] = CONFIG_MAPS
    made["spec"]["matchConditions"][0]["expression"] = "1"
    answer = await api("PUT", f"{path}/p", made)
    assert answer.code == 422
    assert "must evaluate to bool but got int" in answer.body["message"]


async def test_only_changes_of_the_spec_count_as_generations(api: Api) -> None:
    path = f"{GROUP}/validatingadmissionpolicies"
    made = await api.make(path, validating() | {"status": {"observedGeneration": 7}})
    assert (made["metadata"]["generation"], made["status"]) == (1, {})
    made["metadata"]["labels"] = {"a": "b"}
    made = (await api("PUT", f"{path}/p", made)).body
    assert made["metadata"]["generation"] == 1
    made["spec"]["validations"][0]["message"] = "no"
    assert (await api("PUT", f"{path}/p", made)).body["metadata"]["generation"] == 2
    made["metadata"].pop("resourceVersion")
    answer = await api("PUT", f"{path}/p", made)
    assert "metadata.resourceVersion" in answer.body["message"]


@pytest.mark.parametrize(
    ("status", "fault"),
    [
        ({"typeChecking": {"expressionWarnings": [{"fieldRef": "spec.x", "warning": "w"}]}}, ""),
        (
            {"typeChecking": {"expressionWarnings": [{"fieldRef": " ", "warning": ""}]}},
            "status.typeChecking.expressionWarnings[0].warning: Required value",
        ),
        (
            {"typeChecking": {"expressionWarnings": [{"fieldRef": "a[", "warning": "w"}]}},
            'status.typeChecking.expressionWarnings[0].fieldRef: Invalid value: "a[": invalid JSONPath: ',
        ),
        (
            {
                "conditions": [
                    {
                        "type": "T",
                        "status": "Maybe",
                        "reason": "R",
                        "message": "",
                        "lastTransitionTime": "2026-01-01T00:00:00Z",
                    }
                ]
            },
            'status.conditions[0].status: Unsupported value: "Maybe"',
        ),
    ],
)
async def test_what_a_status_may_say(api: Api, status: Object, fault: str) -> None:
    path = f"{GROUP}/validatingadmissionpolicies"
    await api.make(path, validating())
    merge = "application/merge-patch+json"
    answer = await api("PATCH", f"{path}/p/status", {"status": status}, content_type=merge)
    if fault:
        assert answer.code == 422
        assert fault in answer.body["message"]
    else:
        assert answer.body["status"] == status
