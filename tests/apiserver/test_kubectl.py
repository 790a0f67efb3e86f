"""kubectl against the server over TLS, with a client certificate."""

from __future__ import annotations

import json

import pytest

from .kubectl import Kubectl

pytestmark = pytest.mark.slow

MANIFEST = """
apiVersion: apps/v1
kind: Deployment
metadata:
  name: web
  labels: {app: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
      - name: web
        image: web:1
        ports: [{containerPort: 80}]
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec:
  selector: {app: web}
  ports: [{port: 80}]
---
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue}
"""


async def test_a_manifest_is_applied_changed_and_deleted(kubectl: Kubectl) -> None:
    first = await kubectl("apply", "-f", "-", stdin=MANIFEST)
    same = await kubectl("apply", "-f", "-", stdin=MANIFEST)
    changed = await kubectl("apply", "-f", "-", stdin=MANIFEST.replace("replicas: 2", "replicas: 4"))
    replicas = await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    gone = await kubectl("delete", "-f", "-", stdin=MANIFEST)

    assert first.splitlines() == [
        "deployment.apps/web created", "service/web created", "configmap/settings created",
    ]  # fmt: skip
    assert same.splitlines() == [
        "deployment.apps/web unchanged", "service/web unchanged", "configmap/settings unchanged",
    ]  # fmt: skip
    assert changed.splitlines()[0] == "deployment.apps/web configured"
    assert replicas == "4"
    assert len(gone.splitlines()) == 3
    assert "NotFound" in await kubectl("get", "deployment", "web", fails=True)


async def test_objects_are_shown_in_every_way(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)

    wide = await kubectl("get", "deployments", "-o", "wide")
    everything = await kubectl("get", "all", "-A")
    described = await kubectl("describe", "deployment", "web")
    service = json.loads(await kubectl("get", "service", "web", "-o", "json"))

    assert wide.split()[:5] == ["NAME", "READY", "UP-TO-DATE", "AVAILABLE", "AGE"]
    assert "web:1" in wide
    assert "service/kubernetes" in everything
    assert "RollingUpdateStrategy:  25% max unavailable, 25% max surge" in described
    assert service["spec"]["clusterIP"].startswith("10.")


async def test_objects_are_changed_in_every_way(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)

    await kubectl("scale", "deployment", "web", "--replicas=7")
    await kubectl("label", "deployment", "web", "tier=front")
    await kubectl("annotate", "deployment", "web", "note=yes")
    await kubectl("set", "image", "deployment/web", "web=web:2")
    await kubectl("patch", "configmap", "settings", "-p", '{"data":{"size":"1"}}')
    await kubectl("apply", "-f", "-", stdin="{kind: Namespace, apiVersion: v1, metadata: {name: team}}")
    await kubectl("run", "one", "--image=web:1", "-n", "team")

    web = json.loads(await kubectl("get", "deployment", "web", "-o", "json"))
    settings = json.loads(await kubectl("get", "configmap", "settings", "-o", "json"))
    assert (web["spec"]["replicas"], web["metadata"]["labels"]["tier"]) == (7, "front")
    assert web["spec"]["template"]["spec"]["containers"][0]["image"] == "web:2"
    assert settings["data"] == {"color": "blue", "size": "1"}
    assert "one" in await kubectl("get", "pods", "-n", "team")


async def test_mistakes_are_explained(kubectl: Kubectl) -> None:
    typo = await kubectl("apply", "-f", "-", stdin=MANIFEST.replace("replicas:", "replica:"), fails=True)
    nowhere = await kubectl("apply", "-n", "nowhere", "-f", "-", stdin=MANIFEST, fails=True)
    immortal = await kubectl("delete", "namespace", "default", fails=True)

    assert 'unknown field "spec.replica"' in typo
    assert 'namespaces "nowhere" not found' in nowhere
    assert 'namespaces "default" is forbidden: this namespace may not be deleted' in immortal
