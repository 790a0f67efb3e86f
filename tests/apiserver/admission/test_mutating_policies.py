"""MutatingAdmissionPolicy, through HTTP."""

from __future__ import annotations

from typing import Any

from ..conftest import Api, configmap, deployment
from .policies import Policies, rules

CONFIGMAPS = "/api/v1/namespaces/default/configmaps"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"


def configuration(expression: str) -> dict[str, Any]:
    return {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": expression}}


def json_patch(expression: str) -> dict[str, Any]:
    return {"patchType": "JSONPatch", "jsonPatch": {"expression": expression}}


async def test_an_apply_configuration_is_merged_into_the_object(api: Api, policies: Policies) -> None:
    sidecar = 'Object.spec.template.spec.containers{name: "sidecar", image: "helper:1"}'
    await policies.mutating(
        "sidecar",
        configuration(
            f"Object{{spec: Object.spec{{template: Object.spec.template{{spec: "
            f"Object.spec.template.spec{{containers: [{sidecar}]}}}}}}}}"
        ),
        matchConstraints=rules("deployments"),
    )
    made = await api.make(DEPLOYMENTS, deployment())
    containers = made["spec"]["template"]["spec"]["containers"]
    assert [entry["name"] for entry in containers] == ["c", "sidecar"]
    assert containers[1]["terminationMessagePolicy"] == "File"


async def test_a_json_patch_is_applied(api: Api, policies: Policies) -> None:
    await policies.mutating(
        "mark",
        json_patch(
            '[JSONPatch{op: "add", path: "/metadata/labels", value: {"a/b": "c"}},'
            ' JSONPatch{op: "add", path: "/metadata/labels/" + jsonpatch.escapeKey("x/y"), value: "z"}]'
        ),
    )
    made = await api.make(CONFIGMAPS, configmap())
    assert made["metadata"]["labels"] == {"a/b": "c", "x/y": "z"}
