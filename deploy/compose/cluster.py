"""The cluster of docker-compose.yml: up, down, and what the demo asks of it."""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from commands import Failed, attempt, run
from engine import Engine, remove_cgroup

from kplane.api.clock import Clock, Entropy
from kplane.runtime.serving import free_port
from kplane.testing.images import hello

HERE = Path(__file__).parent
WORKERS = ("worker-1", "worker-2")
UP_SECONDS = 180
READY_SECONDS = 90
ANSWER_SECONDS = 20
POLL = 1.0


@dataclass(frozen=True)
class Cluster:
    """A running cluster. kubectl is the machine's own, and goes through the published port."""

    engine: Engine
    env: Mapping[str, str]
    kubectl_command: Sequence[str]
    clock: Clock

    @property
    def project(self) -> str:
        return self.env["COMPOSE_PROJECT_NAME"]

    async def compose(self, *arguments: str, input: bytes = b"", seconds: float = UP_SECONDS) -> str:
        """Raises Failed."""
        return await compose(self.env, *arguments, input=input, seconds=seconds)

    async def inside(self, service: str, *command: str, input: bytes = b"") -> tuple[int, str, str]:
        """A command in a service's container: exit status, output, errors."""
        argv = ["docker", "exec", *(["-i"] if input else []), f"{self.project}_{service}_1", *command]
        return await attempt(argv, env=self.env, input=input)

    async def kubectl(self, *arguments: str, input: bytes = b"") -> str:
        """Raises Failed."""
        return await run([*self.kubectl_command, *arguments], input=input)

    async def get(self, *arguments: str) -> Any:
        return json.loads(await self.kubectl("get", *arguments, "-o", "json"))

    async def pods(self) -> list[dict[str, Any]]:
        """Those of the example that nobody is taking away."""
        found = (await self.get("pods", "-l", "app=hello"))["items"]
        return [pod for pod in found if "deletionTimestamp" not in pod["metadata"]]

    async def ready_nodes(self) -> set[str]:
        nodes = (await self.get("nodes"))["items"]
        return {node["metadata"]["name"] for node in nodes if is_ready(node)}

    async def wait_ready(self, *workers: str) -> None:
        """Until these are Ready. Raises Failed."""

        async def ready() -> bool:
            return set(workers) <= await self.ready_nodes()

        await self.until(ready, READY_SECONDS, f"not all of {', '.join(workers)} are Ready")

    async def ask(self, worker: str, address: str) -> set[str]:
        """The answers that a worker gets at the Service's address in five requests. Raises Failed."""
        words = ("curl", "--fail", "--silent", "--show-error", "--max-time", "2", f"http://{address}/")

        async def once() -> str:
            code, out, said = await self.inside(worker, *words)
            if code:
                raise Failed(f"http://{address}/ does not answer on {worker}: {said.strip()}")
            return out.strip()

        async def answers() -> bool:
            with suppress(Failed):
                return bool(await once())
            return False

        await self.until(answers, ANSWER_SECONDS, f"http://{address}/ does not answer on {worker}")
        return {await once() for _ in range(5)}

    async def until(
        self, what: Callable[[], Coroutine[Any, Any, Any]], seconds: float, otherwise: str
    ) -> None:
        """Wait for it. Raises Failed, with what the containers said."""
        deadline = self.clock.monotonic() + seconds
        while not await what():
            if self.clock.monotonic() > deadline:
                raise Failed(f"{otherwise} within {seconds:.0f} s\n\n{await last_words(self.env)}")
            await self.clock.sleep(POLL)

    async def load_example(self) -> None:
        """Hand the example's image to each worker; no registry in between."""
        image = hello()
        loading = (self.inside(worker, "kplane", "load", "/dev/stdin", input=image) for worker in WORKERS)
        for code, _, said in await asyncio.gather(*loading):
            if code:
                raise Failed(f"a worker did not take the example's image: {said.strip()}")


def is_ready(thing: Mapping[str, Any]) -> bool:
    """Of a node, or of a Pod."""
    conditions = thing["status"].get("conditions", ())
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in conditions)


async def compose(env: Mapping[str, str], *arguments: str, input: bytes = b"", seconds: float) -> str:
    """docker-compose, for this project alone. Raises Failed."""
    argv = ["docker-compose", "--project-directory", str(HERE), "--file", str(HERE / "docker-compose.yml")]
    return await run([*argv, *arguments], env=env, input=input, seconds=seconds)


async def last_words(env: Mapping[str, str]) -> str:
    """What the containers said last. Raises Failed."""
    return await compose(env, "logs", "--no-color", "--tail=10", seconds=60)


def settings(engine: Engine) -> dict[str, str]:
    """What docker-compose is told: .env, and the environment before it.

    The API's port is chosen here, where any free one is wanted: the engine would choose another one whenever
    the API server restarts. In an engine of the demo's own the project gets a name that no other has, because
    cgroups, which are named after it, are the machine's.
    """
    lines = (line.strip() for line in (HERE / ".env").read_text().splitlines())
    pairs = (line.partition("=") for line in lines if line and not line.startswith("#"))
    made = {name: value for name, _, value in pairs}
    if engine.own:
        made["COMPOSE_PROJECT_NAME"] += f"-{Entropy().suffix(6)}"
    made |= engine.env
    if made["KPLANE_API_PORT"] == "0":
        made["KPLANE_API_PORT"] = str(free_port())
    return made


@asynccontextmanager
async def cluster(engine: Engine, clock: Clock, env: Mapping[str, str]) -> AsyncIterator[Cluster]:
    """`docker-compose up`, and everything down afterwards, its volumes as well. Raises Failed."""
    with tempfile.TemporaryDirectory(prefix="kplane-admin-") as folder:
        kubeconfig = Path(folder) / "admin.conf"
        try:
            try:
                await compose(env, "up", "--detach", "--no-build", seconds=UP_SECONDS)
            except Failed as failure:
                raise Failed(f"{failure}\n\n{await last_words(env)}") from failure
            yield Cluster(engine, env, await _kubectl(engine, env, kubeconfig), clock)
        finally:
            await compose(env, "down", "--volumes", "--timeout", "10", seconds=UP_SECONDS)
            for number in range(len(WORKERS)):
                # Of workers that were killed.
                remove_cgroup(f"/kplane-{env['COMPOSE_PROJECT_NAME']}-{number + 1}")


async def _kubectl(engine: Engine, env: Mapping[str, str], kubeconfig: Path) -> Sequence[str]:
    """kubectl as the administrator, through the published port."""
    text = await compose(
        env, "run", "--rm", "-T", "--no-deps", "bootstrap", "cat", "/etc/kplane/admin.conf", seconds=60
    )
    kubeconfig.touch(mode=0o600)
    kubeconfig.write_text(text)
    kubectl = Path(sys.executable).parent / "kubectl"
    return [
        *engine.inside, str(kubectl) if kubectl.exists() else "kubectl", f"--kubeconfig={kubeconfig}",
        f"--server=https://localhost:{env['KPLANE_API_PORT']}", "--request-timeout=30s",
    ]  # fmt: skip
