"""What needs containers that really run: their logs, their exit codes, their files and their answers."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from datetime import datetime
from typing import Any

import pytest
import pytest_asyncio

from kplane.testing.clusters import Cluster, cluster
from kplane.testing.images import hello
from kplane.testing.waiting import eventually

from .api import ready, template

pytestmark = [pytest.mark.node, pytest.mark.asyncio(loop_scope="module")]

IMAGE = "localhost/kplane/hello:1"
ISSUED = "/var/run/secrets/kubernetes.io/serviceaccount"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def real() -> AsyncIterator[Cluster]:
    """A cluster of one node with containers."""
    async with cluster("--runtime", "containerd", "--port", "0") as made:
        await made.load(hello())
        yield made


def running(command: str, labels: Any = None, **spec: Any) -> dict[str, Any]:
    """A Pod template whose container runs this in a shell."""
    made = template(labels or {}, terminationGracePeriodSeconds=1, **spec)
    made["spec"]["containers"][0] |= {"image": IMAGE, "command": ["sh", "-c", command]}
    return made


async def create(real: Cluster, api_version: str, kind: str, name: str, **fields: Any) -> None:
    body = {"apiVersion": api_version, "kind": kind, "metadata": {"name": name}, **fields}
    await real.kubectl("create", "-f", "-", input=json.dumps(body))


async def test_logs_are_read_whole_and_in_parts(real: Cluster) -> None:
    say = "for i in $(seq 1 30); do echo line $i of the log; done; sleep 2; echo late; sleep 600"
    await create(real, "v1", "Pod", "logs-generator", spec=running(say)["spec"])

    async def whole() -> str:
        said = await real.kubectl("logs", "logs-generator", "app", check=False)
        return said.out if "late" in said.out else ""

    async def part(*flags: str) -> str:
        return (await real.kubectl("logs", "logs-generator", "app", *flags)).out

    assert len((await eventually(whole)).splitlines()) == 31
    assert (await part("--tail=1")).splitlines() == ["late"]
    assert await part("--limit-bytes=1") == "l"
    stamp, _, text = (await part("--tail=1", "--timestamps")).strip().partition(" ")
    assert text == "late"
    assert datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", stamp)).tzinfo
    recent, older = await part("--since=1s"), await part("--since=24h")
    assert len(recent) < len(older)
    await real.kubectl("delete", "pod", "logs-generator")


@pytest.mark.parametrize(
    ("api_version", "kind", "selector"),
    [
        ("apps/v1", "ReplicaSet", lambda labels: {"matchLabels": labels}),
        ("v1", "ReplicationController", lambda labels: labels),
    ],
)
async def test_every_replica_answers_through_the_proxy(
    real: Cluster, api_version: str, kind: str, selector: Any
) -> None:
    labels = {"name": f"my-hostname-{kind.lower()}"}
    serve = "mkdir /www; hostname > /www/index.html; exec httpd -f -p 9376 -h /www"
    spec = {"replicas": 2, "selector": selector(labels), "template": running(serve, labels)}
    await create(real, api_version, kind, "basic", spec=spec)

    async def up() -> list[str]:
        pods = (await real.get("pods", "-l", f"name={labels['name']}"))["items"]
        return [pod["metadata"]["name"] for pod in pods] if sum(map(ready, pods)) == 2 else []

    for name in await eventually(up):
        path = f"/api/v1/namespaces/default/pods/{name}:9376/proxy/"

        async def answer(path: str = path) -> str:
            return (await real.kubectl("get", "--raw", path, check=False)).out.strip()

        assert await eventually(answer) == name
    await real.kubectl("delete", kind.lower(), "basic")


async def test_a_job_ends_after_containers_that_failed_once(real: Cluster) -> None:
    once = "if [ -r /data/foo ]; then exit 0; else touch /data/foo; exit 1; fi"
    made = running(once, restartPolicy="OnFailure", volumes=[{"name": "data", "emptyDir": {}}])
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "data", "mountPath": "/data"}]
    spec = {"parallelism": 2, "completions": 2, "template": made}
    await create(real, "batch/v1", "Job", "fail-once-local", spec=spec)
    await real.kubectl("wait", "job/fail-once-local", "--for=condition=Complete", "--timeout=60s")
    pods = (await real.get("pods", "-l", "batch.kubernetes.io/job-name=fail-once-local"))["items"]
    assert [pod["status"]["containerStatuses"][0]["restartCount"] for pod in pods] == [1, 1]


async def test_exit_codes_fail_indexes_and_jobs(real: Cluster) -> None:
    """The policies of a Job see the codes that containers really ended with."""
    fail = {"action": "FailJob", "onExitCodes": {"containerName": "app", "operator": "In", "values": [42]}}
    made = running("exit 42", restartPolicy="Never")
    spec = {"backoffLimit": 6, "podFailurePolicy": {"rules": [fail]}, "template": made}
    await create(real, "batch/v1", "Job", "by-code", spec=spec)
    odd = running("exit $((JOB_COMPLETION_INDEX % 2))", restartPolicy="Never")
    indexed = {"completionMode": "Indexed", "completions": 4, "parallelism": 4, "backoffLimitPerIndex": 0}
    await create(real, "batch/v1", "Job", "by-index", spec={**indexed, "template": odd})

    for name, reason in (("by-code", "PodFailurePolicy"), ("by-index", "FailedIndexes")):
        await real.kubectl("wait", f"job/{name}", "--for=condition=Failed", "--timeout=60s")
        status = (await real.get("job", name))["status"]
        assert {each["type"]: each["reason"] for each in status["conditions"]}["Failed"] == reason
    assert (status["completedIndexes"], status["failedIndexes"]) == ("0,2", "1,3")


async def test_tokens_are_files_of_the_container(real: Cluster) -> None:
    show = (
        f"cat {ISSUED}/namespace; echo; ls {ISSUED}; cat {ISSUED}/ca.crt; ls -ld /projected/token; sleep 600"
    )
    source = {"serviceAccountToken": {"path": "token", "expirationSeconds": 7200, "audience": "oidc"}}
    volume = {"name": "t", "projected": {"defaultMode": 0o400, "sources": [source]}}
    made = running(show, volumes=[volume])
    made["spec"]["containers"][0]["volumeMounts"] = [{"name": "t", "mountPath": "/projected"}]
    await create(real, "v1", "Pod", "mounting", spec=made["spec"])

    async def said() -> str:
        out = (await real.kubectl("logs", "mounting", check=False)).out
        return out if "/projected/token" in out else ""

    told = await eventually(said)
    assert told.splitlines()[:4] == ["default", "ca.crt", "namespace", "token"]
    assert "BEGIN CERTIFICATE" in told
    await real.kubectl("delete", "pod", "mounting")
