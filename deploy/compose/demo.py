"""`make compose-demo`: a cluster of containers, an application on two workers, and the loss of one of them.

Starts a Docker engine if none answers, builds the image, `docker-compose up`; deploys example.yaml, asks its
Service on each worker, reads a log and runs a command there, stops a worker and shows its Pods replaced on
the other; and takes everything down.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import images
from cluster import HERE, WORKERS, Cluster, cluster, is_ready, settings
from commands import Failed
from engine import engine

from kplane.api.clock import Clock, SystemClock
from kplane.runtime import process

REPLICAS = 4
REPLACE_SECONDS = 90


@dataclass(frozen=True)
class Story:
    """Says what happens, and when."""

    clock: Clock
    start: float

    def step(self, text: str) -> None:
        print(f"\n\033[1m[{self.clock.monotonic() - self.start:5.1f} s] {text}\033[0m", flush=True)

    def show(self, text: str) -> None:
        print("\n".join(f"  {line}" for line in text.rstrip().splitlines()), flush=True)


async def deploy(cluster: Cluster, story: Story) -> None:
    """The example, with replicas on both workers. Raises Failed."""
    story.step("Handing the example's image to both workers, and deploying it")
    await cluster.load_example()
    story.show(await cluster.kubectl("apply", "-f", str(HERE / "example.yaml")))
    story.show(await cluster.kubectl("rollout", "status", "deployment/hello", "--timeout=60s"))
    await show(cluster, story)
    if missing := set(WORKERS) - {pod["spec"]["nodeName"] for pod in await cluster.pods()}:
        raise Failed(f"no replica is on {', '.join(missing)}")


async def show(cluster: Cluster, story: Story) -> None:
    story.show("$ kubectl get nodes,pods -o wide")
    story.show(await cluster.kubectl("get", "nodes,pods", "-o", "wide"))


async def ask(cluster: Cluster, story: Story, *workers: str) -> None:
    """The Service, on these workers, each of which has Pods of its own to answer. Raises Failed."""
    address = (await cluster.get("service", "hello"))["spec"]["clusterIP"]
    for worker in workers:
        answers = await cluster.ask(worker, address)
        here = {pod["metadata"]["name"] for pod in await cluster.pods() if pod["spec"]["nodeName"] == worker}
        for answer in sorted(answers):
            story.show(f"{worker} $ curl http://{address}/  ->  {answer}")
        if not answers or not {answer.rpartition(" ")[2] for answer in answers} <= here:
            raise Failed(f"{worker} was not answered by its own Pods, which are {', '.join(sorted(here))}")


async def reach(cluster: Cluster, story: Story) -> None:
    """A log, and a command, of a Pod on each worker, through the API server. Raises Failed."""
    story.step("Reading a log and running a command on each worker, through the API server")
    pods = {pod["spec"]["nodeName"]: pod["metadata"]["name"] for pod in await cluster.pods()}
    for worker in WORKERS:
        for words in (("logs", pods[worker]), ("exec", pods[worker], "--", "hostname")):
            story.show(f"{worker} $ kubectl {' '.join(words)}  ->  {(await cluster.kubectl(*words)).strip()}")


async def lose(cluster: Cluster, story: Story, lost: str, other: str) -> None:
    """Stop a worker; its Pods are replaced on the other. Raises Failed."""
    story.step(
        f"Stopping {lost}; its Pods are given up after {cluster.env['KPLANE_NODE_GRACE_PERIOD']} of silence"
    )
    await cluster.compose("stop", lost)

    async def replaced() -> bool:
        pods = await cluster.pods()
        return len(pods) == REPLICAS and all(runs_on(pod, other) for pod in pods)

    await cluster.until(replaced, REPLACE_SECONDS, f"the Pods of {lost} were not replaced on {other}")
    story.step(f"All {REPLICAS} replicas run on {other}")
    await show(cluster, story)


def runs_on(pod: Mapping[str, Any], node: str) -> bool:
    """Whether it is there, and Ready."""
    return pod["spec"].get("nodeName") == node and is_ready(pod)


@asynccontextmanager
async def running(story: Story, *, own: bool) -> AsyncIterator[Cluster]:
    """Engine, image and cluster, which all go afterwards. Raises Failed."""
    async with engine(story.clock, own=own) as docker:
        story.step("Building the image" + (", in a Docker engine started for it" if docker.own else ""))
        env = settings(docker)
        await images.build(docker, env["KPLANE_IMAGE"])
        story.step("docker-compose up: etcd, API server, scheduler, controller manager, two workers")
        async with cluster(docker, story.clock, env) as made:
            try:
                await made.wait_ready(*WORKERS)
                yield made
            finally:
                story.step("Taking everything down")
    story.step("Done")


async def act(cluster: Cluster, story: Story) -> None:
    """What the demo shows. Raises Failed."""
    await deploy(cluster, story)
    story.step("Asking the Service on each worker")
    await ask(cluster, story, *WORKERS)
    await reach(cluster, story)
    await lose(cluster, story, lost=WORKERS[1], other=WORKERS[0])
    await ask(cluster, story, WORKERS[0])


async def tell(clock: Clock, *, own: bool) -> None:
    """Raises Failed."""
    story = Story(clock, clock.monotonic())
    async with running(story, own=own) as made:
        await act(made, story)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--own-engine", action="store_true", help="even if a Docker engine answers here")
    own = parser.parse_args().own_engine
    return process.run("compose-demo", lambda: tell(SystemClock(), own=own))


if __name__ == "__main__":
    sys.exit(main())
