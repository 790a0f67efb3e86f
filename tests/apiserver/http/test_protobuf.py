"""Requests in protobuf; answers are JSON for whoever takes it. Those in protobuf: `test_binary.py`."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.schema import META
from kplane.api.scheme import ResourceInfo, builtin
from kplane.testing.waiting import eventually

from ...api.protobuf.support import body, encode_message, envelope, sized
from ..conftest import Answer, Api, configmap, deployment, pod

PROTOBUF = "application/vnd.kubernetes.protobuf"
ROWS = builtin().rows
MAPS, PODS = "/api/v1/namespaces/default/configmaps", "/api/v1/namespaces/default/pods"
DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
MAP, POD, DEPLOYMENT = ROWS["", "v1", "configmaps"], ROWS["", "v1", "pods"], ROWS["apps", "v1", "deployments"]


async def send(api: Api, method: str, path: str, data: bytes, **query: str) -> Answer:
    """As a stock client does."""
    accept = f"{PROTOBUF},application/json"
    return await api(method, path, data, content_type=PROTOBUF, accept=accept, **query)


def without_identity(obj: Any) -> Any:
    own = ("name", "uid", "resourceVersion", "creationTimestamp", "managedFields")
    return obj | {"metadata": {key: value for key, value in obj["metadata"].items() if key not in own}}


@pytest.mark.parametrize(
    ("path", "row", "make"),
    [
        pytest.param(MAPS, MAP, configmap, id="configmap"),
        pytest.param(PODS, POD, pod, id="pod"),
        pytest.param(DEPLOYMENTS, DEPLOYMENT, deployment, id="deployment"),
    ],
)
async def test_created_objects_equal_those_from_json(
    api: Api, path: str, row: ResourceInfo, make: Any
) -> None:
    obj = make()
    json_obj = obj | {"metadata": obj["metadata"] | {"name": "other"}}

    answer = await send(api, "POST", path, body(obj, row))

    assert answer.code == 201
    assert without_identity(answer.body) == without_identity(await api.make(path, json_obj))


async def test_objects_are_updated(api: Api) -> None:
    await api.make(MAPS, configmap())

    answer = await send(api, "PUT", f"{MAPS}/settings", body(configmap(color="red"), MAP))

    assert (answer.code, answer.body["data"]) == (200, {"color": "red"})


async def test_deployments_are_scaled(api: Api) -> None:
    await api.make(DEPLOYMENTS, deployment())
    scale = {"metadata": {"name": "web"}, "spec": {"replicas": 5}, "status": {"replicas": 0}}
    raw = encode_message(scale, "io.k8s.api.autoscaling.v1.Scale")

    answer = await send(api, "PUT", f"{DEPLOYMENTS}/web/scale", envelope(raw, "autoscaling/v1", "Scale"))

    assert (answer.code, answer.body["spec"]) == (200, {"replicas": 5})


async def test_delete_options_are_obeyed(api: Api) -> None:
    await api.make(MAPS, configmap())
    options = {"preconditions": {"uid": "another"}}
    raw = encode_message(options, f"{META}DeleteOptions")

    refused = await send(api, "DELETE", f"{MAPS}/settings", envelope(raw, "v1", "DeleteOptions"))
    deleted = await send(api, "DELETE", f"{MAPS}/settings", envelope(b"", "v1", "DeleteOptions"))

    assert (refused.code, refused.body["reason"]) == (409, "Conflict")
    assert deleted.code == 200
    assert (await api("GET", f"{MAPS}/settings")).code == 404


async def test_kind_and_version_default_to_those_of_the_resource(api: Api) -> None:
    raw = encode_message(configmap(), MAP.definition)

    answer = await send(api, "POST", MAPS, envelope(raw))

    assert (answer.code, answer.body["kind"], answer.body["apiVersion"]) == (201, "ConfigMap", "v1")


async def test_unknown_numbers_are_no_unknown_fields(api: Api) -> None:
    raw = encode_message(configmap(), MAP.definition) + sized(500, b"text")

    answer = await send(api, "POST", MAPS, envelope(raw), fieldValidation="Strict")

    assert answer.code == 201


@pytest.mark.parametrize(
    ("data", "message"),
    [
        pytest.param(
            b"",
            "the object provided is unrecognized (must be of type ConfigMap): empty data (<empty>)",
            id="empty",
        ),
        pytest.param(
            b"{}",
            "the object provided is unrecognized (must be of type ConfigMap): provided data does not appear "
            "to be a protobuf message, expected prefix [107 56 115 0] ({})",
            id="json",
        ),
        pytest.param(
            b"k8s\0\x0a\x09",
            "the object provided is unrecognized (must be of type ConfigMap): unexpected EOF (6b3873000a09)",
            id="truncated-envelope",
        ),
        pytest.param(
            envelope(b"\x0a\x09", "v1", "ConfigMap"),
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: unexpected EOF',
            id="truncated-object",
        ),
        pytest.param(
            envelope(b"\x08\x01", "v1", "ConfigMap"),
            'ConfigMap in version "v1" cannot be handled as a ConfigMap: proto: wrong wireType = 0 for field '
            "ObjectMeta",
            id="wrong-type",
        ),
        pytest.param(
            envelope(b"", "v1", "Pod"),
            'Pod in version "v1" cannot be handled as a ConfigMap: converting (v1.Pod) to (v1.ConfigMap): '
            "unknown conversion",
            id="wrong-kind",
        ),
    ],
)
async def test_bodies_that_cannot_be_read_are_explained(api: Api, data: bytes, message: str) -> None:
    answer = await send(api, "POST", MAPS, data)

    assert (answer.code, answer.body["message"]) == (400, message)


DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


def definition() -> dict[str, Any]:
    """A definition with all that its protobuf form has special messages for."""
    size = {"type": "number", "minimum": 0.5, "maximum": 10, "default": 2, "enum": [2, 3.5]}
    free = {"type": "object", "additionalProperties": {"type": "string"}}
    spec = {"type": "object", "properties": {"size": size, "free": free}}
    schema = {"type": "object", "properties": {"spec": spec, "any": {"x-kubernetes-int-or-string": True}}}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "metadata": {"name": "kites.example.com"},
        "spec": {
            "group": "example.com",
            "scope": "Namespaced",
            "names": {"plural": "kites", "kind": "Kite"},
            "versions": [version],
        },
    }


async def test_definitions_are_made_from_protobuf(api: Api) -> None:
    kind = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    version, name = "apiextensions.k8s.io/v1", "CustomResourceDefinition"
    # Go's clients send all of the status, empty as it is.
    body = definition() | {"status": {"acceptedNames": {"plural": "", "kind": ""}}}

    made = await send(api, "POST", DEFINITIONS, envelope(encode_message(body, kind), version, name))

    assert made.code == 201, made.body
    assert made.body["spec"]["versions"] == definition()["spec"]["versions"]

    async def changed() -> Answer | None:
        """None where the server was faster with its conditions."""
        found = (await api("GET", f"{DEFINITIONS}/kites.example.com")).body
        found["spec"]["names"]["shortNames"] = ["kt"]
        data = envelope(encode_message(found, kind), version, name)
        answer = await send(api, "PUT", f"{DEFINITIONS}/kites.example.com", data)
        return None if answer.code == 409 else answer

    assert (await eventually(changed)).body["spec"]["names"]["shortNames"] == ["kt"]


async def test_api_services_are_made_from_protobuf(api: Api) -> None:
    body = {
        "metadata": {"name": "v1.far.example.com"},
        "spec": {
            "service": {"namespace": "default", "name": "far", "port": 7443},
            "group": "far.example.com",
            "version": "v1",
            "caBundle": "",
            "insecureSkipTLSVerify": True,
            "groupPriorityMinimum": 2000,
            "versionPriority": 200,
        },
    }
    raw = encode_message(body, "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.APIService")
    version = "apiregistration.k8s.io/v1"

    made = await send(api, "POST", f"/apis/{version}/apiservices", envelope(raw, version, "APIService"))

    assert made.code == 201, made.body
    assert made.body["spec"] == {key: value for key, value in body["spec"].items() if value != ""}


async def test_custom_resources_and_patches_are_not_read(api: Api) -> None:
    await api.make(DEFINITIONS, definition())
    kites = "/apis/example.com/v1/namespaces/default/kites"
    kite = await send(api, "POST", kites, envelope(b""))
    patch = await send(api, "PATCH", f"{MAPS}/settings", envelope(b""))

    assert kite.code == 415
    assert kite.body["message"].endswith("include: application/json, application/yaml")
    assert (patch.code, "protobuf" in patch.body["message"]) == (415, False)
