"""kubectl, called as the conformance suite calls it; what needs real containers is in test_containers.py."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from ..clients.cluster import Kubectl
from .api import Api, ready, template
from .test_deployments import workload

LABELS = {"app": "agnhost", "role": "primary"}
NAMES = "{{range .items}}{{.metadata.name}} {{end}}"
RUNNING = (
    '{{if (exists . "status" "containerStatuses")}}{{range .status.containerStatuses}}{{if (and (eq .name '
    '"update-demo") (exists . "state" "running"))}}true{{end}}{{end}}{{end}}'
)
IMAGE = (
    '{{if (exists . "spec" "containers")}}{{range .spec.containers}}{{if eq .name "update-demo"}}'
    "{{.image}}{{end}}{{end}}{{end}}"
)
ALIVE = "{{ range .items }}{{ if not .metadata.deletionTimestamp }}{{ .metadata.name }} {{ end }}{{ end }}"


def controller(name: str, container: str, replicas: int, labels: dict[str, str]) -> str:
    made = template(labels)
    made["spec"]["containers"][0] |= {"name": container, "ports": [{"containerPort": 6379}]}
    spec = {"replicas": replicas, "selector": labels, "template": made}
    head = {"apiVersion": "v1", "kind": "ReplicationController"}
    return json.dumps({**head, "metadata": {"name": name, "labels": labels}, "spec": spec})


async def running(api: Api, core: str, count: int) -> list[Any]:
    return await api.until_listed(f"{core}/pods", lambda pods: sum(map(ready, pods)) == len(pods) == count)


async def test_a_controller_is_created_scaled_and_stopped(api: Api, core: str, kubectl: Kubectl) -> None:
    manifest = controller("update-demo-nautilus", "update-demo", 2, {"name": "update-demo"})
    await kubectl("create", "-f", "-", stdin=manifest)
    for count in (2, 1, 2):
        await kubectl("scale", "rc", "update-demo-nautilus", f"--replicas={count}", "--timeout=5m")
        await running(api, core, count)
        listed = await kubectl(
            "get", "pods", "-o", "template", f"--template={NAMES}", "-l", "name=update-demo"
        )
        assert len(listed.split()) == count
        for pod in listed.split():
            for text, said in ((RUNNING, "true"), (IMAGE, "web:1")):
                assert await kubectl("get", "pods", pod, "-o", "template", f"--template={text}") == said

    await kubectl("delete", "--grace-period=0", "--force", "-f", "-", stdin=manifest)
    assert await kubectl("get", "rc,svc", "-l", "name=update-demo", "--no-headers") == ""
    left = await kubectl("get", "pods", "-l", "name=update-demo", "-o", f"go-template={ALIVE}")
    assert left == ""


async def test_versions_and_cluster_info(kubectl: Kubectl) -> None:
    assert "v1" in (await kubectl("api-versions")).split()
    info = re.sub(r"\x1b\[[0-9;]*m", "", await kubectl("cluster-info"))
    assert re.search(r"Kubernetes control plane.*is running at.*https://", info)
    version = await kubectl("version")
    assert "Client Version: v1." in version
    assert "Server Version: v1.37." in version


def assert_said(output: str, required: list[tuple[str, ...]]) -> None:
    """Each row of texts stands on one line, in order of the lines."""
    lines = iter(output.splitlines())
    for texts in required:
        assert any(all(text in line for text in texts) for line in lines), (texts, output)


async def test_describe_tells_of_controllers_pods_services_nodes_and_namespaces(
    api: Api, core: str, kubectl: Kubectl
) -> None:
    await kubectl("create", "-f", "-", stdin=controller("agnhost-primary", "agnhost-primary", 1, LABELS))
    ports = [{"port": 6379, "targetPort": 6379}]
    service = {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "agnhost-primary", "labels": LABELS},
    }
    await kubectl(
        "create", "-f", "-", stdin=json.dumps({**service, "spec": {"ports": ports, "selector": LABELS}})
    )
    (pod,) = await running(api, core, 1)

    assert_said(await kubectl("describe", "pod", pod["metadata"]["name"]), [
        ("Name:", "agnhost-primary-"), ("Namespace:", kubectl.namespace), ("Node:",),
        ("Labels:", "app=agnhost"), ("role=primary",), ("Annotations:",), ("Status:", "Running"), ("IP:",),
        ("Controlled By:", "ReplicationController/agnhost-primary"), ("Image:", "web:1"),
        ("State:", "Running"), ("QoS Class:", "BestEffort"),
    ])  # fmt: skip
    assert_said(await kubectl("describe", "rc", "agnhost-primary"), [
        ("Name:", "agnhost-primary"), ("Namespace:", kubectl.namespace),
        ("Selector:", "app=agnhost,role=primary"), ("Labels:", "app=agnhost"), ("role=primary",),
        ("Annotations:",), ("Replicas:", "1 current", "1 desired"),
        ("Pods Status:", "1 Running", "0 Waiting", "0 Succeeded", "0 Failed"), ("Pod Template:",),
        ("Image:", "web:1"), ("Events:",),
    ])  # fmt: skip
    assert_said(await kubectl("describe", "service", "agnhost-primary"), [
        ("Name:", "agnhost-primary"), ("Namespace:", kubectl.namespace), ("Labels:", "app=agnhost"),
        ("role=primary",), ("Annotations:",), ("Selector:", "app=agnhost", "role=primary"),
        ("Type:", "ClusterIP"), ("IP:",), ("Port:", "<unset>", "6379/TCP"), ("Endpoints:",),
        ("Session Affinity:", "None"),
    ])  # fmt: skip
    node = pod["spec"]["nodeName"]
    assert_said(await kubectl("describe", "node", node), [
        ("Name:", node), ("Labels:",), ("Annotations:",), ("CreationTimestamp:",), ("Conditions:",),
        ("Type", "Status", "LastHeartbeatTime", "LastTransitionTime", "Reason", "Message"), ("Addresses:",),
        ("Capacity:",), ("Kernel Version:",), ("OS Image:",), ("Container Runtime Version:",),
        ("Kubelet Version:",), ("Pods:",),
    ])  # fmt: skip
    assert_said(await kubectl("describe", "namespace", kubectl.namespace), [
        ("Name:", kubectl.namespace), ("Labels:",), ("Annotations:",), ("Status:", "Active"),
    ])  # fmt: skip


async def test_diff_finds_a_difference(kubectl: Kubectl) -> None:
    made = {"apiVersion": "apps/v1", "kind": "Deployment", **workload("httpd-deployment")}
    await kubectl("create", "-f", "-", stdin=json.dumps(made))
    made["spec"]["template"]["spec"]["containers"][0]["image"] = "busybox:1"
    said = await kubectl("diff", "-f", "-", stdin=json.dumps(made), code=1)
    assert re.search(r"^-\s+- image: web:1$", said, re.MULTILINE)
    assert re.search(r"^\+\s+- image: busybox:1$", said, re.MULTILINE)


async def test_expose_makes_services_of_a_controller_and_of_a_service(
    api: Api, core: str, namespace: str, kubectl: Kubectl
) -> None:
    await kubectl("create", "-f", "-", stdin=controller("agnhost-primary", "agnhost-primary", 1, LABELS))
    (pod,) = await running(api, core, 1)
    await kubectl("expose", "rc", "agnhost-primary", "--name=rm2", "--port=1234", "--target-port=6379")
    await kubectl("expose", "service", "rm2", "--name=rm3", "--port=2345", "--target-port=6379")
    for name, port in (("rm2", 1234), ("rm3", 2345)):
        assert (await api.get(f"{core}/services/{name}"))["spec"]["ports"][0]["port"] == port
        slices = f"/apis/discovery.k8s.io/v1/namespaces/{namespace}/endpointslices"
        found = await api.until_listed(
            slices,
            lambda slices: any(each["endpoints"] for each in slices),
            labelSelector=f"kubernetes.io/service-name={name}",
        )
        assert found[0]["ports"][0]["port"] == 6379
        assert found[0]["endpoints"][0]["addresses"] == [pod["status"]["podIP"]]
        old = await api.until(f"{core}/endpoints/{name}", lambda found: found.get("subsets"))
        assert old["subsets"][0]["addresses"][0]["targetRef"]["uid"] == pod["metadata"]["uid"]


async def test_label_sets_shows_and_removes(kubectl: Kubectl) -> None:
    await kubectl("run", "pause", "--image=pause:1")
    await kubectl("label", "pods", "pause", "testing-label=testing-label-value")
    assert "testing-label-value" in await kubectl("get", "pod", "pause", "-L", "testing-label")
    await kubectl("label", "pods", "pause", "testing-label-")
    assert "testing-label-value" not in await kubectl("get", "pod", "pause", "-L", "testing-label")


async def test_patch_annotates_every_pod(api: Api, core: str, kubectl: Kubectl) -> None:
    await kubectl("create", "-f", "-", stdin=controller("agnhost-primary", "agnhost-primary", 1, LABELS))
    (pod,) = await running(api, core, 1)
    name = pod["metadata"]["name"]
    await kubectl("patch", "pod", name, "-p", '{"metadata":{"annotations":{"x":"y"}}}')
    assert (await api.get(f"{core}/pods/{name}"))["metadata"]["annotations"]["x"] == "y"


async def test_replace_changes_the_image_of_a_pod(api: Api, core: str, kubectl: Kubectl) -> None:
    name = "e2e-test-httpd-pod"
    await kubectl("run", name, "--image=httpd:1", f"--labels=run={name}", "--pod-running-timeout=2m0s")
    await api.until(f"{core}/pods/{name}", ready)
    shown = await kubectl("get", "pod", name, "-o", "json")
    await kubectl("replace", "-f", "-", stdin=shown.replace("httpd:1", "busybox:1"))
    assert (await api.get(f"{core}/pods/{name}"))["spec"]["containers"][0]["image"] == "busybox:1"
    await kubectl("delete", "pods", name)


async def test_run_makes_a_pod_that_is_not_restarted(api: Api, core: str, kubectl: Kubectl) -> None:
    await kubectl("run", "once", "--restart=Never", "--pod-running-timeout=2m0s", "--image=httpd:1")
    pod = await api.get(f"{core}/pods/once")
    assert pod["spec"]["restartPolicy"] == "Never"
    assert [each["image"] for each in pod["spec"]["containers"]] == ["httpd:1"]


async def test_a_dry_run_on_the_server_changes_nothing(api: Api, core: str, kubectl: Kubectl) -> None:
    name = "e2e-test-httpd-pod"
    await kubectl("run", name, "--image=httpd:1", f"--labels=run={name}")
    patch = json.dumps({"spec": {"containers": [{"name": name, "image": "busybox:1"}]}})
    said = await kubectl("patch", "pod", name, "-p", patch, "--dry-run=server")
    assert "patched (server dry run)" in said or "patched" in said
    assert (await api.get(f"{core}/pods/{name}"))["spec"]["containers"][0]["image"] == "httpd:1"


@pytest.mark.parametrize("socket", [False, True], ids=["port-0", "unix-socket"])
async def test_proxy_answers_without_credentials(kubectl: Kubectl, tmp_path: Path, socket: bool) -> None:
    path = tmp_path / "kubectl-proxy.sock"
    how = (f"--unix-socket={path}",) if socket else ("-p", "0", "--disable-filter")
    async with kubectl.started("proxy", *how) as process:
        line = (await process.stdout.readline()).decode()
        connector = aiohttp.UnixConnector(str(path)) if socket else aiohttp.TCPConnector()
        port = "" if socket else re.search(r":(\d+)$", line.strip())[0]  # type: ignore[index]
        async with (
            aiohttp.ClientSession(connector=connector) as session,
            session.get(f"http://127.0.0.1{port}/api/") as answer,
        ):
            assert (await answer.json())["versions"] == ["v1"]
