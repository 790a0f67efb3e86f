"""What a container sees of its pod, who it is, how it starts, ends, and is looked after."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ..api import Api, condition
from .pods import FOREVER, Pods, of_pod, restarts, waiting

SIZE = {"requests": {"cpu": "250m", "memory": "32Mi"}, "limits": {"cpu": "1250m", "memory": "64Mi"}}


def resource(name: str) -> dict[str, Any]:
    return {"resourceFieldRef": {"resource": name}}


async def test_environment_holds_the_pod_its_resources_and_what_it_refers_to(
    api: Api, pods: Pods, core: str
) -> None:
    await api.make(f"{core}/configmaps", {"metadata": {"name": "m"}, "data": {"data-1": "value-1"}})
    await api.make(f"{core}/secrets", {"metadata": {"name": "s"}, "stringData": {"data-2": "value-2"}})
    service = {"ports": [{"port": 8765, "targetPort": 8080}]}
    made = await api.make(f"{core}/services", {"metadata": {"name": "foo-service"}, "spec": service})
    sources = {
        "NAME": of_pod("metadata.name"),
        "HOST": of_pod("status.hostIP"),
        "HOSTS": of_pod("status.hostIPs"),
        "IP": of_pod("status.podIP"),
        "CPU": resource("limits.cpu"),
        "MEMORY": resource("requests.memory"),
        "ONE": {"configMapKeyRef": {"name": "m", "key": "data-1"}},
    }
    env: list[dict[str, Any]] = [{"name": name, "valueFrom": source} for name, source in sources.items()]
    env += [{"name": "BOTH", "value": "$(NAME);;$(ONE);;$$(ONE);;$(NONE)"}]
    env_from = [{"configMapRef": {"name": "m"}}, {"prefix": "p-", "secretRef": {"name": "s"}}]
    container = {"command": ["env"], "env": env, "envFrom": env_from, "resources": SIZE}

    ended = await pods.run("e", None, container=container)

    found = dict(line.split("=", 1) for line in ended.log.splitlines())
    status = ended.pod["status"]
    assert found["HOST"] == found["HOSTS"] == status["hostIP"]
    assert (found["NAME"], found["IP"]) == ("e", status["podIP"])
    assert (found["CPU"], found["MEMORY"]) == ("2", "33554432")
    assert found["BOTH"] == "e;;value-1;;$(ONE);;$(NONE)"
    assert (found["data-1"], found["p-data-2"]) == ("value-1", "value-2")
    assert found["FOO_SERVICE_PORT_8765_TCP"] == f"tcp://{made['spec']['clusterIP']}:8765"


async def test_command_and_arguments_replace_the_images_and_are_expanded(pods: Pods) -> None:
    env = [{"name": "TEST_VAR", "value": "test-value"}]
    script = 'TEST_VAR=wrong echo "$(TEST_VAR)"'
    by_command = {"command": ["sh", "-c", script], "env": env}
    by_args = {"command": ["sh", "-c"], "args": [script], "env": env}

    ended = await asyncio.gather(
        pods.run("command", None, container=by_command), pods.run("args", None, container=by_args)
    )
    assert [one.log for one in ended] == ["test-value\n"] * 2


@pytest.mark.parametrize(
    ("script", "context", "of_pod", "said"),
    [
        pytest.param("id -u", {"runAsUser": 65534}, {}, "65534", id="user"),
        pytest.param("id", {}, {"runAsUser": 1001, "runAsGroup": 2002}, "uid=1001 gid=2002", id="of-pod"),
        pytest.param("touch /x 2>&1", {"readOnlyRootFilesystem": True}, {}, "Read-only", id="read-only"),
        pytest.param("ip link add d type dummy 2>&1", {}, {}, "not permitted", id="unprivileged"),
        pytest.param(
            "grep NoNewPrivs /proc/self/status", {"allowPrivilegeEscalation": False}, {}, "1", id="no-gain"
        ),
        pytest.param(
            "sysctl kernel.shm_rmid_forced", {},
            {"sysctls": [{"name": "kernel.shm_rmid_forced", "value": "1"}]},
            "kernel.shm_rmid_forced = 1", id="sysctl",
        ),
    ],
)  # fmt: skip
async def test_security_context(
    pods: Pods, script: str, context: dict[str, Any], of_pod: dict[str, Any], said: str
) -> None:
    ended = await pods.run(
        "s", f"{script} || true", container={"securityContext": context}, securityContext=of_pod
    )
    assert said in ended.log


@pytest.mark.parametrize(
    ("script", "container", "message"),
    [
        pytest.param(
            "printf DONE > /dev/my-log",
            {"terminationMessagePath": "/dev/my-log", "securityContext": {"runAsUser": 1000}},
            "DONE",
            id="file-of-a-user",
        ),
        pytest.param(
            "printf DONE; exit 1", {"terminationMessagePolicy": "FallbackToLogsOnError"}, "DONE", id="log"
        ),
        pytest.param(
            "printf DONE", {"terminationMessagePolicy": "FallbackToLogsOnError"}, "", id="no-log-of-success"
        ),
    ],
)
async def test_last_words(pods: Pods, script: str, container: dict[str, Any], message: str) -> None:
    ended = await pods.run("t", script, container=container)
    assert ended.terminated.get("message", "") == message


async def test_restart_policy_decides_what_becomes_of_failures(pods: Pods) -> None:
    memory = {"volumes": [{"name": "v", "emptyDir": {"medium": "Memory"}}]}
    mounts = {"volumeMounts": [{"name": "v", "mountPath": "/count"}]}
    once = "[ -e /count/x ] && {then}; touch /count/x; exit 1"
    for name, policy, then in (("a", "Always", "exec sleep 1000"), ("f", "OnFailure", "exit 0")):
        script = once.replace("{then}", then)
        await pods.make(name, script, restartPolicy=policy, container=mounts, **memory)
    await pods.make("n", "exit 1")

    never = await pods.ended("n")
    again = await pods.until("a", lambda found: restarts(found) == 1 and condition(found, "Ready") == "True")
    failed = (await pods.ended("f")).pod
    assert (again["status"]["phase"], restarts(again)) == ("Running", 1)
    assert (failed["status"]["phase"], restarts(failed)) == ("Succeeded", 1)
    assert (never.phase, restarts(never.pod), never.terminated["exitCode"]) == ("Failed", 0, 1)


def init(name: str, command: str) -> dict[str, Any]:
    return {"name": name, "image": "localhost/busybox:1", "command": [command]}


async def test_init_containers_come_first_and_their_failure_is_told(pods: Pods) -> None:
    await pods.make("bad", "true", initContainers=[init("init1", "true"), init("init2", "false")])
    again = [init("init1", "false"), init("init2", "true")]
    await pods.make("stuck", initContainers=again, restartPolicy="Always")
    good = await pods.run("good", "true", initContainers=[init("init1", "true"), init("init2", "true")])

    assert good.phase == "Succeeded"
    assert all(entry["ready"] for entry in good.pod["status"]["initContainerStatuses"])
    bad = await pods.until("bad", lambda found: found["status"]["phase"] == "Failed")
    assert waiting(bad) == "PodInitializing"
    assert "[init2]" in initialized(bad)["message"]

    def retried(found: Any) -> bool:
        return any(entry["restartCount"] for entry in found["status"].get("initContainerStatuses", ()))

    stuck = await pods.until("stuck", retried)
    assert (stuck["status"]["phase"], waiting(stuck)) == ("Pending", "PodInitializing")
    assert initialized(stuck)["message"] == "containers with incomplete status: [init1 init2]"


def initialized(pod: Any) -> Any:
    [found] = [entry for entry in pod["status"]["conditions"] if entry["type"] == "Initialized"]
    return found


async def test_sidecar_runs_beside_and_ends_after(pods: Pods) -> None:
    sidecar = init("sidecar", "sh") | {"args": ["-c", FOREVER], "restartPolicy": "Always"}

    ended = await pods.run("s", "sleep 1", initContainers=[sidecar])

    [status] = ended.pod["status"]["initContainerStatuses"]
    assert ended.phase == "Succeeded"
    assert status["state"]["terminated"]["finishedAt"] >= ended.terminated["finishedAt"]


SERVER = """mkdir -p /www/cgi-bin
printf '#!/bin/sh\\necho "$QUERY_STRING" >> /tmp/heard\\necho; echo ok\\n' > /www/cgi-bin/say
chmod +x /www/cgi-bin/say
exec httpd -f -p 8080 -h /www"""


async def test_hooks_are_carried_out_after_the_start_and_before_the_end(pods: Pods) -> None:
    await pods.make("server", SERVER)
    host = (await pods.running("server"))["status"]["podIP"]

    def by_http(said: str) -> dict[str, Any]:
        return {"httpGet": {"host": host, "port": 8080, "path": f"/cgi-bin/say?{said}"}}

    def by_exec(said: str) -> dict[str, Any]:
        return {"exec": {"command": ["wget", "-qO-", f"http://{host}:8080/cgi-bin/say?{said}"]}}

    for how, hook in (("http", by_http), ("exec", by_exec)):
        lifecycle = {"postStart": hook(f"start-{how}"), "preStop": hook(f"stop-{how}")}
        await pods.make(how, container={"lifecycle": lifecycle}, terminationGracePeriodSeconds=15)
    await asyncio.gather(pods.running("http"), pods.running("exec"))
    for how in ("http", "exec"):
        await pods.api.delete(pods.path(how))
        await pods.api.until_gone(pods.path(how))

    heard = (await pods.exec("server", "cat", "/tmp/heard")).out.split()
    assert sorted(heard) == ["start-exec", "start-http", "stop-exec", "stop-http"]


async def test_probes_restart_what_is_dead_and_nothing_else(pods: Pods) -> None:
    quick = {"periodSeconds": 1, "failureThreshold": 1}
    patient = {"periodSeconds": 1, "initialDelaySeconds": 1, "timeoutSeconds": 5}
    health = {"exec": {"command": ["cat", "/tmp/health"]}}
    serve = "mkdir /www; echo ok > /www/healthz; exec httpd -f -p 8080 -h /www"
    by_http = {"httpGet": {"path": "/healthz", "port": 8080}} | patient
    by_tcp = {"tcpSocket": {"port": 8080}} | patient
    await asyncio.gather(
        pods.make("dies", f"touch /tmp/health; sleep 2; rm /tmp/health; {FOREVER}", restartPolicy="Always",
            container={"livenessProbe": health | quick | {"initialDelaySeconds": 1}}),
        pods.make("lives", f"touch /tmp/health; {FOREVER}", container={"livenessProbe": health | patient}),
        pods.make("serves", serve, container={"livenessProbe": by_http}),
        pods.make("listens", serve, container={"livenessProbe": by_tcp}),
        pods.make("never", container={"readinessProbe": {"exec": {"command": ["false"]}} | quick}),
    )  # fmt: skip

    await pods.until("dies", lambda found: restarts(found) >= 1)
    for name in ("lives", "serves", "listens"):
        assert restarts(await pods.running(name)) == 0
    never = await pods.api.get(pods.path("never"))
    assert (condition(never, "Ready"), restarts(never)) == ("False", 0)


async def test_hosts_file_is_the_kubelets_with_aliases_and_names(pods: Pods) -> None:
    alias = {"ip": "123.45.67.89", "hostnames": ["foo", "bar"]}
    named = {"hostname": "querier", "subdomain": "dns-test", "setHostnameAsFQDN": True}
    full = f"querier.dns-test.{pods.namespace}.svc.cluster.local"

    mine, other = await asyncio.gather(
        pods.run("mine", "cat /etc/hosts", hostAliases=[alias]),
        pods.run("other", "hostname; cat /etc/hosts", **named),
    )
    assert mine.log.startswith("# Kubernetes-managed hosts file.\n")
    assert "# Entries added by HostAliases.\n123.45.67.89\tfoo\tbar\n" in mine.log
    assert other.log.startswith(f"{full}\n")
    assert f"{other.pod['status']['podIP']}\t{full}\t" in other.log


async def test_deadline_that_is_set_later_ends_the_pod(pods: Pods) -> None:
    await pods.make("p")
    await pods.running("p")
    await pods.api.patch(pods.path("p"), {"spec": {"activeDeadlineSeconds": 1}})

    assert (await pods.ended("p")).pod["status"]["reason"] == "DeadlineExceeded"


async def test_ephemeral_container_joins_a_running_pod(pods: Pods) -> None:
    await pods.make("p")
    await pods.running("p")
    debugger = {
        "name": "debugger",
        "image": "localhost/busybox:1",
        "command": ["sh", "-c", f"echo polo; {FOREVER}"],
    }
    patch = {"spec": {"ephemeralContainers": [debugger]}}
    await pods.api.patch(f"{pods.path('p')}/ephemeralcontainers", patch)

    def joined(found: Any) -> Any:
        statuses = found["status"].get("ephemeralContainerStatuses") or [{}]
        return statuses[0].get("state", {}).get("running")

    await pods.until("p", joined)
    assert await pods.log("p", "debugger") == "polo\n"


async def test_handler_that_the_runtime_lacks_keeps_the_pod_from_starting(api: Api, pods: Pods) -> None:
    name = f"unknown-{pods.namespace}"
    body = {"metadata": {"name": name}, "handler": "no-such-handler"}
    await api.make("/apis/node.k8s.io/v1/runtimeclasses", body)
    async with api.watch(f"{pods.core}/events") as told:
        await pods.make("p", runtimeClassName=name)
        event = await told.until("ADDED", lambda found: found["reason"] == "FailedCreatePodSandBox")

    assert 'no runtime for "no-such-handler" is configured' in event["message"]
    assert (await api.get(pods.path("p")))["status"]["phase"] == "Pending"


async def test_logs_and_commands_come_over_websockets(pods: Pods) -> None:
    await pods.make("p", f"echo container is alive; {FOREVER}")
    await pods.running("p")

    said = json.loads((await pods.node.run("python", "-c", LISTEN, pods.path("p"))).out)
    assert said == {"log": "container is alive\n", "exec": "\x01remote execution test\n"}


LISTEN = """
import json, os, ssl, sys
from pathlib import Path
from websockets.sync.client import connect
from kplane.client import kubeconfig
from kplane.client.tls import tls_context

credentials = kubeconfig.load(Path(os.environ["KUBECONFIG"]))
base = credentials.server.replace("https", "wss") + sys.argv[1]

def hear(path, protocol):
    with connect(base + path, ssl=tls_context(credentials), subprotocols=[protocol], proxy=None) as socket:
        return b"".join(socket).decode()

command = "&command=echo&command=remote&command=execution&command=test"
print(json.dumps({
    "log": hear("/log?container=c", "binary.k8s.io"),
    "exec": hear("/exec?stdout=1&stderr=1&container=c" + command, "channel.k8s.io"),
}))
"""
