"""Scale, binding, eviction, and the two steps of deleting a namespace."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap, deployment, pod

PODS = "/api/v1/namespaces/default/pods"
WEB = "/apis/apps/v1/namespaces/default/deployments/web"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MERGE = "application/merge-patch+json"


async def test_a_scale_shows_replicas_and_selector(api: Api) -> None:
    made = await api.make(DEPLOYMENTS, deployment(replicas=3))

    scale = (await api("GET", f"{WEB}/scale")).body

    assert (scale["kind"], scale["apiVersion"]) == ("Scale", "autoscaling/v1")
    assert scale["spec"] == {"replicas": 3}
    assert scale["status"] == {"replicas": 0, "selector": "app=web"}
    assert scale["metadata"]["resourceVersion"] == made["metadata"]["resourceVersion"]


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
async def test_scaling_changes_the_workload(api: Api, method: str) -> None:
    await api.make(DEPLOYMENTS, deployment())
    scale = {"metadata": {"name": "web"}, "spec": {"replicas": 4}}

    content_type = MERGE if method == "PATCH" else "application/json"
    answer = await api(method, f"{WEB}/scale", scale, content_type=content_type)

    assert answer.body["spec"]["replicas"] == 4
    web = (await api("GET", WEB)).body
    assert (web["spec"]["replicas"], web["metadata"]["generation"]) == (4, 2)


async def test_a_scale_cannot_be_negative(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())

    answer = await api("PUT", f"{WEB}/scale", {"metadata": {"name": "web"}, "spec": {"replicas": -1}})

    assert answer.code == 422
    assert answer.body["message"] == (
        'Scale.autoscaling "web" is invalid: spec.replicas: Invalid value: -1: must be greater than or equal '
        "to 0"
    )


async def test_a_stale_scale_conflicts(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    stale = {"metadata": {"name": "web", "resourceVersion": "1"}, "spec": {"replicas": 2}}

    assert (await api("PUT", f"{WEB}/scale", stale)).code == 409


def binding(node: str = "n1", **metadata: Any) -> dict[str, Any]:
    return {"metadata": {"name": "web", **metadata}, "target": {"kind": "Node", "name": node}}


@pytest.mark.parametrize("path", [f"{PODS}/web/binding", "/api/v1/namespaces/default/bindings"])
async def test_binding_puts_a_pod_on_a_node(api: Api, path: str) -> None:
    await api.make(PODS, pod())

    answer = await api("POST", path, binding(annotations={"a": "b"}))

    assert (answer.code, answer.body["status"]) == (201, "Success")
    bound = (await api("GET", f"{PODS}/web")).body
    assert (bound["spec"]["nodeName"], bound["metadata"]["annotations"]) == ("n1", {"a": "b"})
    scheduled = [entry for entry in bound["status"]["conditions"] if entry["type"] == "PodScheduled"]
    assert [entry["status"] for entry in scheduled] == ["True"]


async def test_a_pod_is_bound_once(api: Api) -> None:
    await api.make(PODS, pod())
    await api("POST", f"{PODS}/web/binding", binding())

    answer = await api("POST", f"{PODS}/web/binding", binding("n2"))

    assert answer.code == 409
    assert answer.body["message"] == (
        'Operation cannot be fulfilled on pods/binding "web": pod web is already assigned to node "n1"'
    )


async def test_a_binding_without_a_node_is_invalid(api: Api) -> None:
    await api.make(PODS, pod())

    answer = await api("POST", f"{PODS}/web/binding", {"metadata": {"name": "web"}, "target": {}})

    assert answer.body["message"] == 'Binding "web" is invalid: target.name: Required value'


async def test_evicting_a_pod_deletes_it(api: Api) -> None:
    await api.make(PODS, pod())

    answer = await api("POST", f"{PODS}/web/eviction", {"metadata": {"name": "web"}})

    assert (answer.code, answer.body["status"]) == (201, "Success")
    assert (await api("GET", f"{PODS}/web")).code == 404


async def test_a_namespace_ends_in_two_steps(api: Api) -> None:
    await api.make("/api/v1/namespaces", {"metadata": {"name": "team"}})

    ending = (await api("DELETE", "/api/v1/namespaces/team")).body
    refused = await api("POST", "/api/v1/namespaces/team/configmaps", configmap())
    ending["spec"] = {}
    finalized = await api("PUT", "/api/v1/namespaces/team/finalize", ending)

    assert ending["status"]["phase"] == "Terminating"
    assert refused.code == 403
    assert refused.body["message"] == (
        'configmaps "settings" is forbidden: unable to create new content in namespace team because it is '
        "being terminated"
    )
    assert refused.body["details"]["causes"] == [
        {
            "reason": "NamespaceTerminating",
            "message": "namespace team is being terminated",
            "field": "metadata.namespace",
        }
    ]
    assert finalized.code == 200
    assert (await api("GET", "/api/v1/namespaces/team")).code == 404


@pytest.mark.parametrize("name", ["default", "kube-system", "kube-public", "kube-node-lease"])
async def test_some_namespaces_are_there_from_the_start_for_ever(api: Api, name: str) -> None:
    answer = await api("DELETE", f"/api/v1/namespaces/{name}")

    assert (answer.code, answer.body["reason"]) == (403, "Forbidden")
    assert answer.body["message"] == f'namespaces "{name}" is forbidden: this namespace may not be deleted'


@pytest.mark.parametrize(
    ("path", "named"),
    [
        ("/apis/apps/v1/namespaces/default/deployments", "deployments/scale.apps"),
        ("/apis/apps/v1/namespaces/default/replicasets", "replicasets/scale.apps"),
        ("/apis/apps/v1/namespaces/default/statefulsets", "statefulsets.apps"),
        ("/api/v1/namespaces/default/replicationcontrollers", "replicationcontrollers/scale.autoscaling"),
    ],
)
async def test_the_scale_of_what_is_not_there_is_named_as_upstream_names_it(
    api: Api, path: str, named: str
) -> None:
    answer = await api("GET", f"{path}/none/scale")
    assert (answer.code, answer.body["message"]) == (404, f'{named} "none" not found')
