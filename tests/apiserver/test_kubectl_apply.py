"""kubectl's server-side apply over TLS."""

from __future__ import annotations

import json

import pytest

from .kubectl import Kubectl
from .test_kubectl import MANIFEST

pytestmark = pytest.mark.slow

SERVER_SIDE = ("apply", "--server-side", "-f", "-")


async def test_applying_twice_is_quiet_and_conflicts_need_force(kubectl: Kubectl) -> None:
    first = await kubectl(*SERVER_SIDE, stdin=MANIFEST)
    revision = await kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.resourceVersion}")
    await kubectl(*SERVER_SIDE, stdin=MANIFEST)
    unchanged = await kubectl("get", "deployment", "web", "-o", "jsonpath={.metadata.resourceVersion}")
    changed = MANIFEST.replace("replicas: 2", "replicas: 4")
    refusal = await kubectl(*SERVER_SIDE, "--field-manager=other", stdin=changed, fails=True)
    await kubectl(*SERVER_SIDE, "--field-manager=other", "--force-conflicts", stdin=changed)
    shown = json.loads(await kubectl("get", "deployment", "web", "-o", "json", "--show-managed-fields"))

    assert first.splitlines()[0] == "deployment.apps/web serverside-applied"
    assert unchanged == revision
    assert 'conflict with "kubectl": .spec.replicas' in refusal
    assert shown["spec"]["replicas"] == 4
    owners = {entry["manager"]: entry["fieldsV1"]["f:spec"] for entry in shown["metadata"]["managedFields"]}
    assert "f:replicas" not in owners["kubectl"]
    assert owners["other"]["f:replicas"] == {}


async def test_client_side_apply_is_migrated(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=MANIFEST)
    without = MANIFEST.replace("  replicas: 2\n", "").replace("{app: web}\nspec:\n", "{tier: x}\nspec:\n", 1)

    await kubectl(*SERVER_SIDE, stdin=without)

    shown = json.loads(await kubectl("get", "deployment", "web", "-o", "json", "--show-managed-fields"))
    owners = {(entry["manager"], entry["operation"]) for entry in shown["metadata"]["managedFields"]}
    # kubectl keeps the annotation of its older self under a name of its own.
    assert owners == {("kubectl", "Apply"), ("kubectl-last-applied", "Apply")}
    assert shown["metadata"]["labels"] == {"tier": "x"}
    assert shown["spec"]["replicas"] == 1


async def test_diff_shows_what_apply_would_change(kubectl: Kubectl) -> None:
    await kubectl(*SERVER_SIDE, stdin=MANIFEST)

    same = await kubectl("diff", "--server-side", "-f", "-", stdin=MANIFEST)

    changed = MANIFEST.replace("replicas: 2", "replicas: 4")
    await kubectl("diff", "--server-side", "-f", "-", stdin=changed, fails=True)

    assert same == ""
    replicas = await kubectl("get", "deployment", "web", "-o", "jsonpath={.spec.replicas}")
    assert replicas == "2"
