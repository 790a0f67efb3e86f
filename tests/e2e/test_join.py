"""Nodes that join over a network: two machines, each a network namespace, with a cable between them."""

from __future__ import annotations

import asyncio
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import pytest_asyncio

from kplane.api.clock import Entropy
from kplane.testing.clusters import UP_SECONDS, Cluster, Finished
from kplane.testing.waiting import eventually

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("join"),
]

SERVER, WORKER = "192.0.2.1", "192.0.2.2"
HASH = "--discovery-token-ca-cert-hash"


@dataclass(frozen=True)
class Pair:
    """A control plane, and a machine that may join it."""

    control: Cluster
    machine: Cluster
    own_node: str
    """Of the control plane's machine."""

    async def command(self, *arguments: str) -> list[str]:
        """The words behind `kplane join`, of a new token."""
        made = await self.control.run(
            "kplane", "token", "create", "--data-dir", str(self.control.folder), "--print-join-command",
            *arguments,
        )  # fmt: skip
        words = made.out.split()
        assert words[:2] == ["kplane", "join"]
        return words[2:]

    async def join(self, *words: str, runtime: str = "hollow", check: bool = True) -> Finished:
        return await self.machine.kplane(
            "join", *words, "--runtime", runtime, "--port", "0", "--detach", check=check
        )

    async def is_ready(self, node: str) -> bool:
        conditions = (await self.control.get("node", node))["status"]["conditions"]
        return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


async def ip(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec("ip", *arguments)
    assert await process.wait() == 0


@asynccontextmanager
async def machine(name: str) -> AsyncIterator[Cluster]:
    """A network namespace and a folder; what runs there ends, and both go."""
    made = Cluster(name, Path(tempfile.mkdtemp(prefix="kp-")))
    await ip("netns", "add", name)
    try:
        await ip("-n", name, "link", "set", "lo", "up")
        yield made
    finally:
        await made.kplane("down", check=False)
        await ip("netns", "delete", name)
        shutil.rmtree(made.folder, ignore_errors=True)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair() -> AsyncIterator[Pair]:
    suffix = Entropy().suffix(6)
    async with AsyncExitStack() as stack:
        control = await stack.enter_async_context(machine(f"kplane-c-{suffix}"))
        worker = await stack.enter_async_context(machine(f"kplane-w-{suffix}"))
        await ip("link", "add", "cable", "netns", control.namespace, "type", "veth",
                 "peer", "name", "cable", "netns", worker.namespace)  # fmt: skip
        for end, address in ((control, SERVER), (worker, WORKER)):
            await ip("-n", end.namespace, "address", "add", f"{address}/24", "dev", "cable")
            await ip("-n", end.namespace, "link", "set", "cable", "up")
        await control.kplane(
            "up", "--detach", "--runtime", "hollow", "--port", "0", "--bind-address", SERVER,
            seconds=UP_SECONDS,
        )  # fmt: skip
        [node] = (await control.get("nodes"))["items"]
        yield Pair(control, worker, node["metadata"]["name"])


async def test_a_node_joins_and_is_ready_with_an_identity_of_its_own(pair: Pair) -> None:
    words = await pair.command()
    try:
        await pair.join(*words, "--node-name", "worker")

        assert await pair.is_ready("worker")
        node = await pair.control.get("node", "worker")
        addresses = {entry["type"]: entry["address"] for entry in node["status"]["addresses"]}
        assert addresses["InternalIP"] == WORKER
        # The token is nowhere on the node any more.
        secret = words[words.index("--token") + 1].partition(".")[2]
        kept = [path for path in pair.machine.folder.rglob("*") if path.is_file()]
        assert not [path for path in kept if secret.encode() in path.read_bytes()]
        keys = [path for path in kept if b"PRIVATE KEY" in path.read_bytes()]
        assert keys
        assert {stat.S_IMODE(path.stat().st_mode) for path in keys} == {0o600}
        requests = (await pair.control.get("certificatesigningrequests"))["items"]
        users = {request["spec"]["signerName"]: request["spec"]["username"] for request in requests}
        assert users["kubernetes.io/kube-apiserver-client-kubelet"].startswith("system:bootstrap:")
        assert users["kubernetes.io/kubelet-serving"] == "system:node:worker"

        told = pair.machine.folder / "kubelet-config.yaml"
        assert "kind: KubeletConfiguration" in told.read_text()
        refused = await pair.join(*words, "--node-name", "worker", check=False)
        assert "is running in" in refused.out + refused.err
        await the_api_server_reaches_the_node(pair)
        await pods_run_there(pair)
    finally:
        await pair.machine.kplane("down")

    # A machine that is a node already needs no token to be one again.
    try:
        await pair.join("--node-name", "worker")
        await eventually(lambda: pair.is_ready("worker"))
    finally:
        await pair.machine.kplane("down")


@pytest.mark.node
async def test_a_machine_with_containers_joins_with_its_proxy(pair: Pair) -> None:
    try:
        await pair.join(*await pair.command(), "--node-name", "real", runtime="containerd")

        node = await pair.control.get("node", "real")
        assert node["status"]["nodeInfo"]["containerRuntimeVersion"].startswith("containerd://")
        running = await pair.machine.processes()
        assert {name: process["state"] for name, process in running.items()} == {
            "containerd": "running",
            "kubelet": "running",
            "proxy": "running",
        }

        async def rules() -> bool:
            # The `kubernetes` Service leads to where this machine reaches the API.
            return SERVER in (await pair.machine.run("nft", "list", "ruleset")).out

        await eventually(rules)
    finally:
        await pair.machine.kplane("down", "--purge")


async def the_api_server_reaches_the_node(pair: Pair) -> None:
    """Nobody was asked: the node has proved its own name and address."""
    raw = ("get", "--raw", "/api/v1/nodes/worker/proxy/healthz")

    async def answers() -> bool:
        return (await pair.control.kubectl(*raw, check=False)).out.strip() == "ok"

    await eventually(answers)
    requests = (await pair.control.get("certificatesigningrequests"))["items"]
    [request] = [one for one in requests if one["spec"]["signerName"] == "kubernetes.io/kubelet-serving"]
    [condition] = request["status"]["conditions"]
    assert (condition["type"], condition["reason"]) == ("Approved", "AutoApproved")


async def pods_run_there(pair: Pair) -> None:
    pod = '{"apiVersion":"v1","kind":"Pod","metadata":{"name":"there"},"spec":{"nodeName":"worker",'
    pod += '"containers":[{"name":"c","image":"busybox"}]}}'
    await pair.control.kubectl("apply", "-f", "-", input=pod)

    async def runs() -> bool:
        return bool((await pair.control.get("pod", "there"))["status"]["phase"] == "Running")

    await eventually(runs)


async def refusal(pair: Pair, *words: str) -> str:
    """The one sentence with which a join ends."""
    ended = await pair.join(*words, "--node-name", "stranger", check=False)
    assert ended.code == 1
    [sentence] = {line for line in ended.out.splitlines() if line.startswith("kplane join:")}
    assert "Traceback" not in ended.out + ended.err
    return sentence


async def test_a_wrong_secret_is_told(pair: Pair) -> None:
    words = await pair.command()
    place = words.index("--token") + 1
    words[place] = f"{words[place].partition('.')[0]}.{'0' * 16}"

    assert "failed to verify JWS signature" in await refusal(pair, *words)


@pytest.mark.parametrize("expired", [pytest.param(True, id="expired"), pytest.param(False, id="unknown")])
async def test_an_expired_or_unknown_token_is_told(pair: Pair, expired: bool) -> None:
    words = await pair.command("--ttl", "1s")
    place = words.index("--token") + 1
    token_id = words[place].partition(".")[0]
    if not expired:
        token_id = "zzzzzz"
        words[place] = f"{token_id}.{'0' * 16}"

    async def gone() -> bool:
        listed = await pair.control.run("kplane", "token", "list", "--data-dir", str(pair.control.folder))
        return token_id not in listed.out

    await eventually(gone)

    said = await refusal(pair, *words)
    assert f'could not find a JWS signature in the cluster-info ConfigMap for token ID "{token_id}"' in said
    assert "kplane token create" in said


async def test_a_token_that_is_not_for_authentication_is_told(pair: Pair) -> None:
    words = await pair.command("--usages", "signing")

    assert "does not accept the token" in await refusal(pair, *words)


async def test_another_authority_than_the_pinned_one_is_told(pair: Pair) -> None:
    words = await pair.command()
    words[words.index(HASH) + 1] = f"sha256:{'0' * 64}"

    said = await refusal(pair, *words)
    assert "cluster CA found in cluster-info ConfigMap is invalid: none of the public keys" in said


async def test_an_address_where_nobody_answers_is_told(pair: Pair) -> None:
    words = await pair.command()
    words[0] = f"{SERVER}:1"

    said = await refusal(pair, *words)
    assert f"no answer from https://{SERVER}:1" in said
    assert "is this the API server's address" in said


async def test_joining_without_a_pin_has_to_be_asked_for(pair: Pair) -> None:
    words = await pair.command()
    cut = words.index(HASH)

    assert HASH in await refusal(pair, *words[:cut])


async def test_the_name_of_a_node_that_is_ready_is_taken(pair: Pair) -> None:
    words = await pair.command()

    ended = await pair.join(*words, "--node-name", pair.own_node, check=False)

    assert ended.code == 1
    assert 'and status "Ready" already exists in the cluster' in ended.out
