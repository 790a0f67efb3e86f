"""Carrying out a resize of a pod: bringing into force what its ledger has allocated, container by container.

Reads: the ledger (`allocation.py`). Writes: cgroups of the pod, and those of containers through the runtime.
Elsewhere: which containers it concerns is planned with everything else (`plan.py`).

Order: the pod's own cgroup grows before its containers do, and shrinks after them.
Source: the kubelet's `doPodResizeAction` and `events/resize.go`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import msgspec

from kplane.api.resource import Object

from . import resources
from .allocation import Ledger, needs_restart, with_resources
from .host import Host
from .plan import Resize
from .pod import Container, Pod
from .runtime.interface import RuntimeFailure
from .state import PodState
from .status import Waiting

log = logging.getLogger(__name__)

Room = Callable[[Pod], Waiting | None]
"""Why the node cannot give a pod of its own what it asks for; None where it can."""

IN_PROGRESS, PENDING = "PodResizeInProgress", "PodResizePending"


class Resizing:
    """One pod's. Raises OSError where the disk refuses."""

    def __init__(self, host: Host, pod: Pod, room: Room) -> None:
        self._host, self._room = host, room
        uid = pod.metadata.uid
        self.ledger = Ledger.of(pod, host.disk.recall(uid), lambda data: self._host.disk.remember(uid, data))

    def consider(self, asked: Pod) -> None:
        """Allocate what the spec asks for, if the node has room for it."""
        ledger = self.ledger
        ledger.keep()
        if not ledger.asks_for_more_or_less(asked):
            ledger.pending = None
            return
        why = self._room(asked)
        if why is None:
            ledger.allocate(asked)
            log.info("resize allocated pod=%s", asked.key)
            self._host.tell(asked, "", "Normal", "ResizeStarted", _message("started", asked))
        elif why != ledger.pending:
            ledger.pending = why
            text = _message(why.reason, asked, why.message)
            self._host.tell(asked, "", "Warning", f"Resize{why.reason}", text)

    def due(self, pod: Pod, state: PodState) -> dict[str, bool]:
        """Containers that run with other resources than the pod, as granted, gives them, and whether they
        must be started anew for that. Nothing is owed to one that does not run: it starts as granted."""
        found = {}
        for run in state.running():
            container = pod.container(run.name)
            if container is not None and (differences := self.ledger.due(run.name)):
                found[run.name] = needs_restart(container, differences)
        return found

    async def carry_out(self, pod: Pod, changes: Iterable[Resize]) -> None:
        """Bring containers that go on running to what is granted. A failure shows in the pod's condition."""
        if not self.ledger.resizing:
            return
        try:
            self._host.disk.limit(pod, with_resources(pod, self.ledger.in_force))
            for change in changes:
                await self._update(pod, change)
            self._host.disk.limit(pod, pod)
        except (RuntimeFailure, OSError) as failure:
            if str(failure) != self.ledger.error:
                self.ledger.error = str(failure)
                text = _message("error", pod, self.ledger.error)
                self._host.tell(pod, "", "Warning", "ResizeError", text)
            return
        self.ledger.error = ""
        self.ledger.enforced("")

    async def _update(self, pod: Pod, change: Resize) -> None:
        container = change.container
        if "memory" in self.ledger.due(container.name):
            await self._check_usage(container, change.id)
        limits = resources.for_container(pod, container, self._host.memory)
        await self._host.runtime.update_resources(change.id, limits)
        self.ledger.enforced(container.name)
        log.info("container resized pod=%s container=%s", pod.key, container.name)

    async def _check_usage(self, container: Container, run: str) -> None:
        """A memory limit below what is in use would end the container."""
        limit = resources.for_container(Pod(), container, 0).memory_bytes
        used = [entry.memory_usage for entry in await self._host.runtime.stats() if entry.id == run]
        if limit and used and used[0] > limit:
            raise RuntimeFailure(
                f'attempting to set container "{container.name}" memory limit ({limit}) below current usage '
                f"({used[0]})"
            )

    def conclude(self, pod: Pod, state: PodState) -> None:
        """Tell people once all that was allocated is in force."""
        ledger = self.ledger
        if ledger.resizing and not ledger.error and not self.due(pod, state):
            ledger.resizing = False
            text = _message("completed", pod, generation=ledger.generation)
            self._host.tell(pod, "", "Normal", "ResizeCompleted", text)

    def conditions(self, pod: Pod) -> Sequence[Object]:
        """What the pod's status says about it: type, status, reason, message, observedGeneration."""
        ledger, found = self.ledger, list[Object]()
        if ledger.pending is not None:
            found.append(
                {"type": PENDING, "status": "True", "reason": ledger.pending.reason}
                | {"message": ledger.pending.message, "observedGeneration": pod.metadata.generation}
            )
        if ledger.resizing:
            error = {"reason": "Error", "message": ledger.error} if ledger.error else {}
            found.append(
                {"type": IN_PROGRESS, "status": "True", "observedGeneration": ledger.generation} | error
            )
        return found


def _message(what: str, pod: Pod, error: str = "", generation: int = 0) -> str:
    """The event's text: a word and all containers' resources as JSON, in Go's order of fields."""
    parts: dict[str, Any] = {
        "initContainers": [_resources(entry) for entry in pod.spec.init_containers],
        "containers": [_resources(entry) for entry in pod.spec.containers],
        "generation": generation or pod.metadata.generation,
        "error": error,
    }
    told = {name: value for name, value in parts.items() if value}
    return f"Pod resize {what}: {msgspec.json.encode(told).decode()}"


def _resources(container: Container) -> Object:
    found = {"limits": container.resources.limits, "requests": container.resources.requests}
    told = {part: dict(sorted(values.items())) for part, values in found.items() if values}
    return {"name": container.name, "resources": told}
