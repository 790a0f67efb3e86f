"""Pods of busybox in the test's namespace: made, waited for, and what they said."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from kplane.testing.clusters import Cluster, Finished
from kplane.testing.images import BUSYBOX

from ..api import Api, ready

FOREVER = "trap 'exit 0' TERM; sleep 1000 & wait"


@dataclass(frozen=True)
class Ended:
    """A pod that runs no more, and its first container's output."""

    pod: Any
    log: str

    @property
    def phase(self) -> str:
        return str(self.pod["status"]["phase"])

    @property
    def terminated(self) -> Any:
        return self.pod["status"]["containerStatuses"][0]["state"]["terminated"]


@dataclass(frozen=True)
class Pods:
    api: Api
    core: str
    node: Cluster

    @property
    def namespace(self) -> str:
        return self.core.rpartition("/")[2]

    def path(self, name: str) -> str:
        return f"{self.core}/pods/{name}"

    async def make(self, name: str, script: str | None = FOREVER, **spec: Any) -> Any:
        """`container` adds to its one container, `metadata` to its metadata; the rest is its spec."""
        container = {"name": "c", "image": BUSYBOX, "imagePullPolicy": "IfNotPresent"}
        if script is not None:
            container["command"] = ["sh", "-c", script]  # type: ignore[assignment]
        container |= spec.pop("container", {})
        metadata = {"name": name, **spec.pop("metadata", {})}
        defaults = {"restartPolicy": "Never", "terminationGracePeriodSeconds": 1, "containers": [container]}
        return await self.api.make(f"{self.core}/pods", {"metadata": metadata, "spec": defaults | spec})

    async def run(self, name: str, script: str | None, **spec: Any) -> Ended:
        """Make one and wait for its end."""
        await self.make(name, script, **spec)
        return await self.ended(name)

    async def ended(self, name: str) -> Ended:
        pod = await self.api.until(
            self.path(name), lambda found: found["status"]["phase"] in ("Succeeded", "Failed")
        )
        return Ended(pod, await self.log(name))

    async def log(self, name: str, container: str = "") -> str:
        query = {"container": container} if container else {}
        answer = await self.api("GET", f"{self.path(name)}/log", accept="*/*", **query)
        assert answer.code == 200, answer.body
        return str(answer.body)

    async def running(self, name: str) -> Any:
        """Wait until it is ready."""
        return await self.api.until(self.path(name), ready)

    async def until(self, name: str, holds: Any, *, seconds: float = 30) -> Any:
        return await self.api.until(self.path(name), holds, seconds=seconds)

    async def exec(self, name: str, *command: str, container: str = "c", check: bool = True) -> Finished:
        return await self.node.kubectl(
            "-n", self.namespace, "exec", name, "-c", container, "--", *command, check=check
        )

    async def events(self, name: str, reason: str) -> list[Any]:
        """What is told about a pod."""
        selector = f"involvedObject.name={name},reason={reason}"
        return await self.api.items(f"{self.core}/events", fieldSelector=selector)


def waiting(pod: Any) -> str:
    """Why the first container does not run."""
    statuses = pod["status"].get("containerStatuses") or [{}]
    return str(statuses[0].get("state", {}).get("waiting", {}).get("reason", ""))


def restarts(pod: Any) -> int:
    statuses = pod["status"].get("containerStatuses") or [{}]
    return int(statuses[0].get("restartCount", 0))


def of_pod(path: str) -> dict[str, Any]:
    """`valueFrom` of a field of the pod."""
    return {"fieldRef": {"fieldPath": path}}
