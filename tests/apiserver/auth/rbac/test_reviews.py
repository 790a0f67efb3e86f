"""Reviews of permission, answered by RBAC."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Guarded, rule, user

AUTHZ = "/apis/authorization.k8s.io/v1"
LIST_PODS = {"verb": "list", "resource": "pods", "namespace": "default"}


@pytest.fixture
async def reader(guarded: Guarded) -> Guarded:
    await guarded.role("reader", rule("list", "core", "pods"), rule("get", "core", "configmaps", "one"))
    await guarded.bind("reader", user("ann"), namespace="default")
    return guarded


async def ask(api: Any, plural: str, inside: str = "", **spec: Any) -> Any:
    where = f"{AUTHZ}/namespaces/{inside}/{plural}" if inside else f"{AUTHZ}/{plural}"
    return await api("POST", where, {"spec": spec})


async def test_one_asks_about_oneself_and_is_told_why(reader: Guarded) -> None:
    allowed = await ask(reader.ann, "selfsubjectaccessreviews", resourceAttributes=LIST_PODS)
    refused = await ask(reader.bob, "selfsubjectaccessreviews", resourceAttributes=LIST_PODS)

    assert allowed.body["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by RoleBinding "reader/default" of ClusterRole "reader" to User "ann"',
    }
    assert refused.body["status"] == {"allowed": False}


async def test_others_are_asked_about_by_who_may(reader: Guarded) -> None:
    review = {"user": "ann", "resourceAttributes": LIST_PODS}

    assert (await ask(reader.admin, "subjectaccessreviews", **review)).body["status"]["allowed"] is True
    assert (await ask(reader.ann, "subjectaccessreviews", **review)).code == 403
    nobody = await ask(reader.admin, "subjectaccessreviews", user="x", resourceAttributes=LIST_PODS)
    assert nobody.body["status"] == {"allowed": False}


async def test_groups_and_paths_are_asked_about(reader: Guarded) -> None:
    path = {"verb": "get", "path": "/api"}
    group = await ask(
        reader.admin, "subjectaccessreviews", groups=["system:authenticated"], nonResourceAttributes=path
    )
    masters = await ask(
        reader.admin, "subjectaccessreviews", groups=["system:masters"], resourceAttributes=LIST_PODS
    )

    assert group.body["status"] == {
        "allowed": True,
        "reason": 'RBAC: allowed by ClusterRoleBinding "system:discovery" of ClusterRole "system:discovery"'
        ' to Group "system:authenticated"',
    }
    assert masters.body["status"] == {"allowed": True}


@pytest.mark.parametrize(
    ("spec", "causes"),
    [
        ({}, [
            'spec.user: Invalid value: "": at least one of user or group must be specified',
            "spec.resourceAttributes: Invalid value: null: exactly one of nonResourceAttributes or"
            " resourceAttributes must be specified",
        ]),
        ({"user": "x", "resourceAttributes": {}, "nonResourceAttributes": {"path": "/"}}, [
            'spec.nonResourceAttributes: Invalid value: {"path":"/"}:'
            " cannot be specified in combination with resourceAttributes",
        ]),
        ({"user": "x", "resourceAttributes": {"fieldSelector": {}}}, [
            "spec.resourceAttributes.fieldSelector.requirements: Required value: when"
            " spec.resourceAttributes.fieldSelector is specified, requirements or rawSelector is required",
        ]),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused(reader: Guarded, spec: Any, causes: list[str]) -> None:
    answer = await ask(reader.admin, "subjectaccessreviews", **spec)

    assert answer.code == 422
    body = causes[0] if len(causes) == 1 else f"[{', '.join(causes)}]"
    assert answer.body["message"] == f'SubjectAccessReview.authorization.k8s.io "" is invalid: {body}'


async def test_local_reviews_are_about_their_namespace(reader: Guarded) -> None:
    plural = "localsubjectaccessreviews"

    here = await ask(reader.admin, plural, "default", user="ann", resourceAttributes=LIST_PODS)
    elsewhere = await ask(
        reader.admin, plural, "default", user="ann", resourceAttributes=LIST_PODS | {"namespace": "other"}
    )
    path = await ask(reader.admin, plural, "default", user="ann", nonResourceAttributes={"path": "/"})

    assert here.body["status"]["allowed"] is True
    assert "must match metadata.namespace" in elsewhere.body["message"]
    assert "disallowed on this kind of request" in path.body["message"]


async def test_ones_own_rules_are_listed(reader: Guarded) -> None:
    status = (await ask(reader.ann, "selfsubjectrulesreviews", namespace="default")).body["status"]

    assert {"verbs": ["list"], "apiGroups": [""], "resources": ["pods"]} in status["resourceRules"]
    named = {"verbs": ["get"], "apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["one"]}
    assert named in status["resourceRules"]
    assert {
        "verbs": ["get"],
        "nonResourceURLs": ["/healthz", "/livez", "/readyz", "/version", "/version/"],
    } in (status["nonResourceRules"])
    assert status["incomplete"] is False
    elsewhere = (await ask(reader.ann, "selfsubjectrulesreviews", namespace="other")).body["status"]
    assert named not in elsewhere["resourceRules"]


async def test_rules_that_cannot_be_told_are_mentioned(reader: Guarded) -> None:
    await reader.bind("ghost", user("ann"))

    status = (await ask(reader.ann, "selfsubjectrulesreviews", namespace="default")).body["status"]

    assert status["evaluationError"] == 'clusterrole.rbac.authorization.k8s.io "ghost" not found'
    assert (await ask(reader.ann, "selfsubjectrulesreviews")).body["message"] == "no namespace on request"
