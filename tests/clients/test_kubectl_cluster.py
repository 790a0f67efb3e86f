"""kubectl's questions about the server itself: versions, resources, schemas, rights, dumps, the proxy."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from .cluster import Kubectl
from .shapes import DEPLOYMENT


async def test_version_has_every_field(kubectl: Kubectl) -> None:
    told = await kubectl.json("version")

    server = told["serverVersion"]
    assert (server["major"], server["minor"]) == ("1", "37")
    assert {
        "gitVersion",
        "gitCommit",
        "gitTreeState",
        "buildDate",
        "goVersion",
        "compiler",
        "platform",
    } <= set(server)
    assert "WARNING" not in await kubectl("version")


async def test_cluster_info_and_its_dump(kubectl: Kubectl, tmp_path: Path) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(DEPLOYMENT))
    told = re.sub(r"\x1b\[[0-9;]*m", "", await kubectl("cluster-info"))
    await kubectl(
        "cluster-info", "dump", f"--namespaces={kubectl.namespace}", f"--output-directory={tmp_path}"
    )

    assert told.startswith("Kubernetes control plane is running at https://127.0.0.1:")
    dumped = tmp_path / kubectl.namespace
    assert {"pods.json", "events.json", "deployments.json", "services.json"} <= {
        f.name for f in dumped.iterdir()
    }
    assert json.loads((dumped / "deployments.json").read_text())["items"][0]["metadata"]["name"] == "web"


async def test_api_resources_are_filtered(kubectl: Kubectl) -> None:
    apps = (await kubectl("api-resources", "--api-group=apps", "-o", "name")).split()
    global_ = (await kubectl("api-resources", "--namespaced=false", "-o", "name")).split()
    watchable = (await kubectl("api-resources", "--verbs=list,watch", "--no-headers")).splitlines()
    everything = (await kubectl("api-resources", "--categories=all", "-o", "name")).split()

    assert set(apps) == {
        "controllerrevisions.apps", "daemonsets.apps", "deployments.apps", "replicasets.apps",
        "statefulsets.apps",
    }  # fmt: skip
    assert {"nodes", "namespaces"} <= set(global_)
    assert "pods" not in global_
    assert any(row.split()[:2] == ["pods", "po"] for row in watchable)
    assert {"pods", "services", "deployments.apps", "jobs.batch"} <= set(everything)


async def test_api_versions_have_v1(kubectl: Kubectl) -> None:
    assert {"v1", "apps/v1", "batch/v1", "autoscaling/v2"} <= set((await kubectl("api-versions")).split())


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("pod.spec.restartPolicy", "FIELD: restartPolicy <string>"),
        ("deployment.spec.strategy", "rollingUpdate"),
        ("hpa --api-version=autoscaling/v1", "VERSION:    v1"),
        ("customresourcedefinition.spec.versions.schema", "openAPIV3Schema"),
    ],
)
async def test_explain(kubectl: Kubectl, path: str, said: str) -> None:
    assert said in await kubectl("explain", *path.split())


async def test_explain_of_what_is_not_there(kubectl: Kubectl) -> None:
    assert 'field "none" does not exist' in await kubectl("explain", "pod.spec.none", fails=True)
    assert 'the server doesn\'t have a resource type "cars"' in await kubectl("explain", "cars", fails=True)


async def test_who_am_i_and_what_may_i_do(kubectl: Kubectl) -> None:
    me = await kubectl.json("auth", "whoami")
    may = await kubectl("auth", "can-i", "create", "deployments.apps")
    rules = await kubectl("auth", "can-i", "--list")

    assert "system:authenticated" in me["status"]["userInfo"]["groups"]
    assert may == "yes\n"
    assert rules.splitlines()[0].split() == [
        "Resources",
        "Non-Resource",
        "URLs",
        "Resource",
        "Names",
        "Verbs",
    ]


async def test_roles_are_reconciled(kubectl: Kubectl) -> None:
    role: dict[str, Any] = {
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role",
        "metadata": {"name": "reader", "namespace": kubectl.namespace},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}],
    }  # fmt: skip
    first = await kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    role["rules"][0]["verbs"] = ["list"]
    await kubectl("auth", "reconcile", "-f", "-", stdin=json.dumps(role))
    rules = (await kubectl.json("get", "role", "reader"))["rules"]

    assert "role.rbac.authorization.k8s.io/reader reconciled" in first
    assert sorted(verb for rule in rules for verb in rule["verbs"]) == ["get", "list"]


async def test_raw_paths(kubectl: Kubectl) -> None:
    assert await kubectl("get", "--raw", "/readyz") == "ok"
    assert "[+]ping ok" in await kubectl("get", "--raw", "/livez?verbose")
    assert json.loads(await kubectl("get", "--raw", "/api/v1/namespaces/default"))["kind"] == "Namespace"
    assert "apiserver_request_total" in await kubectl("get", "--raw", "/metrics")


async def test_the_local_commands_work_without_asking(kubectl: Kubectl) -> None:
    view = await kubectl("config", "view", "--minify")
    plugins = await kubectl("plugin", "list", fails=True, PATH="/nonexistent")

    assert "DATA+OMITTED" in view
    assert "server: https://127.0.0.1:" in view
    assert "unable to find any kubectl plugins in your PATH" in plugins


async def test_the_proxy_serves_the_api_without_credentials(kubectl: Kubectl) -> None:
    async with kubectl.started("proxy", "--port=0") as proxy, aiohttp.ClientSession() as session:
        address = (await proxy.stdout.readline()).decode().split()[-1]
        async with session.get(f"http://{address}/api/") as answer:
            assert (await answer.json())["kind"] == "APIVersions"


async def test_the_proxy_listens_on_a_unix_socket(kubectl: Kubectl, tmp_path: Path) -> None:
    socket = tmp_path / "proxy.sock"
    async with kubectl.started("proxy", f"--unix-socket={socket}") as proxy:
        await proxy.stdout.readline()
        async with (
            aiohttp.ClientSession(connector=aiohttp.UnixConnector(str(socket))) as session,
            session.get("http://localhost/version") as answer,
        ):
            assert (await answer.json())["minor"] == "37"


async def test_describe_knows_every_common_kind(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(DEPLOYMENT))
    await kubectl("rollout", "status", "deployment/web", "--timeout=30s")

    described = {
        kind: await kubectl("describe", kind, *(["-n", "default"] if kind == "service" else []))
        for kind in ("deployment", "replicaset", "pod", "node", "service")
    }
    namespace = await kubectl("describe", "namespace", kubectl.namespace)

    assert re.search(r"Controlled By:\s+Deployment/web", described["replicaset"])
    assert re.search(r"Status:\s+Running", described["pod"])
    assert "Allocated resources:" in described["node"]
    assert re.search(r"Name:\s+kubernetes", described["service"])
    assert re.search(r"Status:\s+Active", namespace)


async def test_all_objects_of_a_kind_are_deleted(kubectl: Kubectl) -> None:
    await kubectl("apply", "-f", "-", stdin=json.dumps(DEPLOYMENT))
    told = await kubectl("delete", "deployments", "--all")
    missing = await kubectl("delete", "deployment", "web", fails=True)
    ignored = await kubectl("delete", "deployment", "web", "--ignore-not-found")

    assert told.startswith('deployment.apps "web" deleted')
    assert 'Error from server (NotFound): deployments.apps "web" not found' in missing
    assert ignored == ""
