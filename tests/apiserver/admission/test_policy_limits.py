"""Hostile expressions are bounded, and what policies write into the audit log."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from kplane.api.scheme import builtin
from kplane.apiserver.admission.chain import Attributes, Operation
from kplane.apiserver.auth.user import authenticated
from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap
from .policies import Policies
from .test_mutating_policies import json_patch

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
LIST = "[1,2,3,4,5,6,7,8,9,10]"
ENDLESS = (
    f"{LIST}.all(a, {LIST}.all(b, {LIST}.all(c, {LIST}.all(d, {LIST}.all(e, {LIST}.all(f, a + b + c + d + e "
    "+ f > 0))))))"
)
"""A million rounds."""
COSTLY = (
    f"{LIST}.all(a, {LIST}.all(b, {LIST}.all(c, {LIST}.all(d, [1, 2, 3, 4].all(e, a + b + c + d + e > 0)))))"
)
"""More than half of what one expression may cost."""
OUT_OF_BUDGET = "validation failed due to running out of cost budget, no further validation rules will be run"
LIMIT = "operation cancelled: actual cost limit exceeded"


async def refusal(api: Api) -> str:
    answer = await api("POST", CONFIGMAPS, configmap(), dryRun="All")
    message: str = answer.body["message"] if answer.code >= 400 else ""
    return message.partition(" denied request: ")[2] or message


@pytest.mark.slow
async def test_one_expression_has_its_limit(api: Api, policies: Policies) -> None:
    await policies.validating("endless", {"expression": ENDLESS})
    assert (await refusal(api)).endswith(LIMIT)


@pytest.mark.slow
async def test_all_expressions_of_a_policy_share_a_budget(api: Api, policies: Policies) -> None:
    await policies.validating("costly", *[{"expression": COSTLY}] * 20)
    began = time.perf_counter()
    assert await refusal(api) == OUT_OF_BUDGET
    # A bound that only something unbounded breaks.
    assert time.perf_counter() - began < 30


@pytest.mark.slow
async def test_match_conditions_have_a_smaller_one(api: Api, policies: Policies) -> None:
    conditions = [{"name": f"n{index}", "expression": COSTLY} for index in range(6)]
    await policies.validating("costly", {"expression": "false"}, matchConditions=conditions)
    assert await refusal(api) == OUT_OF_BUDGET


@pytest.mark.slow
async def test_a_variable_costs_those_who_use_it_and_only_once(api: Api, policies: Policies) -> None:
    variables = [{"name": f"v{index}", "expression": COSTLY} for index in range(20)]
    used = " && ".join(f"variables.{entry['name']}" for entry in variables[:3])
    await policies.validating("few", *[{"expression": used}] * 5, variables=variables)
    assert await refusal(api) == ""
    used = " && ".join(f"variables.{entry['name']}" for entry in variables)
    await policies.validating("all", {"expression": used}, variables=variables)
    assert await refusal(api) == OUT_OF_BUDGET


async def test_authorizer_checks_are_few(api: Api, policies: Policies) -> None:
    check = "authorizer.group('').resource('r' + string({})).check('get').allowed()"
    expression = " && ".join(check.format(number) for number in range(4))
    await policies.validating("asks", {"expression": expression})
    assert (await refusal(api)).endswith(LIMIT)


async def test_long_chains_of_variables_are_computed(api: Api, policies: Policies) -> None:
    variables = [{"name": "v0", "expression": "1"}]
    variables += [{"name": f"v{n}", "expression": f"variables.v{n - 1} + 1"} for n in range(1, 400)]
    await policies.validating(
        "deep",
        {"expression": "variables.v399 == 400"},
        {"expression": "variables.v399 < 400", "messageExpression": "string(variables.v398)"},
        variables=variables,
    )
    assert await refusal(api) == "399"


async def test_a_fault_deep_down_is_told_from_every_level(api: Api, policies: Policies) -> None:
    asked = "authorizer.requestResource.check('get').allowed() ? object.data.nothing : 'x'"
    variables = [{"name": "v0", "expression": asked}]
    variables += [{"name": f"v{n}", "expression": f"variables.v{n - 1} + 'y'"} for n in range(1, 40)]
    await policies.validating("deep", {"expression": "variables.v39 == ''"}, variables=variables)
    why = await refusal(api)
    assert why.endswith('composited variable "v0" fails to evaluate: no such key: nothing')
    assert why.count("fails to evaluate") == 40


@pytest.mark.slow
async def test_patches_that_grow_are_cut(api: Api, policies: Policies) -> None:
    doubling = ", ".join(
        f"JSONPatch{{op: 'copy', from: '/data', path: '/data/d{index}'}}" for index in range(64)
    )
    await policies.mutating("grow", json_patch(f"[{doubling}]"))
    answer = await api("POST", CONFIGMAPS, configmap())
    assert answer.code == 403
    assert "the server rejected our request due to an error in our request" in answer.body["message"]


# The audit log


async def annotations(server: ApiServer) -> dict[str, str]:
    """What is noted down of a ConfigMap that is created."""
    found: dict[str, str] = {}
    attributes = Attributes(
        operation=Operation.CREATE,
        info=builtin().rows["", "v1", "configmaps"],
        subresource="",
        namespace="default",
        name="settings",
        object={"kind": "ConfigMap", "apiVersion": "v1", **configmap()},
        old=None,
        user=authenticated("someone"),
        dry_run=False,
        warn=lambda text: None,
        annotate=found.__setitem__,
    )
    await server.admission.validate(attributes)
    return found


async def test_failures_are_noted_down(server: ApiServer, policies: Policies) -> None:
    await policies.validating(
        "noted",
        {"expression": "true"},
        {"expression": "false", "message": "mind"},
        binding={"validationActions": ["Audit"]},
    )
    found = await annotations(server)
    assert {name: json.loads(value) for name, value in found.items()} == {
        "validation.policy.admission.k8s.io/validation_failure": [
            {
                "message": "mind",
                "policy": "noted",
                "binding": "noted",
                "expressionIndex": 1,
                "validationActions": ["Audit"],
            }
        ]
    }


async def test_audit_annotations_are_published(server: ApiServer, policies: Policies) -> None:
    values: list[dict[str, Any]] = [
        {"key": "color", "valueExpression": "' is ' + object.data.color + ' '"},
        {"key": "none", "valueExpression": "null"},
        {"key": "empty", "valueExpression": "' '"},
        {"key": "long", "valueExpression": "[" + ",".join(["'" + "y" * 1000 + "'"] * 4) + "].join('')"},
    ]
    await policies.validating("noted", auditAnnotations=values)
    assert await annotations(server) == {"noted/color": "is blue", "noted/long": "y" * 4000}


async def test_values_of_several_parameters_are_joined(
    api: Api, server: ApiServer, policies: Policies
) -> None:
    for name, text in (("a", "x"), ("b", "y"), ("c", "x")):
        body = configmap(name, text=text)
        body["metadata"]["labels"] = {"role": "param"}
        await api.make(CONFIGMAPS, body)
    ref = {"selector": {"matchLabels": {"role": "param"}}, "parameterNotFoundAction": "Deny"}
    await policies.validating(
        "noted",
        auditAnnotations=[{"key": "text", "valueExpression": "string(params.data.text)"}],
        paramKind={"apiVersion": "v1", "kind": "ConfigMap"},
        binding={"paramRef": ref},
    )
    assert await annotations(server) == {"noted/text": "x, y"}


@pytest.mark.parametrize("failure", ["Fail", "Ignore"])
async def test_a_faulty_annotation_refuses_if_failures_do(api: Api, policies: Policies, failure: str) -> None:
    await policies.validating(
        "noted",
        auditAnnotations=[{"key": "k", "valueExpression": "'a' + object.data.x"}],
        failurePolicy=failure,
        binding={"validationActions": ["Audit"]},
    )
    why = "expression ''a' + object.data.x' resulted in error: no such key: x"
    assert await refusal(api) == (why if failure == "Fail" else "")
