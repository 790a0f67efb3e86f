"""Who may write policies and bindings with parameters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap
from .policies import MUTATING, MUTATING_BINDINGS, VALIDATING, VALIDATING_BINDINGS, rules

RBAC = "/apis/rbac.authorization.k8s.io/v1"
CONFIG_MAPS = {"apiVersion": "v1", "kind": "ConfigMap"}
SOMEONE = "&{someone 2 [system:authenticated] map[]}"
REF = {"name": "p", "namespace": "default", "parameterNotFoundAction": "Deny"}


@pytest.fixture
def config(config: ApiServerConfig, tmp_path: Path) -> ApiServerConfig:
    return replace(config, authorization=replace(config.authorization, modes=("RBAC",)))


@pytest.fixture
def someone(server: ApiServer) -> Api:
    return Api(server.app, token="plain")


async def grant(api: Api, *granted: dict[str, Any]) -> None:
    """To someone, beside writing policies."""
    policies = {"apiGroups": ["admissionregistration.k8s.io"], "resources": ["*"], "verbs": ["*"]}
    await api.make(f"{RBAC}/clusterroles", {"metadata": {"name": "r"}, "rules": [policies, *granted]})
    role = {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"}
    subject = {"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "someone"}
    binding = {"metadata": {"name": "b"}, "roleRef": role, "subjects": [subject]}
    await api.make(f"{RBAC}/clusterrolebindings", binding)
    await api("GET", f"{RBAC}/clusterrolebindings/b")


def policy(mutating: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {"matchConstraints": rules(operations="CREATE"), "paramKind": CONFIG_MAPS}
    if mutating:
        patch = {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}}
        spec |= {"mutations": [patch], "reinvocationPolicy": "Never"}
    else:
        spec |= {"validations": [{"expression": "true"}]}
    return {"metadata": {"name": "p"}, "spec": spec}


def binding(mutating: bool) -> dict[str, Any]:
    spec: dict[str, Any] = {"policyName": "p", "paramRef": REF}
    return {"metadata": {"name": "b"}, "spec": spec if mutating else spec | {"validationActions": ["Deny"]}}


@pytest.mark.parametrize("mutating", [False, True])
async def test_who_may_not_read_parameters_names_none(api: Api, someone: Api, mutating: bool) -> None:
    policies, bindings = (MUTATING, MUTATING_BINDINGS) if mutating else (VALIDATING, VALIDATING_BINDINGS)
    await grant(api)
    answer = await someone("POST", policies, policy(mutating))
    assert answer.code == 422
    assert answer.body["message"].endswith(
        f'spec.paramKind: Forbidden: user {SOMEONE} must have "get" permission on all objects of the '
        "referenced paramKind (kind=ConfigMap, apiVersion=v1)"
    )
    await api.make(policies, policy(mutating))
    answer = await someone("POST", bindings, binding(mutating))
    assert answer.code == 422
    assert answer.body["message"].endswith(
        f'spec.paramRef: Forbidden: user {SOMEONE} does not have "get" permission on the object referenced '
        "by paramRef"
    )


async def test_who_may_read_them_may_name_them(api: Api, someone: Api) -> None:
    await grant(api, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["get"]})
    await someone.make(VALIDATING, policy(False))
    await someone.make(VALIDATING_BINDINGS, binding(False))


async def test_what_does_not_change_is_not_asked_about(api: Api, someone: Api) -> None:
    await grant(api)
    await api.make(VALIDATING, policy(False))
    await api.make(VALIDATING_BINDINGS, binding(False))
    merge = "application/merge-patch+json"
    failure = {"spec": {"failurePolicy": "Ignore"}}
    assert (await someone("PATCH", f"{VALIDATING}/p", failure, content_type=merge)).code == 200
    actions = {"spec": {"validationActions": ["Audit"]}}
    assert (await someone("PATCH", f"{VALIDATING_BINDINGS}/b", actions, content_type=merge)).code == 200


async def test_expressions_ask_what_the_user_may_do(api: Api, someone: Api) -> None:
    await grant(api, {"apiGroups": [""], "resources": ["configmaps"], "verbs": ["create"]})
    expression = "authorizer.group('').resource('secrets').namespace('default').check('get').allowed()"
    spec = {"matchConstraints": rules(), "validations": [{"expression": expression, "message": "no"}]}
    await api.make(VALIDATING, {"metadata": {"name": "ask"}, "spec": spec})
    bound = {"policyName": "ask", "validationActions": ["Deny"]}
    await api.make(VALIDATING_BINDINGS, {"metadata": {"name": "ask"}, "spec": bound})
    await api("GET", f"{VALIDATING_BINDINGS}/ask")
    path = "/api/v1/namespaces/default/configmaps"
    assert (await someone("POST", path, configmap())).code == 422
    assert (await api("POST", path, configmap())).code == 201
