"""What status and spec endpoints may change, and that the right to one is none to the other."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..auth.rbac.conftest import Guarded, rule, user
from ..conftest import Api, deployment, pod

CORE = "/api/v1/namespaces/default"
MERGE = "application/merge-patch+json"
ASK = {
    "metadata": {"name": "x"},
    "spec": {"selector": {"matchLabels": {"a": "b"}}, "minAvailable": 1},
}

KINDS = {
    "pods": (f"{CORE}/pods", pod("x"), {"activeDeadlineSeconds": 7}, {"phase": "Failed"}),
    "nodes": ("/api/v1/nodes", {"metadata": {"name": "x"}}, {"unschedulable": True}, {"phase": "Pending"}),
    "services": (
        f"{CORE}/services",
        {"metadata": {"name": "x"}, "spec": {"ports": [{"port": 80}]}},
        {"sessionAffinity": "ClientIP"},
        {"loadBalancer": {"ingress": [{"ip": "192.0.2.1"}]}},
    ),
    "namespaces": (
        "/api/v1/namespaces",
        {"metadata": {"name": "x"}},
        {"finalizers": ["example.com/f"]},
        {"phase": "Terminating"},
    ),
    "resourcequotas": (
        f"{CORE}/resourcequotas",
        {"metadata": {"name": "x"}, "spec": {"hard": {"pods": "1"}}},
        {"hard": {"pods": "9"}},
        {"hard": {"pods": "9"}, "used": {"pods": "0"}},
    ),
    "deployments": (
        "/apis/apps/v1/namespaces/default/deployments",
        deployment("x"),
        {"replicas": 9},
        {"replicas": 9},
    ),
    "jobs": (
        "/apis/batch/v1/namespaces/default/jobs",
        {
            "metadata": {"name": "x"},
            "spec": {
                "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}}
            },
        },
        {"parallelism": 9},
        {"active": 9},
    ),
    "poddisruptionbudgets": (
        "/apis/policy/v1/namespaces/default/poddisruptionbudgets",
        ASK,
        {"minAvailable": 0},
        {"disruptionsAllowed": 9},
    ),
    "customresourcedefinitions": (
        "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
        {
            "metadata": {"name": "xs.example.com"},
            "spec": {
                "group": "example.com",
                "scope": "Namespaced",
                "names": {"plural": "xs", "kind": "X"},
                "versions": [
                    {
                        "name": "v1",
                        "served": True,
                        "storage": True,
                        "schema": {"openAPIV3Schema": {"type": "object"}},
                    }
                ],
            },
        },
        {"preserveUnknownFields": False, "conversion": {"strategy": "None"}, "scope": "Cluster"},
        {"storedVersions": ["v9"]},
    ),
}


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("how", ["PUT", "PATCH"])
async def test_a_status_endpoint_changes_no_spec(api: Api, kind: str, how: str) -> None:
    path, body, spec, _ = KINDS[kind]
    name = body["metadata"]["name"]
    made = await api.make(path, json.loads(json.dumps(body)))

    await change(api, how, f"{path}/{name}/status", made, {"spec": made["spec"] | spec})

    found = (await api("GET", f"{path}/{name}")).body
    assert found["spec"] == made["spec"]


@pytest.mark.parametrize("kind", [*KINDS])
@pytest.mark.parametrize("how", ["PUT", "PATCH"])
async def test_the_object_itself_changes_no_status(api: Api, kind: str, how: str) -> None:
    path, body, _, status = KINDS[kind]
    name = body["metadata"]["name"]
    made = await api.make(path, json.loads(json.dumps(body)))

    answer = await change(api, how, f"{path}/{name}", made, {"status": made.get("status", {}) | status})

    assert answer.code == 200, answer.body
    found = (await api("GET", f"{path}/{name}")).body
    wrong = {key: value for key, value in status.items() if (found.get("status") or {}).get(key) == value}
    assert not wrong


async def change(api: Api, how: str, path: str, made: Any, part: Any) -> Any:
    while how == "PUT":
        current = (await api("GET", path.removesuffix("/status"))).body
        answer = await api("PUT", path, current | part)
        if answer.code != 409:  # What the server itself writes to a definition may come between.
            return answer
    return await api("PATCH", path, part, content_type=MERGE)


@pytest.mark.parametrize(
    ("held", "code_of_spec", "code_of_status"), [("pods", 200, 403), ("pods/status", 403, 200)]
)
async def test_a_right_to_one_endpoint_is_none_to_the_other(
    guarded: Guarded, held: str, code_of_spec: int, code_of_status: int
) -> None:
    await guarded.admin.make("/api/v1/namespaces/default/serviceaccounts", {"metadata": {"name": "default"}})
    path = f"{CORE}/pods/x"
    made = await guarded.admin("POST", f"{CORE}/pods", pod("x"))
    assert made.code == 201, made.body
    await guarded.role("writer", rule("get update patch", "core", held))
    await guarded.bind("writer", user("ann"))
    labels = {"metadata": {"labels": {"a": "b"}}}
    status = {"status": {"phase": "Running"}}

    for endpoint, body, code in ((path, labels, code_of_spec), (f"{path}/status", status, code_of_status)):
        assert (await guarded.ann("PATCH", endpoint, body, content_type=MERGE)).code == code
