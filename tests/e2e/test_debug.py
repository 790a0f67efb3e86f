"""`kubectl debug` with real containers: an ephemeral container beside the processes of its target."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import pytest

from kplane.testing.clusters import Cluster
from kplane.testing.images import HELLO

pytestmark = [pytest.mark.e2e, pytest.mark.node, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

POD = f"""
apiVersion: v1
kind: Pod
metadata: {{name: debugged}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - {{name: main, image: "{HELLO}", imagePullPolicy: Never, command: [sleep, "4321"]}}
"""


async def test_debug_sees_the_processes_of_its_target_and_ends_once(node_cluster: Cluster) -> None:
    await node_cluster.kubectl("apply", "-f", "-", input=POD)
    await node_cluster.kubectl("wait", "--for=condition=Ready", "pod/debugged", "--timeout=60s")

    debug = await node_cluster.start(
        "kubectl", "debug", "-i", "debugged", f"--image={HELLO}", "--target=main", "--container=tools",
        "--", "sh",
    )  # fmt: skip
    assert debug.stdin is not None
    assert debug.stdout is not None
    # containerd 1.6 loses now and then what a process says when it has just been attached to, or is about to
    # end: all of it is in the log. The end of the input must not overtake it, so that comes last.
    said = ""
    async with asyncio.timeout(60):
        while "attached" not in said:
            debug.stdin.write(b"echo attached\n")
            with suppress(TimeoutError):
                said += (await asyncio.wait_for(debug.stdout.read(4096), 0.5)).decode()
        debug.stdin.write(b"ps; echo said hello; sleep 1; exit 3\n")
        said += (await debug.stdout.read()).decode()
        debug.stdin.close()
        await debug.wait()
    await node_cluster.kubectl(
        "wait", "pod/debugged", "--timeout=60s",
        "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=3",
    )  # fmt: skip
    pod = await node_cluster.get("pod", "debugged")
    logs = await node_cluster.kubectl("logs", "debugged", "-c", "tools")

    for heard in (said, logs.out):
        assert "sleep 4321" in heard
        assert "said hello" in heard
    assert pod["status"]["ephemeralContainerStatuses"][0]["restartCount"] == 0
    assert pod["status"]["phase"] == "Running"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    await node_cluster.kubectl("delete", "-f", "-", input=POD)


async def test_input_that_ends_at_once_arrives_whole(node_cluster: Cluster) -> None:
    """What a container with stdinOnce answers is shown to its end. Others are let go by the runtime as soon
    as their input ends, as everywhere: what they still say is in their log."""
    once = await node_cluster.kubectl(
        "run", "counts", "-i", "--rm", "--restart=Never", f"--image={HELLO}", "--image-pull-policy=Never",
        "--", "wc", "-c", input="x" * 1_000_000,
    )  # fmt: skip
    await node_cluster.kubectl("apply", "-f", "-", input=POD)
    await node_cluster.kubectl("wait", "--for=condition=Ready", "pod/debugged", "--timeout=60s")
    await node_cluster.kubectl(
        "debug", "-i", "debugged", f"--image={HELLO}", "--image-pull-policy=Never", "--container=piped",
        "--", "sh", input="echo said hello; exit 3\n",
    )  # fmt: skip
    await node_cluster.kubectl(
        "wait", "pod/debugged", "--timeout=60s",
        "--for=jsonpath={.status.ephemeralContainerStatuses[0].state.terminated.exitCode}=3",
    )  # fmt: skip
    logs = await node_cluster.kubectl("logs", "debugged", "-c", "piped")

    assert once.out.startswith("1000000\n")
    assert logs.out == "said hello\n"
    await node_cluster.kubectl("delete", "-f", "-", input=POD)
