"""ValidatingAdmissionPolicy, through HTTP: what is refused, warned of and noted down, and in which words."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap, deployment, pod
from .policies import VALIDATING, VALIDATING_BINDINGS, Policies, rules

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
NO = {"expression": "false"}


def denied(policy: str, why: str, binding: str = "") -> str:
    return f"ValidatingAdmissionPolicy '{policy}' with binding '{binding or policy}' denied request: {why}"


async def refusal(api: Api, body: Any = None, path: str = CONFIGMAPS) -> str:
    """Why a creation was refused; empty if it was not."""
    answer = await api("POST", path, body or configmap(), dryRun="All")
    message: str = answer.body["message"] if answer.code >= 400 else ""
    return message.partition(" denied request: ")[2] or message


async def test_what_a_policy_does_not_admit_is_refused(api: Api, policies: Policies) -> None:
    await policies.validating("blue", {"expression": "object.data.color != 'blue'"})

    refused = await api("POST", CONFIGMAPS, configmap())
    admitted = await api("POST", CONFIGMAPS, configmap("other", color="red"))

    message = denied("blue", "failed expression: object.data.color != 'blue'")
    assert refused.code == 422
    assert refused.body["reason"] == "Invalid"
    assert refused.body["message"] == f'configmaps "settings" is forbidden: {message}'
    assert refused.body["details"] == {
        "name": "settings",
        "kind": "configmaps",
        "causes": [{"message": message}],
    }
    assert admitted.code == 201


@pytest.mark.parametrize(
    ("reason", "code"),
    [("Forbidden", 403), ("Invalid", 422), ("RequestEntityTooLarge", 413)],
)
async def test_the_reason_decides_the_status_code(
    api: Api, policies: Policies, reason: str, code: int
) -> None:
    await policies.validating("no", NO | {"reason": reason})
    refused = await api("POST", CONFIGMAPS, configmap())
    assert (refused.code, refused.body["code"], refused.body["reason"]) == (code, code, reason)


@pytest.mark.parametrize(
    ("validation", "message"),
    [
        pytest.param({}, "failed expression: false", id="none"),
        pytest.param({"message": " not today "}, "not today", id="plain"),
        pytest.param({"messageExpression": "'not ' + object.metadata.name"}, "not settings", id="computed"),
        pytest.param({"messageExpression": "string(object.x)", "message": "plain"}, "plain", id="faulty"),
        pytest.param({"messageExpression": "'  '", "message": "plain"}, "plain", id="empty"),
        pytest.param({"messageExpression": r"'a\nb'", "message": "plain"}, "plain", id="two lines"),
        pytest.param(
            {"messageExpression": f"'{'x' * 5121}'", "message": "plain"}, "plain", id="more than 5 KiB"
        ),
    ],
)
async def test_the_message_is_the_best_that_there_is(
    api: Api, policies: Policies, validation: dict[str, str], message: str
) -> None:
    await policies.validating("no", NO | validation)
    assert await refusal(api) == message


async def test_the_first_refusal_is_the_answer(api: Api, policies: Policies) -> None:
    await policies.validating("b", NO | {"message": "b"})
    await policies.validating("a", {"expression": "true"}, NO | {"message": "a"}, NO | {"message": "later"})
    assert await refusal(api) == "a"


@pytest.mark.parametrize(
    ("expression", "holds"),
    [
        ("request.operation == 'CREATE' && oldObject == null", True),
        ("request.name == 'settings' && request.namespace == 'default'", True),
        ("request.userInfo.username == 'admin' && 'system:masters' in request.userInfo.groups", True),
        ("request.kind.kind == 'ConfigMap' && request.resource.resource == 'configmaps'", True),
        ("request.dryRun && request.options.dryRun == ['All']", True),
        ("has(request.subResource)", False),
        ("namespaceObject.metadata.name == 'default'", True),
        ("namespaceObject.metadata.labels['kubernetes.io/metadata.name'] == 'default'", True),
        ("namespaceObject.status.phase == 'Active'", True),
        ("object.apiVersion == 'v1' && object.kind == 'ConfigMap'", True),
        ("authorizer.group('').resource('pods').namespace('default').check('create').allowed()", True),
        ("authorizer.requestResource.check('delete').allowed()", True),
        ("quantity('1Gi').isGreaterThan(quantity('1G')) && isIP('::1')", True),
    ],
)
async def test_expressions_see_the_request(
    api: Api, policies: Policies, expression: str, holds: bool
) -> None:
    await policies.validating("sees", {"expression": expression})
    assert (await refusal(api) == "") is holds


async def test_updates_show_both_states_and_deletions_the_old_one(api: Api, policies: Policies) -> None:
    await api.make(CONFIGMAPS, configmap())
    await policies.validating(
        "keep",
        {"expression": "request.operation == 'DELETE' || object.data.color == oldObject.data.color"},
        {"expression": "request.operation != 'DELETE' || (object == null && 'x' in oldObject.data)"},
        matchConstraints=rules(operations="UPDATE DELETE"),
    )
    changed = await api("PUT", f"{CONFIGMAPS}/settings", configmap(color="red"))
    deleted = await api("DELETE", f"{CONFIGMAPS}/settings")
    kept = await api("PUT", f"{CONFIGMAPS}/settings", configmap(color="blue", x="y"))
    gone = await api("DELETE", f"{CONFIGMAPS}/settings")
    assert [changed.code, deleted.code, kept.code, gone.code] == [422, 422, 200, 200]


async def test_variables_are_computed_from_those_before_them(api: Api, policies: Policies) -> None:
    variables = [
        {"name": "containers", "expression": "object.spec.template.spec.containers"},
        {"name": "names", "expression": "variables.containers.map(c, c.name)"},
        {"name": "unused", "expression": "object.nothing.at.all"},
    ]
    await policies.validating(
        "named",
        {"expression": "variables.names.all(n, n.startsWith('c'))"},
        {"expression": "variables.names.size() < 2", "messageExpression": "variables.names.join('+')"},
        variables=variables,
        matchConstraints=rules("deployments"),
    )
    assert await refusal(api, deployment(), DEPLOYMENTS) == ""
    more = deployment()
    more["spec"]["template"]["spec"]["containers"].append({"name": "c2", "image": "i"})
    assert await refusal(api, more, DEPLOYMENTS) == "c+c2"


async def test_a_faulty_variable_is_named(api: Api, policies: Policies) -> None:
    variables = [{"name": "x", "expression": "object.data.nothing"}]
    await policies.validating("faulty", {"expression": "variables.x == 'a'"}, variables=variables)
    assert await refusal(api) == (
        "expression 'variables.x == 'a'' resulted in error: "
        'composited variable "x" fails to evaluate: no such key: nothing'
    )


@pytest.mark.parametrize(("failure", "refused"), [("Fail", True), ("Ignore", False)])
async def test_the_failure_policy_decides_about_errors(
    api: Api, policies: Policies, failure: str, refused: bool
) -> None:
    await policies.validating("faulty", {"expression": "object.data.nothing == ''"}, failurePolicy=failure)
    why = "expression 'object.data.nothing == ''' resulted in error: no such key: nothing"
    assert await refusal(api) == (why if refused else "")


async def test_match_conditions_choose_requests(api: Api, policies: Policies) -> None:
    await policies.validating(
        "chosen",
        NO,
        matchConditions=[
            {"name": "blue", "expression": "object.data.color == 'blue'"},
            {"name": "mine", "expression": "request.userInfo.username == 'admin'"},
        ],
    )
    assert await refusal(api) == "failed expression: false"
    assert await refusal(api, configmap(color="red")) == ""
    assert await refusal(api, configmap(size="1")) == (
        "expression 'object.data.color == 'blue'' resulted in error: no such key: color"
    )


async def test_a_condition_that_is_false_settles_it_whatever_is_wrong_with_others(
    api: Api, policies: Policies
) -> None:
    conditions = [{"name": "bad", "expression": "object.x"}, {"name": "no", "expression": "false"}]
    conditions[0]["expression"] = "object.x == 1"
    await policies.validating("chosen", NO, matchConditions=conditions)
    assert await refusal(api) == ""


async def test_warnings_do_not_refuse(api: Api, policies: Policies) -> None:
    await policies.validating(
        "soft", NO | {"message": "mind"}, binding={"validationActions": ["Warn", "Audit"]}
    )
    answer = await api("POST", CONFIGMAPS, configmap())
    assert answer.code == 201
    text = "Validation failed for ValidatingAdmissionPolicy 'soft' with binding 'soft': mind"
    assert answer.headers["warning"] == f'299 - "{text}"'


async def test_only_policies_with_a_binding_are_in_effect(api: Api, policies: Policies) -> None:
    spec = {"matchConstraints": rules(), "validations": [NO]}
    await policies.make(VALIDATING, "alone", spec)
    assert await refusal(api) == ""
    binding = {"policyName": "alone", "validationActions": ["Deny"]}
    await policies.make(VALIDATING_BINDINGS, "later", binding)
    assert (
        (await api("POST", CONFIGMAPS, configmap()))
        .body["message"]
        .endswith(denied("alone", "failed expression: false", "later"))
    )


async def test_changes_and_removals_are_in_effect_at_once(api: Api, policies: Policies) -> None:
    await policies.validating("no", NO)
    assert await refusal(api) == "failed expression: false"
    change = [{"op": "replace", "path": "/spec/validations/0/expression", "value": "1 == 2"}]
    patch = "application/json-patch+json"
    await api("PATCH", f"{VALIDATING}/no", change, content_type=patch)
    await api("GET", f"{VALIDATING}/no")
    assert await refusal(api) == "failed expression: 1 == 2"
    await api("DELETE", f"{VALIDATING_BINDINGS}/no")
    await api("GET", VALIDATING_BINDINGS)
    assert await refusal(api) == ""


async def test_policies_are_not_about_policies(api: Api, policies: Policies) -> None:
    constraints = rules("*", "*")
    await policies.validating("everything", NO, matchConstraints=constraints)
    assert await refusal(api) == "failed expression: false"
    gone = await api("DELETE", f"{VALIDATING}/everything")
    assert gone.code == 200


async def test_policies_are_about_webhook_configurations(api: Api, policies: Policies) -> None:
    await policies.validating(
        "hooks", NO, matchConstraints=rules("validatingwebhookconfigurations", "CREATE")
    )
    path = "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations"
    assert await refusal(api, {"metadata": {"name": "x"}}, path) == "failed expression: false"


async def test_subresources_are_matched_by_name(api: Api, policies: Policies) -> None:
    await api.make(DEPLOYMENTS, deployment(replicas=1))
    await policies.validating(
        "few",
        {"expression": "object.kind == 'Scale' && object.spec.replicas <= 3"},
        matchConstraints=rules("deployments/scale", "UPDATE"),
    )
    merge = "application/merge-patch+json"
    path = f"{DEPLOYMENTS}/web"
    many = await api("PATCH", f"{path}/scale", {"spec": {"replicas": 9}}, content_type=merge)
    few = await api("PATCH", f"{path}/scale", {"spec": {"replicas": 2}}, content_type=merge)
    direct = await api("PATCH", path, {"spec": {"replicas": 9}}, content_type=merge)
    assert [many.code, few.code, direct.code] == [422, 200, 200]


@pytest.mark.parametrize(
    ("constraints", "matches"),
    [
        ({"excludeResourceRules": rules()["resourceRules"]}, False),
        ({"excludeResourceRules": rules("secrets")["resourceRules"]}, True),
        ({"objectSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"objectSelector": {"matchLabels": {"app": "it"}}}, True),
        ({"namespaceSelector": {"matchLabels": {"a": "b"}}}, False),
        ({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "default"}}}, True),
        (rules(resourceNames=["settings"]), True),
        (rules("secrets"), False),
    ],
)
@pytest.mark.parametrize("where", ["policy", "binding"])
async def test_what_a_policy_is_about(
    api: Api, policies: Policies, constraints: dict[str, Any], matches: bool, where: str
) -> None:
    constraints = rules() | constraints
    if where == "policy":
        await policies.validating("no", NO, matchConstraints=constraints)
    else:
        await policies.validating("no", NO, binding={"matchResources": constraints})
    body = configmap()
    body["metadata"]["labels"] = {"app": "it"}
    assert bool(await refusal(api, body)) is matches


async def test_resource_names_spare_others(api: Api, policies: Policies) -> None:
    constraints = rules()
    constraints["resourceRules"][0]["resourceNames"] = ["other"]
    await policies.validating("no", NO, matchConstraints=constraints)
    assert await refusal(api) == ""
    assert await refusal(api, configmap("other")) == "failed expression: false"


@pytest.mark.parametrize(("match_policy", "seen"), [("Equivalent", True), ("Exact", False)])
async def test_another_version_of_a_resource_is_shown_in_that_of_the_rule(
    api: Api, policies: Policies, match_policy: str, seen: bool
) -> None:
    constraints = rules("horizontalpodautoscalers", matchPolicy=match_policy)
    constraints["resourceRules"][0]["apiVersions"] = ["v1"]
    await policies.validating(
        "old",
        {"expression": "object.apiVersion != 'autoscaling/v1' || !has(object.spec.maxReplicas)"},
        {"expression": "request.requestKind.version == 'v1'"},
        matchConstraints=constraints,
    )
    scaler = {
        "metadata": {"name": "x"},
        "spec": {
            "maxReplicas": 3,
            "scaleTargetRef": {"kind": "Deployment", "name": "web", "apiVersion": "apps/v1"},
        },
    }
    path = "/apis/autoscaling/v2/namespaces/default/horizontalpodautoscalers"
    assert bool(await refusal(api, scaler, path)) is seen


async def test_connections_are_admitted_too(api: Api, policies: Policies) -> None:
    await api.make("/api/v1/namespaces/default/pods", pod())
    await policies.validating(
        "closed",
        {"expression": "object.command != ['sh']", "reason": "Forbidden"},
        matchConstraints=rules("pods/exec", "CONNECT"),
    )
    answer = await api("POST", "/api/v1/namespaces/default/pods/web/exec", command="sh")
    assert answer.code == 403
    assert answer.body["message"].startswith('pods "web" is forbidden: ValidatingAdmissionPolicy')


async def test_metrics_count_what_policies_did(api: Api, policies: Policies) -> None:
    await policies.validating("no", NO)
    await policies.validating("soft", NO, binding={"validationActions": ["Warn"]})
    await policies.validating("skipped", NO, matchConditions=[{"name": "n", "expression": "false"}])
    await api("POST", CONFIGMAPS, configmap())
    text = (await api("GET", "/metrics", accept="text/plain")).body.decode()
    name = "apiserver_validating_admission_policy_check_total"
    labels = 'enforcement_action="{}",error_type="invalid_error",policy="{}",policy_binding="{}"'
    assert f"{name}{{{labels.format('deny', 'no', 'no')}}} 1.0" in text
    assert f"{name}{{{labels.format('warn', 'soft', 'soft')}}} 1.0" in text
    assert "apiserver_validating_admission_policy_check_duration_seconds_count{" in text
    excluded = "apiserver_admission_match_condition_exclusions_total"
    assert f'{excluded}{{kind="policy",name="skipped",operation="CREATE",type="validate"}} 1.0' in text
