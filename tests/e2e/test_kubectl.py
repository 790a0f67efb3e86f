"""kubectl against a cluster with real containers: every verb that people use day by day."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.testing.clusters import Cluster
from kplane.testing.waiting import eventually

pytestmark = [pytest.mark.e2e, pytest.mark.node, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

EXAMPLES = Path(__file__).parents[2] / "deploy" / "examples"


@pytest_asyncio.fixture(loop_scope="module")
async def hello(node_cluster: Cluster) -> AsyncIterator[Cluster]:
    """The demo's example, rolled out in a namespace that goes with the test."""
    await node_cluster.kubectl("apply", "-f", str(EXAMPLES))
    await node_cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")
    yield node_cluster
    await node_cluster.kubectl("delete", "-f", str(EXAMPLES), "--ignore-not-found")
    await node_cluster.kubectl("wait", "--for=delete", "pod", "-l", "app=hello", "--timeout=120s")


async def pod_names(cluster: Cluster) -> list[str]:
    return (await cluster.kubectl("get", "pods", "-l", "app=hello", "-o", "name")).out.split()


async def test_every_replica_answers_through_the_service(hello: Cluster) -> None:
    service = (await hello.get("service", "hello"))["spec"]

    async def everyone() -> bool:
        url = f"http://{service['clusterIP']}/"
        asked = await asyncio.gather(*(hello.run("curl", "-sf", url, check=False) for _ in range(10)))
        answers.update(finished.out for finished in asked if finished.out)
        return len(answers) == 3

    answers: set[str] = set()
    await eventually(everyone)

    assert {answer.split(", ")[0] for answer in answers} == {"Hello from kplane"}
    assert {f"pod/{answer.split(', ')[1].strip()}" for answer in answers} == set(await pod_names(hello))


async def test_node_port_answers(hello: Cluster) -> None:
    port = (await hello.get("service", "hello"))["spec"]["ports"][0]["nodePort"]
    address = (await hello.get("nodes"))["items"][0]["status"]["addresses"][0]["address"]

    async def answer() -> str:
        return (await hello.run("curl", "-sf", f"http://{address}:{port}/", check=False)).out

    assert (await eventually(answer)).startswith("Hello from kplane, hello-")


async def test_get_wide_yaml_and_jsonpath(hello: Cluster) -> None:
    wide = (await hello.kubectl("get", "pods", "-l", "app=hello", "-o", "wide")).out.splitlines()
    assert wide[0].split()[:7] == ["NAME", "READY", "STATUS", "RESTARTS", "AGE", "IP", "NODE"]
    assert [row.split()[1:3] for row in wide[1:]] == [["1/1", "Running"]] * 3

    yaml = (await hello.kubectl("get", "deployment", "hello", "-o", "yaml")).out
    assert "image: localhost/kplane/hello:1" in yaml

    path = "{.status.readyReplicas}/{.spec.replicas}"
    assert (await hello.kubectl("get", "deployment", "hello", "-o", f"jsonpath={path}")).out == "3/3"


async def test_describe_tells_the_story(hello: Cluster) -> None:
    deployment = (await hello.kubectl("describe", "deployment", "hello")).out
    assert "3 desired | 3 updated | 3 total | 3 available | 0 unavailable" in deployment
    assert "ScalingReplicaSet" in deployment

    pod = (await hello.kubectl("describe", (await pod_names(hello))[0])).out
    for reason in ("Scheduled", "Pulled", "Created", "Started"):
        assert reason in pod

    assert "Ready" in (await hello.kubectl("describe", "nodes")).out
    service = (await hello.kubectl("describe", "service", "hello")).out
    assert re.search(r"Endpoints:\s+\d+\.\d+\.\d+\.\d+:8080", service)


async def test_explain_recursive(hello: Cluster) -> None:
    text = (await hello.kubectl("explain", "deployment.spec.template.spec", "--recursive")).out

    assert "GROUP:      apps" in text
    assert re.search(r"livenessProbe\s+<Probe>", text)


async def test_api_resources_and_versions(hello: Cluster) -> None:
    names = (await hello.kubectl("api-resources", "-o", "name")).out.split()

    assert {"pods", "deployments.apps", "leases.coordination.k8s.io"} <= set(names)
    assert "apps/v1" in (await hello.kubectl("api-versions")).out.split()


async def test_edit_writes_what_the_editor_saved(hello: Cluster) -> None:
    editor = "sed -i s/greeting:.*/greeting:\\ Edited/"

    finished = await hello.kubectl("edit", "configmap", "hello", KUBE_EDITOR=editor)

    assert finished.out == "configmap/hello edited\n"
    assert (await hello.get("configmap", "hello"))["data"] == {"greeting": "Edited"}


@pytest.mark.parametrize(
    ("kind", "patch"),
    [
        ("strategic", '{"spec":{"template":{"spec":{"containers":[{"name":"hello","workingDir":"/tmp"}]}}}}'),
        ("merge", '{"metadata":{"labels":{"patched":"yes"}}}'),
        ("json", '[{"op":"add","path":"/metadata/labels/patched","value":"yes"}]'),
    ],
)
async def test_patch_changes_what_it_names_only(hello: Cluster, kind: str, patch: str) -> None:
    await hello.kubectl("patch", "deployment", "hello", "--type", kind, "-p", patch)

    patched = await hello.get("deployment", "hello")
    [container] = patched["spec"]["template"]["spec"]["containers"]
    assert container["image"] == "localhost/kplane/hello:1"
    assert patched["metadata"]["labels"].get("patched") == "yes" or container["workingDir"] == "/tmp"


async def test_scale_up_and_down(hello: Cluster) -> None:
    for replicas in (5, 1):
        await hello.kubectl("scale", "deployment", "hello", f"--replicas={replicas}")
        await hello.kubectl("rollout", "status", "deployment/hello", "--timeout=30s")
        await eventually(lambda wanted=replicas: has_pods(hello, wanted))  # type: ignore[misc]


async def has_pods(cluster: Cluster, count: int) -> bool:
    return len(await pod_names(cluster)) == count


async def test_roll_out_history_and_undo(hello: Cluster) -> None:
    await hello.kubectl("set", "image", "deployment/hello", "hello=localhost/kplane/hello:2")
    await hello.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")
    history = (await hello.kubectl("rollout", "history", "deployment/hello")).out
    assert [line.split()[0] for line in history.splitlines()[2:] if line] == ["1", "2"]

    await hello.kubectl("rollout", "undo", "deployment/hello")
    await hello.kubectl("rollout", "status", "deployment/hello", "--timeout=120s")

    deployment = await hello.get("deployment", "hello")
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "localhost/kplane/hello:1"
    assert deployment["metadata"]["annotations"]["deployment.kubernetes.io/revision"] == "3"


async def test_logs_follow_as_they_are_written(hello: Cluster) -> None:
    [pod, *_] = await pod_names(hello)
    process = await hello.start("kubectl", "logs", "-f", "--tail=1", pod)
    assert process.stdout is not None
    try:
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"started\n"
        await hello.kubectl("exec", pod, "--", "sh", "-c", "echo more >/proc/1/fd/1")
        assert await asyncio.wait_for(process.stdout.readline(), 10) == b"more\n"
    finally:
        process.kill()
        await process.wait()


async def test_exec_with_input_and_exit_code(hello: Cluster) -> None:
    [pod, *_] = await pod_names(hello)

    piped = await hello.kubectl("exec", "-i", pod, "--", "tr", "a-z", "A-Z", input="shout")
    failed = await hello.kubectl("exec", pod, "--", "sh", "-c", "exit 7", check=False)

    assert piped.out == "SHOUT"
    assert failed.code == 7


async def test_exec_on_a_terminal(hello: Cluster) -> None:
    [pod, *_] = await pod_names(hello)
    typescript = ("script", "-qec", f"kubectl exec -it {pod} -- sh -c 'tty; echo done'", "/dev/null")

    finished = await hello.run(*typescript)

    assert "/dev/pts/" in finished.out
    assert "done" in finished.out


async def test_port_forward_reaches_the_container(hello: Cluster) -> None:
    process = await hello.start("kubectl", "port-forward", "deployment/hello", ":8080")
    assert process.stdout is not None
    try:
        line = (await asyncio.wait_for(process.stdout.readline(), 15)).decode()
        found = re.search(r"127\.0\.0\.1:(\d+) -> 8080", line)
        assert found, line
        for _ in range(3):
            answer = await hello.run("curl", "-sf", "-m", "10", f"http://127.0.0.1:{found[1]}/")
            assert answer.out.startswith("Hello from kplane")
    finally:
        process.kill()
        await process.wait()


async def test_deleting_a_deployment_ends_its_pods(hello: Cluster) -> None:
    await hello.kubectl("delete", "deployment", "hello")

    await eventually(lambda: has_pods(hello, 0), seconds=45)
