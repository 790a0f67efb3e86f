"""kubectl and custom resources, over TLS."""

from __future__ import annotations

import json

import pytest

from ..kubectl import Kubectl

pytestmark = pytest.mark.slow

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: crontabs.stable.example.com}
spec:
  group: stable.example.com
  scope: Namespaced
  names: {plural: crontabs, singular: crontab, kind: CronTab, shortNames: [ct], categories: [all]}
  versions:
  - name: v1
    served: true
    storage: true
    subresources:
      status: {}
      scale: {specReplicasPath: .spec.replicas, statusReplicasPath: .status.replicas}
    additionalPrinterColumns:
    - {name: Spec, type: string, jsonPath: .spec.cronSpec}
    - {name: Replicas, type: integer, jsonPath: .spec.replicas}
    - {name: Age, type: date, jsonPath: .metadata.creationTimestamp}
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            description: What the tab should do.
            required: [cronSpec]
            properties:
              cronSpec: {type: string, description: When to run.}
              image: {type: string}
              replicas: {type: integer, minimum: 1, maximum: 10, default: 1}
          status:
            type: object
            properties: {replicas: {type: integer}}
"""
TAB = """
apiVersion: stable.example.com/v1
kind: CronTab
metadata: {name: my-tab}
spec: {cronSpec: "* * * * */5", image: my-image, replicas: 2}
"""


async def test_a_custom_resource_from_its_definition_to_its_end(kubectl: Kubectl) -> None:
    created = await kubectl("create", "-f", "-", stdin=CRD)
    await kubectl("wait", "--for=condition=established", "crd/crontabs.stable.example.com", "--timeout=10s")
    assert created == "customresourcedefinition.apiextensions.k8s.io/crontabs.stable.example.com created\n"

    assert await kubectl("apply", "-f", "-", stdin=TAB) == "crontab.stable.example.com/my-tab created\n"
    assert await kubectl("apply", "-f", "-", stdin=TAB) == "crontab.stable.example.com/my-tab unchanged\n"
    changed = TAB.replace("my-image", "other")
    assert (
        await kubectl("apply", "-f", "-", stdin=changed) == "crontab.stable.example.com/my-tab configured\n"
    )

    header, row = (await kubectl("get", "ct")).splitlines()
    assert header.split() == ["NAME", "SPEC", "REPLICAS", "AGE"]
    assert row.split()[:1] == ["my-tab"]
    assert "* * * * */5   2" in row
    assert "crontab.stable.example.com/my-tab" in await kubectl("get", "all", "-o", "name")

    explained = await kubectl("explain", "crontab.spec")
    assert "What the tab should do." in explained
    assert "cronSpec\t<string> -required-" in explained
    assert "When to run." in explained

    bad = TAB.replace("image", "imgae")
    assert 'unknown field "spec.imgae"' in await kubectl("apply", "-f", "-", stdin=bad, fails=True)
    bad = TAB.replace("replicas: 2", "replicas: 20")
    assert "spec.replicas in body should be less than or equal to 10" in await kubectl(
        "apply", "-f", "-", stdin=bad, fails=True
    )

    await kubectl("scale", "crontab/my-tab", "--replicas=5")
    patch = '{"status": {"replicas": 5}}'
    await kubectl("patch", "ct/my-tab", "--subresource=status", "--type=merge", "-p", patch)
    body = json.loads(await kubectl("get", "ct/my-tab", "-o", "json"))
    assert (body["spec"]["replicas"], body["status"]) == (5, {"replicas": 5})

    await kubectl("apply", "--server-side", "--force-conflicts", "-f", "-", stdin=TAB)
    shown = await kubectl("describe", "ct", "my-tab")
    assert "Cron Spec:  * * * * */5" in shown

    await kubectl("delete", "ct", "--all")
    await kubectl("delete", "crd", "crontabs.stable.example.com")
    missing = await kubectl("get", "ct", fails=True)
    assert "the server could not find the requested resource" in missing


async def test_resources_of_a_new_group_are_listed(kubectl: Kubectl) -> None:
    await kubectl("api-resources")
    await kubectl("create", "-f", "-", stdin=CRD)
    await kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=10s")

    listed = await kubectl("api-resources", "--api-group=stable.example.com", "--no-headers")

    assert listed.split() == ["crontabs", "ct", "stable.example.com/v1", "true", "CronTab"]


async def test_a_strategic_patch_is_refused(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=CRD)
    await kubectl("wait", "--for=condition=established", "crd", "--all", "--timeout=10s")
    await kubectl("create", "-f", "-", stdin=TAB)

    refusal = await kubectl("patch", "ct/my-tab", "-p", '{"spec": {"replicas": 3}}', fails=True)

    assert "application/json-patch+json" in refusal
