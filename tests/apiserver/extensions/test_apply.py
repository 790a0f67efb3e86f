"""Server-side apply to custom resources: through their Scale, and in several versions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..conftest import Answer, Api
from .conftest import GROUP, WIDGETS, version, widget

ONE = f"{WIDGETS}/one"
ONE_BETA = f"/apis/{GROUP}/v1beta1/namespaces/default/widgets/one"
APPLY = "application/apply-patch+yaml"
MERGE = "application/merge-patch+json"
Define = Callable[..., Any]


def scalable(name: str = "v1", *, replicas: str = ".spec.replicas", **more: Any) -> dict[str, Any]:
    scale = {"specReplicasPath": replicas, "statusReplicasPath": ".status.replicas"}
    return version(name, subresources={"status": {}, "scale": scale}, **more)


async def apply(api: Api, path: str, body: Any, manager: str = "me", **query: str) -> Answer:
    return await api("PATCH", path, body, content_type=APPLY, fieldManager=manager, **query)


def scale(replicas: int) -> dict[str, Any]:
    return {"apiVersion": "autoscaling/v1", "kind": "Scale", "spec": {"replicas": replicas}}


def managers(body: Any) -> dict[tuple[str, str, str], tuple[str, Any]]:
    return {
        (entry.get("manager", ""), entry["operation"], entry.get("subresource", "")): (
            entry["apiVersion"],
            entry["fieldsV1"],
        )
        for entry in body["metadata"]["managedFields"]
    }


async def test_replicas_are_managed_where_the_definition_says(api: Api, define: Define) -> None:
    deep = {
        "type": "object",
        "properties": {"size": {"type": "object", "properties": {"n": {"type": "integer"}}}},
    }
    await define(versions=[scalable(replicas=".spec.size.n", spec=deep)])
    await apply(api, ONE, widget(size={"n": 1}), "owner")

    refused = await apply(api, f"{ONE}/scale", scale(3), "scaler")
    forced = await apply(api, f"{ONE}/scale", scale(3), "scaler", force="true")

    assert refused.code == 409
    assert refused.body["message"].endswith('conflict with "owner": .spec.replicas')
    assert forced.body["spec"] == {"replicas": 3}
    found = (await api("GET", ONE)).body
    assert found["spec"] == {"size": {"n": 3}}
    assert managers(found) == {
        ("scaler", "Apply", "scale"): (f"{GROUP}/v1", {"f:spec": {"f:size": {"f:n": {}}}})
    }


async def test_a_scale_knows_the_managers_of_every_version(api: Api, define: Define) -> None:
    other = {"type": "object", "properties": {"replicas": {"type": "integer"}, "n": {"type": "integer"}}}
    versions = [scalable(), scalable("v1beta1", storage=False, spec=other)]
    await define(versions=versions)
    await apply(api, ONE_BETA, widget(api_version=f"{GROUP}/v1beta1", replicas=1), "beta")

    refused = await apply(api, f"{ONE}/scale", scale(3), "scaler")
    forced = await apply(api, f"{ONE}/scale", scale(3), "scaler", force="true")

    assert refused.body["message"].endswith('conflict with "beta": .spec.replicas')
    assert forced.code == 200
    found = managers((await api("GET", ONE)).body)
    assert found["scaler", "Apply", "scale"] == (f"{GROUP}/v1", {"f:spec": {"f:replicas": {}}})
    assert ("beta", "Apply", "") not in found


async def test_status_is_applied_through_its_endpoint_alone(api: Api, define: Define) -> None:
    await define(versions=[scalable()])
    await api.make(WIDGETS, widget())
    config = {"apiVersion": f"{GROUP}/v1", "kind": "Widget", "status": {"phase": "Ready"}}

    answer = await apply(api, f"{ONE}/status", config | {"spec": {"color": "blue"}}, "controller")

    assert answer.code == 200
    assert answer.body["status"] == {"phase": "Ready"}
    assert answer.body["spec"]["color"] == "red"
    found = managers(answer.body)["controller", "Apply", "status"]
    assert found == (f"{GROUP}/v1", {"f:status": {"f:phase": {}}})


async def test_each_version_is_compared_by_its_own_schema(api: Api, define: Define) -> None:
    """A list that is atomic in one version and has keys in the other."""
    item = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}}}
    keyed = {
        "type": "array",
        "items": item,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["name"],
    }
    specs = [
        {"type": "object", "properties": {"parts": parts}}
        for parts in (keyed, {"type": "array", "items": item})
    ]
    await define(versions=[version(spec=specs[0]), version("v1beta1", storage=False, spec=specs[1])])
    beta = widget(api_version=f"{GROUP}/v1beta1", parts=[{"name": "a"}])
    await apply(api, ONE_BETA, beta, "beta")

    refused = await apply(api, ONE, widget(parts=[{"name": "b"}]), "new")
    forced = await apply(api, ONE, widget(parts=[{"name": "b"}]), "new", force="true")

    assert refused.code == 409
    assert refused.body["message"].endswith('conflict with "beta": .spec.parts')
    assert forced.body["spec"]["parts"] == [{"name": "a"}, {"name": "b"}]
    assert set(managers(forced.body)) == {("new", "Apply", "")}


async def test_an_applier_moves_between_versions(api: Api, define: Define) -> None:
    await define(versions=[version(), version("v1beta1", storage=False)])
    beta = widget(api_version=f"{GROUP}/v1beta1", color="red", tags=["a", "b"])
    await apply(api, ONE_BETA, beta)

    moved = await apply(api, ONE, widget(tags=["b", "c"]))

    assert moved.body["spec"] == {"replicas": 1, "tags": ["b", "c"]}
    assert managers(moved.body) == {
        ("me", "Apply", ""): (f"{GROUP}/v1", {"f:spec": {"f:tags": {'v:"b"': {}, 'v:"c"': {}}}})
    }
