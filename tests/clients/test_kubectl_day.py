"""kubectl's verbs for changing and watching what runs, day by day."""

from __future__ import annotations

import asyncio
import json

import pytest

from .cluster import Kubectl
from .shapes import DEPLOYMENT, configmap, pod


@pytest.fixture
async def web(kubectl: Kubectl) -> Kubectl:
    """A Deployment of two, rolled out."""
    await kubectl("apply", "-f", "-", stdin=json.dumps(DEPLOYMENT))
    await kubectl("rollout", "status", "deployment/web", "--timeout=30s")
    return kubectl


async def test_wait_for_conditions_paths_creation_and_deletion(web: Kubectl) -> None:
    async with web.started("wait", "--for=create", "configmap/late", "--timeout=20s") as waiting:
        await web("create", "-f", "-", stdin=json.dumps(configmap("late")))
        assert b"configmap/late condition met" in await waiting.stdout.read()

    await web("wait", "--for=condition=Available", "deployment/web", "--timeout=20s")
    await web("wait", "--for=jsonpath={.status.readyReplicas}=2", "deployment/web", "--timeout=20s")
    await web("delete", "pods", "-l", "app=web", "--wait=false")
    await web("delete", "deployment", "web", "--cascade=foreground", "--wait=false")
    await web("wait", "--for=delete", "deployment/web", "--timeout=20s")
    never = await web("wait", "--for=condition=Never", "configmap/late", "--timeout=1s", fails=True)

    assert "timed out waiting for the condition on configmaps/late" in never


async def test_rollouts_restart_pause_resume_and_undo(web: Kubectl) -> None:
    await web("rollout", "restart", "deployment/web")
    await web("rollout", "status", "deployment/web", "--timeout=30s")
    await web("rollout", "pause", "deployment/web")
    await web("set", "image", "deployment/web", "web=web:2")
    paused = await web("rollout", "undo", "deployment/web", fails=True)
    await web("rollout", "resume", "deployment/web")
    await web("rollout", "status", "deployment/web", "--timeout=30s")
    history = await web("rollout", "history", "deployment/web")

    assert "you cannot rollback a paused deployment" in paused
    assert [row.split()[0] for row in history.splitlines()[2:] if row] == ["1", "2", "3"]


async def test_set_changes_templates(web: Kubectl) -> None:
    await web("set", "env", "deployment/web", "COLOR=blue")
    await web("set", "resources", "deployment/web", "--requests=cpu=10m", "--limits=cpu=20m")
    await web("create", "serviceaccount", "robot")
    await web("set", "serviceaccount", "deployment/web", "robot")
    await web("create", "service", "clusterip", "web", "--tcp=80")
    await web("set", "selector", "service/web", "app=web")

    spec = (await web.json("get", "deployment", "web"))["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert container["env"] == [{"name": "COLOR", "value": "blue"}]
    assert container["resources"] == {"limits": {"cpu": "20m"}, "requests": {"cpu": "10m"}}
    assert spec["serviceAccountName"] == "robot"


async def test_labels_and_annotations_need_overwrite(web: Kubectl) -> None:
    await web("label", "deployment", "web", "tier=front")
    refusal = await web("label", "deployment", "web", "tier=back", fails=True)
    await web("label", "deployment", "web", "tier=back", "--overwrite")
    selected = await web("get", "deployments", "-l", "tier in (back),!none", "-o", "name")
    await web("label", "deployment", "web", "tier-")
    await web("annotate", "deployment", "web", "note=yes")

    shown = await web.json("get", "deployment", "web")
    assert "'tier' already has a value (front), and --overwrite is false" in refusal
    assert selected == "deployment.apps/web\n"
    assert shown["metadata"]["labels"] == {"app": "web"}
    assert shown["metadata"]["annotations"]["note"] == "yes"


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"web","workingDir":"/tmp"}]}}}}'),
        ("merge", '{"spec":{"template":{"spec":{"terminationGracePeriodSeconds":5}}}}'),
        ("json", '[{"op":"add","path":"/spec/template/spec/containers/0/workingDir","value":"/tmp"}]'),
    ],
)  # fmt: skip
async def test_patches_of_every_type(web: Kubectl, kind: str, patch: str) -> None:
    told = await web("patch", "deployment", "web", f"--type={kind}", "-p", patch)
    await web("rollout", "status", "deployment/web", "--timeout=30s")
    again = await web("patch", "deployment", "web", f"--type={kind}", "-p", patch)

    spec = (await web.json("get", "deployment", "web"))["spec"]["template"]["spec"]
    [container] = spec["containers"]
    assert told == "deployment.apps/web patched\n"
    assert again == "deployment.apps/web patched (no change)\n"
    assert container.get("workingDir") == "/tmp" or spec["terminationGracePeriodSeconds"] == 5
    assert container["image"] == "web:1"


async def test_the_scale_subresource_is_read_and_patched(web: Kubectl) -> None:
    await web(
        "patch", "deployment", "web", "--subresource=scale", "--type=merge", "-p", '{"spec":{"replicas":3}}'
    )

    shown = await web(
        "get", "deployment", "web", "--subresource=scale", "-o", "jsonpath={.kind}/{.spec.replicas}"
    )

    assert shown == "Scale/3"


async def test_expose_autoscale_and_run(web: Kubectl) -> None:
    await web("expose", "deployment", "web", "--port=80", "--target-port=8080", "--name=front")
    await web("autoscale", "deployment", "web", "--min=1", "--max=5", "--cpu=80%")
    await web("run", "one", "--image=one:1", "--port=80", "--expose", "--env=COLOR=blue", "--labels=app=one")

    front = await web.json("get", "service", "front")
    scaler = await web.json("get", "hpa", "web")
    one = await web.json("get", "pod", "one")
    assert (front["spec"]["selector"], front["spec"]["ports"][0]["targetPort"]) == ({"app": "web"}, 8080)
    assert (scaler["spec"]["minReplicas"], scaler["spec"]["maxReplicas"]) == (1, 5)
    assert one["spec"]["containers"][0]["env"] == [{"name": "COLOR", "value": "blue"}]
    assert await web("get", "service", "one", "-o", "jsonpath={.spec.selector.app}") == "one"


async def test_get_shows_columns_sorts_and_selects(web: Kubectl) -> None:
    for name, color in (("b", "red"), ("a", "blue"), ("c", "red")):
        labels = {"color": color}
        await web("create", "-f", "-", stdin=json.dumps(configmap(name, labels=labels)))

    columns = "custom-columns=NAME:.metadata.name,COLOR:.metadata.labels.color"
    sort = "--sort-by={.metadata.labels.color}"
    shown = await web("get", "configmaps", "-l", "color", sort, "-o", columns)
    labelled = await web("get", "configmaps", "-l", "color", "-L", "color", "--no-headers")
    named = await web("get", "configmaps", "--field-selector=metadata.name=b", "-o", "name")
    template = await web("get", "cm", "a", "-o", "go-template={{.metadata.labels.color}}")
    unknown = await web("get", "configmaps", "--field-selector=spec.none=b", fails=True)
    paged = await web("get", "configmaps", "-l", "color", "--chunk-size=1", "-o", "name")

    assert [row.split() for row in shown.splitlines()] == [
        ["NAME", "COLOR"], ["a", "blue"], ["b", "red"], ["c", "red"],
    ]  # fmt: skip
    assert [row.split()[-1] for row in labelled.splitlines()] == ["blue", "red", "red"]
    assert named == "configmap/b\n"
    assert template == "blue"
    assert '"spec.none" is not a known field selector' in unknown
    assert len(paged.split()) == 3


async def test_get_watch_prints_each_change(kubectl: Kubectl) -> None:
    watch = ("get", "configmaps", "-l", "seen", "--watch", "--output-watch-events", "--no-headers")
    async with kubectl.started(*watch) as watching:
        await kubectl("create", "-f", "-", stdin=json.dumps(configmap("one", labels={"seen": "yes"})))
        await kubectl("delete", "configmap", "one")
        async with asyncio.timeout(20):
            rows = [(await watching.stdout.readline()).decode().split()[:2] for _ in range(2)]

    assert rows == [["ADDED", "one"], ["DELETED", "one"]]


async def test_events_of_an_object_are_told(web: Kubectl) -> None:
    told = await web("events", "--for=deployment/web")
    warnings = await web("events", "--types=Warning")

    assert "ScalingReplicaSet" in told
    assert "Scaled up replica set" in told
    assert warnings == ""


async def test_nodes_are_tainted_cordoned_and_drained(web: Kubectl) -> None:
    node = await web("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")
    await web("taint", "node", node, "busy=yes:PreferNoSchedule")
    taints = await web("get", "node", node, "-o", "jsonpath={.spec.taints[*].key}")
    await web("taint", "node", node, "busy-")
    told = await web("cordon", node)
    shown = await web("get", "node", node, "--no-headers")
    drained = await web(
        "drain", node, "--ignore-daemonsets", "--force", "--pod-selector=app=web", "--timeout=40s"
    )
    await web("uncordon", node)
    await web("rollout", "status", "deployment/web", "--timeout=30s")

    assert "busy" in taints
    assert told == f"node/{node} cordoned\n"
    assert "SchedulingDisabled" in shown
    assert drained.splitlines()[-1] == f"node/{node} drained"
    assert "evicting pod" in drained or "pod/web-" in drained


async def test_a_disruption_budget_holds_up_a_drain(web: Kubectl) -> None:
    await web("create", "pdb", "web", "--selector=app=web", "--min-available=2")
    await web("wait", "--for=jsonpath={.status.currentHealthy}=2", "pdb/web", "--timeout=20s")
    node = await web("get", "pods", "-l", "app=web", "-o", "jsonpath={.items[0].spec.nodeName}")

    refusal = await web("drain", node, "--pod-selector=app=web", "--timeout=1s", fails=True)
    await web("uncordon", node)

    assert "Cannot evict pod as it would violate the pod's disruption budget." in refusal


async def test_logs_and_exec_of_simulated_containers_are_refused(web: Kubectl) -> None:
    logs = await web("logs", "deployment/web", fails=True)
    missing = await web("logs", "none", fails=True)
    container = await web("logs", "deployment/web", "-c", "none", fails=True)

    assert "unable to retrieve container logs for hollow://" in logs
    assert 'pods "none" not found' in missing
    assert "container none is not valid for pod web-" in container


async def test_debug_copies_a_pod_with_another_container(kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=json.dumps(pod()))

    await kubectl("debug", "web", "--image=tools:1", "--copy-to=copy", "--profile=general")

    copied = await kubectl.json("get", "pod", "copy")
    assert [container["image"] for container in copied["spec"]["containers"]] == ["web:1", "tools:1"]
