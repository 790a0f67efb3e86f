"""Parameters of admission policies: which objects they are, and what happens where there are none."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api
from ..extensions.conftest import established
from .policies import Policies, rules

SECRETS = "/api/v1/namespaces/default/secrets"
NAMESPACES = "/api/v1/namespaces"
CONFIG_MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}
CRDS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
LIMITS = {"apiVersion": "example.com/v1", "kind": "Limit"}
ALLOWED = {
    "expression": "object.metadata.name == params.data.name",
    "messageExpression": "string(params.data.name)",
}
NOT_FOUND = (
    "failed to configure binding: no params found for policy binding with `Deny` parameterNotFoundAction"
)


def named(name: str, action: str = "Deny", **more: Any) -> dict[str, Any]:
    return {"paramRef": {"name": name, "parameterNotFoundAction": action} | more}


def selecting(labels: dict[str, str], action: str = "Deny", **more: Any) -> dict[str, Any]:
    return {"paramRef": {"selector": {"matchLabels": labels}, "parameterNotFoundAction": action} | more}


async def setting(api: Api, name: str, allowed: str, namespace: str = "default") -> None:
    body = {"metadata": {"name": name, "labels": {"kind": "limit"}}, "data": {"name": allowed}}
    await api.make(f"/api/v1/namespaces/{namespace}/configmaps", body)


async def allow(policies: Policies, binding: dict[str, Any], **spec: Any) -> None:
    given = {"matchConstraints": rules("secrets"), "paramKind": CONFIG_MAPS} | spec
    await policies.validating("allowed", ALLOWED, binding=binding, **given)


async def refusal(api: Api, name: str = "x", path: str = SECRETS) -> str:
    """Why a Secret was refused; empty if it was not."""
    answer = await api("POST", path, {"metadata": {"name": name}}, dryRun="All")
    message: str = answer.body["message"] if answer.code >= 400 else ""
    return message.partition(" denied request: ")[2] or message


async def test_a_parameter_by_name(api: Api, policies: Policies) -> None:
    await setting(api, "limit", "good")
    await allow(policies, named("limit"))
    assert await refusal(api) == "good"
    assert await refusal(api, "good") == ""


async def test_a_changed_parameter_counts_at_once(api: Api, policies: Policies) -> None:
    await setting(api, "limit", "good")
    await allow(policies, named("limit"))
    assert await refusal(api) == "good"
    path = "/api/v1/namespaces/default/configmaps/limit"
    await api("PATCH", path, {"data": {"name": "x"}}, content_type="application/merge-patch+json")
    await api("GET", path)
    assert await refusal(api) == ""


async def test_parameters_lie_in_the_namespace_of_the_request(api: Api, policies: Policies) -> None:
    await api.make(NAMESPACES, {"metadata": {"name": "other"}})
    await setting(api, "limit", "good")
    await setting(api, "limit", "better", "other")
    await allow(policies, named("limit"))
    assert await refusal(api) == "good"
    assert await refusal(api, path="/api/v1/namespaces/other/secrets") == "better"


async def test_parameters_of_another_namespace(api: Api, policies: Policies) -> None:
    await api.make(NAMESPACES, {"metadata": {"name": "other"}})
    await setting(api, "limit", "better", "other")
    await allow(policies, named("limit", namespace="other"))
    assert await refusal(api) == "better"


async def test_every_selected_parameter_must_admit(api: Api, policies: Policies) -> None:
    await allow(policies, selecting({"kind": "limit"}))
    assert await refusal(api) == NOT_FOUND
    await setting(api, "a", "x")
    await api("GET", "/api/v1/namespaces/default/configmaps/a")
    assert await refusal(api) == ""
    await setting(api, "b", "y")
    await api("GET", "/api/v1/namespaces/default/configmaps/b")
    assert await refusal(api) == "y"
    assert await refusal(api, "y") == "x"


@pytest.mark.parametrize("binding", [named, selecting])
@pytest.mark.parametrize(("action", "why"), [("Deny", NOT_FOUND), ("Allow", "")])
async def test_the_binding_decides_about_missing_parameters(
    api: Api, policies: Policies, binding: Any, action: str, why: str
) -> None:
    await allow(policies, binding("nothing" if binding is named else {"no": "thing"}, action))
    assert await refusal(api) == why


async def test_a_missing_parameter_is_not_missed_if_failures_are_ignored(
    api: Api, policies: Policies
) -> None:
    await allow(policies, named("nothing"), failurePolicy="Ignore")
    assert await refusal(api) == ""


async def test_a_binding_without_parameters_gives_null(api: Api, policies: Policies) -> None:
    await policies.validating(
        "null",
        {"expression": "params == null"},
        matchConstraints=rules("secrets"),
        paramKind=CONFIG_MAPS,
    )
    assert await refusal(api) == ""


async def test_an_unknown_kind_of_parameters_is_a_fault_of_the_policy(api: Api, policies: Policies) -> None:
    await allow(policies, named("limit"), paramKind=LIMITS)
    answer = await api("POST", SECRETS, {"metadata": {"name": "x"}})
    assert answer.body["message"] == (
        "secrets \"x\" is forbidden: ValidatingAdmissionPolicy 'allowed' denied request: failed to configure "
        "policy: failed to find resource referenced by paramKind: 'example.com/v1, Kind=Limit'"
    )


async def test_what_is_not_stored_is_no_parameter(api: Api, policies: Policies) -> None:
    kind = {"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview"}
    await allow(policies, named("limit"), paramKind=kind)
    assert await refusal(api) == (
        "failed to configure binding: paramKind kind `&ParamKind{APIVersion:authorization.k8s.io/v1,"
        "Kind:SubjectAccessReview,}` not yet synced to use for admission"
    )


async def test_cluster_scoped_requests_have_no_namespace_to_look_in(api: Api, policies: Policies) -> None:
    await allow(policies, named("limit"), matchConstraints=rules("priorityclasses"))
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    assert await refusal(api, path=path) == (
        "failed to configure binding: cannot use namespaced paramRef in policy binding that matches "
        "cluster-scoped resources"
    )


async def test_cluster_scoped_parameters_have_no_namespace(api: Api, policies: Policies) -> None:
    kind = {"apiVersion": "v1", "kind": "Namespace"}
    await allow(policies, named("default", namespace="default"), paramKind=kind)
    assert await refusal(api) == (
        "failed to configure binding: paramRef.namespace must not be provided for a cluster-scoped "
        "`paramKind`"
    )


async def test_custom_resources_as_parameters(api: Api, policies: Policies) -> None:
    schema = {
        "type": "object",
        "properties": {"data": {"type": "object", "properties": {"name": {"type": "string"}}}},
    }
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    names = {"plural": "limits", "singular": "limit", "kind": "Limit"}
    spec = {"group": "example.com", "names": names, "scope": "Cluster", "versions": [version]}
    # The policy is there first.
    await allow(policies, named("limit"), paramKind=LIMITS)
    await api.make(CRDS, {"metadata": {"name": "limits.example.com"}, "spec": spec})
    await established(api, "limits.example.com")
    limit = LIMITS | {"metadata": {"name": "limit"}, "data": {"name": "good"}}
    await api.make("/apis/example.com/v1/limits", limit)
    await api("GET", "/apis/example.com/v1/limits/limit")
    assert await refusal(api) == "good"
    assert await refusal(api, "good") == ""
