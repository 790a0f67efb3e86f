"""What Go's typed clients send when they speak protobuf: reviews, subresources and options, too."""

from __future__ import annotations

import json
from typing import Any

import pytest

from ..api.protobuf.support import encode_message, envelope
from .api import GO_ACCEPT, Api, condition, ready, template
from .test_crd import Definition

PROTOBUF = "application/vnd.kubernetes.protobuf"
META = "io.k8s.apimachinery.pkg.apis.meta.v1."
NOTHING = {"path": "/", "verb": "get"}


async def send(
    api: Api, method: str, path: str, version: str, kind: str, body: Any, message: str = ""
) -> Any:
    """The decoded answer to a body in protobuf. The message is found by version and kind."""
    group = version.partition("/")[0].partition(".")[0] if "/" in version else "core"
    name = message or f"io.k8s.api.{group}.v1.{kind}"
    data = envelope(encode_message(body, name), version, kind)
    headers = {"Accept": GO_ACCEPT, "Content-Type": PROTOBUF}
    answer = await api.transport.request(method, path, headers=headers, body=data)
    assert answer.status in (200, 201), answer.body
    return json.loads(answer.body)


@pytest.mark.parametrize(
    ("version", "kind", "spec"),
    [
        ("authentication.k8s.io/v1", "TokenReview", {"token": "unknown"}),
        ("authentication.k8s.io/v1", "SelfSubjectReview", {}),
        ("authorization.k8s.io/v1", "SubjectAccessReview", {"user": "a", "nonResourceAttributes": NOTHING}),
        ("authorization.k8s.io/v1", "SelfSubjectAccessReview", {"nonResourceAttributes": NOTHING}),
        ("authorization.k8s.io/v1", "SelfSubjectRulesReview", {"namespace": "default"}),
    ],
)
async def test_reviews(api: Api, version: str, kind: str, spec: Any) -> None:
    body = {"metadata": {}, "spec": spec, "status": {}}
    assert (await send(api, "POST", f"/apis/{version}/{kind.lower()}s", version, kind, body))["status"]


async def test_a_pod_is_made_changed_and_evicted(api: Api, core: str) -> None:
    made = template({}) | {"metadata": {"name": "p"}, "status": {}}
    await send(api, "POST", f"{core}/pods", "v1", "Pod", made)
    await api.until(f"{core}/pods/p", ready)
    found = await api.get(f"{core}/pods/p")
    found["spec"]["ephemeralContainers"] = [{"name": "e", "image": "i", "targetContainerName": "app"}]
    await send(api, "PUT", f"{core}/pods/p/ephemeralcontainers", "v1", "Pod", found)
    eviction = {"metadata": {"name": "p"}}
    await send(api, "POST", f"{core}/pods/p/eviction", "policy/v1", "Eviction", eviction)
    await api.until_gone(f"{core}/pods/p")


async def test_accounts_have_tokens_and_namespaces_finalizers(api: Api, core: str) -> None:
    request = {"metadata": {}, "spec": {"audiences": []}, "status": {}}
    path = f"{core}/serviceaccounts/default/token"
    made = await send(api, "POST", path, "authentication.k8s.io/v1", "TokenRequest", request)
    assert made["status"]["token"]
    found = await api.get(core)
    done = await send(api, "PUT", f"{core}/finalize", "v1", "Namespace", found)
    assert done["spec"]["finalizers"] == ["kubernetes"]


async def test_sets_are_scaled_and_deleted_with_options(api: Api, apps: str) -> None:
    path = f"{apps}/replicasets/rs"
    labels = {"a": "b"}
    spec = {"replicas": 0, "selector": {"matchLabels": labels}, "template": template(labels)}
    body = {"metadata": {"name": "rs"}, "spec": spec, "status": {"replicas": 0}}
    await send(api, "POST", f"{apps}/replicasets", "apps/v1", "ReplicaSet", body)
    scale = await api.get(f"{path}/scale")
    scale["spec"]["replicas"] = 1
    del scale["metadata"]["resourceVersion"]  # The set's status is being written beside this.
    scaled = await send(api, "PUT", f"{path}/scale", "autoscaling/v1", "Scale", scale)
    assert scaled["spec"]["replicas"] == 1
    options = {"propagationPolicy": "Foreground", "gracePeriodSeconds": 0}
    await send(api, "DELETE", path, "v1", "DeleteOptions", options, f"{META}DeleteOptions")
    await api.until_gone(path)


async def test_definitions_are_made_and_in_effect(api: Api, namespace: str) -> None:
    crd = Definition(api, namespace)
    message = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.CustomResourceDefinition"
    collection, _, _ = crd.path.rpartition("/")
    kind = "CustomResourceDefinition"
    await send(api, "POST", collection, "apiextensions.k8s.io/v1", kind, crd.body(), message)
    await api.until(crd.path, lambda found: condition(found, "Established") == "True")
    path = crd.resources(namespace)
    made = await api.make(path, json.loads(crd.manifest(anything={"goes": [1, 2.5]})))
    since = made["metadata"]["resourceVersion"]
    async with api.watch(path, resourceVersion=since) as watch:
        await api.delete(f"{path}/test-cr")
        assert (await watch.until("DELETED"))["anything"] == {"goes": [1, 2.5]}
    await api.delete(crd.path)
