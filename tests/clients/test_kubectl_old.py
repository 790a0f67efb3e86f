"""kubectl 1.20, as Debian ships it: what has not changed since must still work."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from .cluster import Cluster, Kubectl
from .shapes import DEPLOYMENT, configmap, pod

OLD = Path(sys.prefix) / "kubectl-1.20" / "usr" / "bin" / "kubectl"
"""Where deploy/setup.sh unpacks it: not on PATH."""

MANIFEST = json.dumps(DEPLOYMENT)


@pytest.fixture
def old(cluster: Cluster, namespace: str) -> Kubectl:
    return Kubectl(cluster, namespace, OLD)


async def test_it_tells_both_versions(old: Kubectl) -> None:
    told = await old.json("version")

    assert told["clientVersion"]["minor"] == "20"
    assert told["serverVersion"]["minor"] == "37"


async def test_a_deployment_is_applied_rolled_out_scaled_and_undone(old: Kubectl) -> None:
    await old("apply", "-f", "-", stdin=MANIFEST)
    again = await old("apply", "-f", "-", stdin=MANIFEST)
    await old("rollout", "status", "deployment/web", "--timeout=30s")
    await old("set", "image", "deployment/web", "web=web:2")
    await old("scale", "deployment/web", "--replicas=3")
    await old("rollout", "status", "deployment/web", "--timeout=30s")
    history = await old("rollout", "history", "deployment/web")
    await old("rollout", "undo", "deployment/web")
    await old("rollout", "status", "deployment/web", "--timeout=30s")
    image = await old("get", "deployment", "web", "-o", "jsonpath={.spec.template.spec.containers[0].image}")
    pods = await old("get", "pods", "-l", "app=web", "--field-selector=status.phase=Running", "-o", "wide")
    gone = await old("delete", "deployment", "web")

    assert again == "deployment.apps/web unchanged\n"
    assert [row.split()[0] for row in history.splitlines()[2:] if row] == ["1", "2"]
    assert image == "web:1"
    assert pods.splitlines()[0].split()[:6] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP"]
    assert gone == 'deployment.apps "web" deleted\n'


async def test_server_side_apply_and_its_conflicts(old: Kubectl) -> None:
    await old("apply", "--server-side", "-f", "-", stdin=json.dumps(configmap(color="blue")))
    changed = json.dumps(configmap(color="red"))

    refusal = await old(
        "apply", "--server-side", "--field-manager=other", "-f", "-", stdin=changed, fails=True
    )
    await old(
        "apply", "--server-side", "--field-manager=other", "--force-conflicts", "-f", "-", stdin=changed
    )

    assert 'Apply failed with 1 conflict: conflict with "kubectl": .data.color' in refusal
    assert await old("get", "cm", "settings", "-o", "jsonpath={.data.color}") == "red"


async def test_it_describes_explains_and_lists_resources(old: Kubectl) -> None:
    await old("apply", "-f", "-", stdin=MANIFEST)

    described = await old("describe", "deployment", "web")
    explained = await old("explain", "pod.spec.restartPolicy")
    resources = (await old("api-resources", "-o", "name")).split()
    versions = (await old("api-versions")).split()

    assert "2 desired" in described
    assert "FIELD:    restartPolicy <string>" in explained
    assert {"pods", "deployments.apps", "customresourcedefinitions.apiextensions.k8s.io"} <= set(resources)
    assert {"v1", "apps/v1", "autoscaling/v2"} <= set(versions)


async def test_patches_labels_annotations_and_waits(old: Kubectl) -> None:
    await old("create", "-f", "-", stdin=json.dumps(pod()))
    await old("wait", "--for=condition=Ready", "pod/web", "--timeout=30s")
    await old("label", "pod", "web", "tier=front")
    await old("annotate", "pod", "web", "note=yes")
    await old("patch", "pod", "web", "--type=json", "-p", '[{"op":"remove","path":"/metadata/labels/app"}]')
    shown = await old.json("get", "pod", "web")
    await old("delete", "pod", "web", "--wait")

    assert shown["metadata"]["labels"] == {"tier": "front"}
    assert shown["metadata"]["annotations"]["note"] == "yes"
    assert 'pods "web" not found' in await old("get", "pod", "web", fails=True)


async def test_validation_of_the_client_reads_the_schema(old: Kubectl) -> None:
    typo = json.dumps(DEPLOYMENT).replace("replicas", "replica")

    refusal = await old("apply", "-f", "-", stdin=typo, fails=True)

    assert 'unknown field "replica" in io.k8s.api.apps.v1.DeploymentSpec' in refusal


async def test_diff_and_dry_run_change_nothing(old: Kubectl) -> None:
    await old("apply", "-f", "-", stdin=MANIFEST)
    changed = MANIFEST.replace('"replicas": 2', '"replicas": 4')

    shown = await old("diff", "-f", "-", stdin=changed, code=1)
    dry = await old("apply", "--dry-run=server", "-f", "-", stdin=changed)

    assert "+  replicas: 4" in shown
    assert dry == "deployment.apps/web configured (server dry run)\n"
    assert (await old.json("get", "deployment", "web"))["spec"]["replicas"] == 2


async def test_a_resource_that_is_no_longer_served_is_said_so(old: Kubectl) -> None:
    refusal = await old("create", "cronjob", "tick", "--image=a:1", "--schedule=* * * * *", fails=True)

    why = "the server could not find the requested resource (post cronjobs.batch)"
    assert refusal == f"error: failed to create cronjob: {why}\n"
