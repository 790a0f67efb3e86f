"""Admission webhooks: what they may refuse and change, and what happens where they do not answer."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from ..apiserver.webhookserver import Received, Reply, WebhookServer
from ..clients.cluster import Kubectl
from .api import Api, ready, template
from .test_crd import ANY, Definition

GROUP = "/apis/admissionregistration.k8s.io/v1"
KINDS = ("validatingwebhookconfigurations", "mutatingwebhookconfigurations")
UNWANTED = "the configmap contains unwanted key and value"
FOREVER = 600


async def sample(received: Received) -> Reply:
    """What the suite's own webhook answers, by the path that is asked."""
    request = received.body["request"]
    obj, path = request.get("object") or request.get("oldObject") or {}, received.path.partition("?")[0]
    data = obj.get("data", {})
    refusal, patch = "", []
    match path:
        case "/always-deny":
            refusal = "this webhook denies all requests"
        case "/configmaps" if data.get("webhook-e2e-test") == "webhook-disallow":
            refusal = UNWANTED
        case "/pods" if obj["spec"]["containers"][0]["name"] == "webhook-disallow":
            refusal = "the pod contains unwanted container name"
        case "/pods/attach" if request["name"] == "to-be-attached-pod":
            refusal = "attaching to pod 'to-be-attached-pod' is not allowed"
        case "/mutating" if data.get("mutation-start") == "yes":
            patch = [{"op": "add", "path": "/data/mutation-stage-1", "value": "yes"}]
        case "/mutating-again" if data.get("mutation-stage-1") == "yes":
            patch = [{"op": "add", "path": "/data/mutation-stage-2", "value": "yes"}]
        case "/mutating-pods":
            value = [
                {"image": "webhook-added-image", "name": "webhook-added-init-container", "resources": {}}
            ]
            patch = [{"op": "add", "path": "/spec/initContainers", "value": value}]
        case "/slow":
            await asyncio.sleep(FOREVER)
    response: dict[str, Any] = {"uid": request["uid"], "allowed": not refusal}
    if refusal:
        response["status"] = {"message": refusal}
    if patch:
        response |= {"patchType": "JSONPatch", "patch": base64.b64encode(json.dumps(patch).encode()).decode()}
    review = {"kind": "AdmissionReview", "apiVersion": "admission.k8s.io/v1", "response": response}
    return Reply(200, json.dumps(review).encode())


class Hooks:
    """Webhooks about the objects of one namespace."""

    def __init__(self, api: Api, server: WebhookServer, namespace: str) -> None:
        self._api, self._server, self.namespace = api, server, namespace

    def body(self, path: str, resource: str, name: str = "e2e", **fields: Any) -> dict[str, Any]:
        group, _, plural = resource.rpartition(" ")
        rule = {"apiGroups": [group], "apiVersions": ["*"], "operations": ["*"], "resources": [plural]}
        hook = {
            "name": f"{name}.k8s.io", "rules": [rule], "sideEffects": "None",
            "admissionReviewVersions": ["v1", "v1beta1"], "clientConfig": self._server.by_url(path),
            "namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": self.namespace}},
        }  # fmt: skip
        labels = {"e2e-list-test": self.namespace}
        head = {"name": f"{self.namespace}-{name}", "labels": labels}
        return {"metadata": head, "webhooks": [hook | fields]}

    async def make(self, kind: int, path: str, resource: str, name: str = "e2e", **fields: Any) -> str:
        """The path of a new configuration: validating (0) or mutating (1)."""
        made = await self._api.make(f"{GROUP}/{KINDS[kind]}", self.body(path, resource, name, **fields))
        return f"{GROUP}/{KINDS[kind]}/{made['metadata']['name']}"

    async def clear(self) -> None:
        for kind in KINDS:
            await self._api.delete(f"{GROUP}/{kind}", {"labelSelector": f"e2e-list-test={self.namespace}"})


@pytest_asyncio.fixture
async def hooks(api: Api, namespace: str, tmp_path: Path) -> AsyncIterator[Hooks]:
    async with WebhookServer(tmp_path / "pki", sample) as server:
        made = Hooks(api, server, namespace)
        yield made
        await made.clear()


def configmap(name: str, **data: str) -> dict[str, Any]:
    return {"metadata": {"name": name}, "data": data}


BAD = {"webhook-e2e-test": "webhook-disallow"}


async def test_pods_and_configmaps_are_refused_however_they_come(api: Api, core: str, hooks: Hooks) -> None:
    await hooks.make(0, "/pods", "pods", "deny-unwanted-pod")
    await hooks.make(0, "/configmaps", "configmaps", "deny-unwanted-configmap")
    nowhere = {"clientConfig": {"url": "https://127.0.0.1:1/"}, "failurePolicy": "Ignore"}
    await hooks.make(0, "/", "configmaps", "fail-open", **nowhere)
    made = template({})
    made["spec"]["containers"][0]["name"] = "webhook-disallow"
    said = await api("POST", f"{core}/pods", made | {"metadata": {"name": "disallowed-pod"}})
    assert 'admission webhook "deny-unwanted-pod.k8s.io" denied the request: ' in said.body["message"]

    said = await api("POST", f"{core}/configmaps", configmap("bad", **BAD))
    assert said.code == 400, said.body
    assert said.body["message"].endswith(f"denied the request: {UNWANTED}")
    good = await api.make(f"{core}/configmaps", configmap("good", admit="this"))
    for method, body, type in (
        ("PUT", good | {"data": BAD}, "application/json"),
        ("PATCH", {"data": BAD}, "application/strategic-merge-patch+json"),
    ):
        said = await api(method, f"{core}/configmaps/good", body, type=type)
        assert UNWANTED in said.body["message"]
    spared = "/api/v1/namespaces/default/configmaps"
    assert (await api("POST", spared, configmap("elsewhere", **BAD), dryRun="All")).code == 201


async def test_attaching_is_refused(api: Api, core: str, hooks: Hooks, kubectl: Kubectl) -> None:
    await hooks.make(0, "/pods/attach", "pods/attach", "deny-attaching-pod")
    await api.make(f"{core}/pods", template({}) | {"metadata": {"name": "to-be-attached-pod"}})
    await api.until(f"{core}/pods/to-be-attached-pod", ready)
    said = await kubectl("attach", "to-be-attached-pod", "-i", "-c=app", fails=True)
    assert "attaching to pod 'to-be-attached-pod' is not allowed" in said


async def test_what_no_webhook_can_be_asked_about_is_refused(api: Api, core: str, hooks: Hooks) -> None:
    nowhere = {"clientConfig": {"url": "https://127.0.0.1:1/"}, "failurePolicy": "Fail"}
    await hooks.make(0, "/", "configmaps", "fail-closed", **nowhere)
    said = await api("POST", f"{core}/configmaps", configmap("foo"))
    assert (said.code, said.body["reason"]) == (500, "InternalError")
    assert 'failed calling webhook "fail-closed.k8s.io"' in said.body["message"]


async def test_configmaps_and_pods_are_changed_and_then_defaulted(api: Api, core: str, hooks: Hooks) -> None:
    await hooks.make(1, "/mutating", "configmaps", "stage-1")
    await hooks.make(1, "/mutating-again", "configmaps", "stage-2")
    await hooks.make(1, "/mutating-pods", "pods", "adding-init-container", failurePolicy="Fail")
    mutated = await api.make(f"{core}/configmaps", configmap("m", **{"mutation-start": "yes"}))
    stages = {"mutation-start": "yes", "mutation-stage-1": "yes", "mutation-stage-2": "yes"}
    assert mutated["data"] == stages

    pod = await api.make(f"{core}/pods", template({}) | {"metadata": {"name": "p"}})
    (added,) = pod["spec"]["initContainers"]
    assert added["name"] == "webhook-added-init-container"
    assert added["terminationMessagePolicy"] == "File"
    assert added["imagePullPolicy"] == "Always"


async def test_match_conditions_spare_what_they_name_and_must_compile(
    api: Api, core: str, hooks: Hooks
) -> None:
    skip = [{"name": "skip-me", "expression": "object.metadata.name != 'skip-me'"}]
    for kind in (0, 1):
        asked = ("/configmaps", "/mutating")[kind]
        path = await hooks.make(kind, asked, "configmaps", "conditions", matchConditions=skip)
        assert (await api.get(path))["webhooks"][0]["matchConditions"] == skip
        change = [{"name": "other", "expression": "object.metadata.name != 'other'"}]
        await api.change(
            path, lambda found, change=change: found["webhooks"][0].update(matchConditions=change)
        )
        await api.change(path, lambda found: found["webhooks"][0].update(matchConditions=skip))
        wrong = [{"name": "wrong", "expression": "... [}"}]
        faulty = hooks.body(asked, "configmaps", "faulty", matchConditions=wrong)
        said = await api("POST", f"{GROUP}/{KINDS[kind]}", faulty)
        assert said.code == 422
        assert "compilation failed" in said.body["message"]
    start = {"mutation-start": "yes"}
    made = await api.make(f"{core}/configmaps", configmap("any", **start))
    assert made["data"] == start | {"mutation-stage-1": "yes"}
    assert (await api.make(f"{core}/configmaps", configmap("skip-me", **start)))["data"] == start


@pytest.mark.parametrize("kind", [0, 1], ids=["validating", "mutating"])
async def test_many_are_listed_and_removed_at_once(api: Api, core: str, hooks: Hooks, kind: int) -> None:
    path = ("/configmaps", "/mutating")[kind]
    for number in range(10):
        await hooks.make(kind, path, "configmaps", f"many-{number}")
    query = {"labelSelector": f"e2e-list-test={hooks.namespace}"}
    assert len(await api.items(f"{GROUP}/{KINDS[kind]}", **query)) == 10
    body = configmap("c", **BAD, **{"mutation-start": "yes"})
    assert ((await api("POST", f"{core}/configmaps", body)).code == 201) is bool(kind)
    await hooks.clear()
    made = await api.make(f"{core}/configmaps", body | {"metadata": {"name": "d"}})
    assert made["data"] == body["data"]


async def test_a_configuration_counts_as_it_is_updated_and_patched(api: Api, core: str, hooks: Hooks) -> None:
    path = await hooks.make(0, "/configmaps", "configmaps", "changing")

    def operations(*names: str) -> Any:
        def change(found: Any) -> None:
            found["webhooks"][0]["rules"][0]["operations"] = list(names)

        return change

    await api.change(path, operations("UPDATE"))
    await api.make(f"{core}/configmaps", configmap("now-allowed", **BAD))
    patch = [{"op": "replace", "path": "/webhooks/0/rules/0/operations", "value": ["CREATE"]}]
    await api.patch(path, patch, "application/json-patch+json")
    assert UNWANTED in (await api("POST", f"{core}/configmaps", configmap("b", **BAD))).body["message"]


async def test_custom_resources_and_definitions_are_refused(api: Api, hooks: Hooks) -> None:
    crd = Definition(api, hooks.namespace)
    await crd.make(schema=ANY)
    await hooks.make(0, "/always-deny", f"{crd.group} {crd.name}s", "deny-cr")
    path = crd.resources(hooks.namespace)
    said = await api("POST", path, json.loads(crd.manifest()))
    assert "this webhook denies all requests" in said.body["message"]
    anywhere = {
        "namespaceSelector": {},
        "objectSelector": {"matchLabels": {"e2e-list-test": hooks.namespace}},
    }
    await hooks.make(
        0, "/always-deny", "apiextensions.k8s.io customresourcedefinitions", "deny-crd", **anywhere
    )
    other = Definition(api, f"{hooks.namespace}-other").body()
    other["metadata"]["labels"] = {"e2e-list-test": hooks.namespace}
    said = await api("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", other)
    assert "this webhook denies all requests" in said.body["message"]
    await hooks.clear()
    await api.delete(crd.path)


async def test_custom_resources_are_changed_and_pruned(api: Api, hooks: Hooks) -> None:
    crd = Definition(api, hooks.namespace)
    text = {"type": "string"}
    data = {"type": "object", "properties": {"mutation-start": text, "mutation-stage-1": text}}
    await crd.make("v1", "v2", schema={"type": "object", "properties": {"data": data}})
    await hooks.make(1, "/mutating", f"{crd.group} {crd.name}s", "stage-1")
    await hooks.make(1, "/mutating-again", f"{crd.group} {crd.name}s", "stage-2")
    start = {"mutation-start": "yes"}
    for version in ("v1", "v2"):
        manifest = json.loads(crd.manifest(f"cr-{version}", version, data=start))
        made = await api.make(crd.resources(hooks.namespace, version), manifest)
        # The second stage is not in the schema, and is dropped after its webhook.
        assert made["data"] == start | {"mutation-stage-1": "yes"}
    store = [
        {"op": "replace", "path": "/spec/versions/0/storage", "value": False},
        {"op": "replace", "path": "/spec/versions/1/storage", "value": True},
    ]
    await api.patch(crd.path, store, "application/json-patch+json")
    kept = await api.patch(
        f"{crd.resources(hooks.namespace)}/cr-v1",
        {"data": {"mutation-start": "yes"}},
        "application/merge-patch+json",
    )
    assert kept["data"] == start | {"mutation-stage-1": "yes"}
    await hooks.clear()
    await api.delete(crd.path)


async def test_configurations_of_webhooks_are_out_of_reach_of_webhooks(api: Api, hooks: Hooks) -> None:
    anywhere = {"namespaceSelector": {}, "failurePolicy": "Fail"}
    for kind in (0, 1):
        await hooks.make(kind, "/always-deny", "admissionregistration.k8s.io *", "deny-all", **anywhere)
    for kind in (0, 1):
        dummy = await hooks.make(kind, "/configmaps", "none", "dummy")
        await api.delete(dummy)


async def test_a_slow_webhook_costs_its_timeout(api: Api, core: str, hooks: Hooks) -> None:
    path = await hooks.make(0, "/slow", "configmaps", "slow", timeoutSeconds=1)
    said = await api("POST", f"{core}/configmaps", configmap("late"))
    assert said.code == 500
    assert "context deadline exceeded" in said.body["message"]
    await api.change(path, lambda found: found["webhooks"][0].update(failurePolicy="Ignore"))
    await api.make(f"{core}/configmaps", configmap("ignored"))
    await api.change(path, lambda found: found["webhooks"][0].pop("timeoutSeconds"))
    assert (await api.get(path))["webhooks"][0]["timeoutSeconds"] == 10


async def test_configurations_are_discovered(api: Api) -> None:
    (group,) = [
        each for each in (await api.get("/apis"))["groups"] if each["name"] == "admissionregistration.k8s.io"
    ]
    assert "admissionregistration.k8s.io/v1" in [each["groupVersion"] for each in group["versions"]]
    listed = await api.get(GROUP)
    assert set(KINDS) <= {each["name"] for each in listed["resources"]}
