"""One pod's worker: reads the runtime, plans, acts, reports; from the pod's arrival until nothing is left.

    running -> ending -> ended (-> gone from the API)

Running: `plan.plan` says what to do. Ending: containers are stopped with their grace, volumes released; a
shorter grace that arrives meanwhile takes over. Ended: a deleted pod is removed from the API with grace 0,
and when it is gone, everything of it from the node. One task, so nothing of a pod happens twice at once.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from dataclasses import replace
from datetime import datetime
from enum import Enum
from typing import Any

from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Object

from . import plan as planning
from . import starting, stopping
from . import state as states
from .alarm import Alarm
from .backoff import BackOff
from .host import Host
from .plan import Kill, Plan, Start
from .pod import Container, Pod
from .probes import Prober, Probing
from .resizing import Resizing, Room
from .runtime.interface import ContainerState, RuntimeFailure
from .runtimeclass import handler_of
from .starting import Place, StartFailure
from .state import PodState
from .status import Circumstances, Waiting, pod_status
from .together import together
from .verdicts import Verdicts
from .volumes.volume import VolumeFailure

log = logging.getLogger(__name__)

RETRY_SECONDS = 10.0
"""After a failure that no event will announce the end of (upstream's backOffPeriod)."""
PULLING = ("ErrImagePull", "ImagePullBackOff")
"""Failures whose tries the image manager spaces out itself."""
KEPT_RUNS = 1
"""Ended runs of a container that are kept beside the newest, for `logs --previous`."""


_Failure = RuntimeFailure | ApiError | OSError


class Stage(Enum):
    RUNNING = 0
    ENDING = 1
    ENDED = 2
    GONE = 3


class PodWorker:
    def __init__(self, host: Host, pod: Pod, room: Room) -> None:
        self._host, self._asked = host, pod
        self._resizing = Resizing(host, pod, room)
        self.pod = self._resizing.ledger.granted(pod)
        """With the resources that this node has allocated to it."""
        self._stage = Stage.RUNNING
        self._removed = False
        self._let_go = False
        """Whether the API knows that nothing of the pod runs here any more."""
        self._verdict: Waiting | None = None
        self._grace: int | None = None
        self._alarm = Alarm(host.clock)
        self._acting: asyncio.Task[_Failure | None] | None = None
        self._verdicts = Verdicts()
        self._back_off = BackOff()
        self._waiting: dict[str, Waiting] = {}
        self._held: dict[str, float] = {}
        """When containers that could not be started are tried again, on the monotonic clock. Without it the
        report of a failure, which comes back as a change of the pod, would be followed by the next try."""
        self._volume_failures = 0

    def update(self, pod: Pod) -> None:
        """The pod changed in the API."""
        if _apart_from_status(pod) != _apart_from_status(self._asked):
            self._held.clear()
        self._asked, self.pod = pod, self._resizing.ledger.granted(pod)
        self._interrupt_for_deletion()
        self._alarm.ring()

    def remove(self) -> None:
        """The pod is gone from the API."""
        self._removed = True
        self._interrupt_for_deletion()
        self._alarm.ring()

    def wake(self) -> None:
        """Something changed in the runtime."""
        self._alarm.ring()

    def retry(self) -> None:
        """Something changed in an object that the pod refers to: what failed for want of it may work now."""
        self._held.clear()
        self._alarm.ring()

    @property
    def active(self) -> bool:
        """Whether the pod takes up room on the node."""
        return self._stage is not Stage.ENDED and self._verdict is None and not self.pod.terminal

    def evict(self, reason: str, message: str) -> None:
        """Fail the pod and stop it."""
        self._verdict = Waiting(reason, message)
        self._alarm.ring()

    async def run(self) -> None:
        """Until the pod is gone from the API and from the node."""
        async with asyncio.TaskGroup() as tasks:
            probing = Probing(self._host.runtime, self._host.network, self._host.clock, self._unhealthy)
            self._prober = Prober(probing, tasks, self._verdicts, self.wake)
            self._tasks = tasks
            delay = await self._step()
            while not self._gone:
                await self._alarm.wait(delay)
                delay = await self._step()
            self._prober.stop()

    @property
    def _gone(self) -> bool:
        return self._stage is Stage.GONE

    async def _step(self) -> float | None:
        """One look at the pod; seconds until the next even if nothing happens."""
        try:
            if self._stage is Stage.RUNNING:
                return await self._sync()
            if self._stage is Stage.ENDING:
                return await self._end()
            return await self._finish()
        except RuntimeFailure as failure:
            log.warning("runtime failed pod=%s error=%s", self.pod.key, failure)
            return 1.0
        except ApiError as failure:
            log.warning("request failed pod=%s error=%s", self.pod.key, failure)
            return 1.0
        except OSError as failure:
            log.error("node failed pod=%s error=%s", self.pod.key, failure)
            return RETRY_SECONDS

    # Running

    async def _sync(self) -> float | None:
        state = await states.read(self._host.runtime, self.pod.metadata.uid)
        self._prober.follow(self.pod, state)
        if self._over(state):
            self._stage = Stage.ENDING
            return 0
        self._resizing.consider(self._asked)
        self.pod = self._resizing.ledger.granted(self._asked)
        now = self._host.clock.now().timestamp()
        resizes = self._resizing.due(self.pod, state)
        plan = planning.plan(self.pod, state, self._verdicts, self._back_off, now, resizes)
        plan = replace(plan, start=tuple(order for order in plan.start if not self._hold(order)))
        self._note_back_off(plan)
        await self._report(state)
        volumes = await self._volumes()
        if volumes is None:
            return self._volume_delay()
        if plan.empty and not self._resizing.ledger.resizing:
            return self._next_look(plan)
        await self._interruptibly(self._act(plan, state, volumes))
        if self._deleting:
            return 0
        state = await states.read(self._host.runtime, self.pod.metadata.uid)
        self._prober.follow(self.pod, state)
        self._resizing.conclude(self.pod, state)
        await self._report(state)
        await self._forget_old_runs(state)
        return self._next_look(plan)

    def _hold(self, order: Start) -> bool:
        """Whether it is too early for another try."""
        return self._host.clock.monotonic() < self._held.get(order.container.name, 0)

    @property
    def _deleting(self) -> bool:
        return self._removed or self.pod.metadata.deletion_timestamp is not None

    def _over(self, state: PodState) -> bool:
        """Whether the pod is to be stopped for good."""
        left = self._deadline_left()
        if left is not None and left <= 0 and self._verdict is None:
            message = "Pod was active on the node longer than the specified deadline"
            self._host.tell(self.pod, "", "Normal", "DeadlineExceeded", message)
            self._verdict = Waiting("DeadlineExceeded", message)
        return (
            self._deleting
            or self.pod.terminal
            or self._verdict is not None
            or bool(planning.finished(self.pod, state))
        )

    def _deadline_left(self) -> float | None:
        limit = self.pod.spec.active_deadline_seconds
        started = self._host.statuses.known(self.pod).get("startTime")
        if limit is None or not started:
            return float(limit) if limit is not None else None
        age = self._host.clock.now() - datetime.fromisoformat(started)
        return limit - age.total_seconds()

    async def _volumes(self) -> dict[str, Any] | None:
        """The volumes' paths; None where one cannot be set up now."""
        try:
            volumes = await self._host.disk.set_up_volumes(self.pod, self._host.allocatable)
        except VolumeFailure as failure:
            self._volume_failures += 1
            self._host.tell(self.pod, "", "Warning", "FailedMount", str(failure))
            return None
        self._volume_failures = 0
        return volumes

    def _volume_delay(self) -> float:
        """Upstream's exponential back-off of mounts: 0.5 s doubling to 2 min 2 s."""
        return float(min(0.5 * 2 ** (self._volume_failures - 1), 122))

    def _next_look(self, plan: Plan) -> float | None:
        delays = list(plan.backing_off.values())
        if self._resizing.ledger.pending is not None or self._resizing.ledger.resizing:
            delays.append(RETRY_SECONDS)
        for name, waiting in self._waiting.items():
            container = self.pod.container(name)
            if waiting.reason != "CrashLoopBackOff" and container is not None:
                delays.append(self._retry_delay(container, waiting.reason))
        left = self._deadline_left()
        if left is not None:
            delays.append(left)
        if (due := self._host.disk.renew_at(self.pod.metadata.uid)) is not None:
            delays.append((due - self._host.clock.now()).total_seconds())
        return min(delays, default=None)

    def _retry_delay(self, container: Container, reason: str) -> float:
        if reason == "ErrImagePull":
            # Soon, so that the state says ImagePullBackOff; the back-off itself delays the pull.
            return 1.0
        if reason == "ImagePullBackOff":
            return self._host.images.retry_after(self.pod, container)
        return max(self._held.get(container.name, 0) - self._host.clock.monotonic(), 0)

    def _note_back_off(self, plan: Plan) -> None:
        for name in plan.backing_off:
            if self._waiting.get(name, Waiting("", "")).reason == "CrashLoopBackOff":
                continue
            delay = _go_seconds(self._back_off.delay(name))
            message = f"back-off {delay} restarting failed container={name} pod={self.pod.long_name}"
            self._waiting[name] = Waiting("CrashLoopBackOff", message)
            text = f"Back-off restarting failed container {name} in pod {self.pod.long_name}"
            self._host.tell(self.pod, name, "Warning", "BackOff", text)

    async def _interruptibly(self, action: Coroutine[Any, Any, None]) -> None:
        """Run to the end, or until the pod is deleted meanwhile. Raises what the action raised."""
        self._acting = self._tasks.create_task(_outcome(action))
        await asyncio.wait([self._acting])
        acted, self._acting = self._acting, None
        failure = None if acted.cancelled() else acted.result()
        if failure is not None:
            raise failure

    def _interrupt_for_deletion(self) -> None:
        """A pull or a long grace must not delay a deletion that is in more of a hurry."""
        if self._acting is None:
            return
        shorter = self._grace is not None and self.pod.grace_seconds < self._grace
        if self._deleting and (self._stage is Stage.RUNNING or shorter):
            self._acting.cancel()

    async def _act(self, plan: Plan, state: PodState, volumes: dict[str, Any]) -> None:
        for kill in plan.kill:
            await self._kill(kill, state)
        await self._resizing.carry_out(self.pod, plan.resize)
        if plan.create_sandbox:
            place = await self._create_sandbox(plan, state, volumes)
        elif state.sandbox is not None:
            config = starting.sandbox_config(self._host, self.pod, state.sandbox.attempt)
            # Newest first in the state: here, the newest wins.
            runs = {run.name: run.id for run in reversed(state.containers)}
            place = Place(state.sandbox.id, config, state.ips, volumes, runs)
        else:
            return
        if place is not None:
            await together(*(self._start(order, place) for order in plan.start))

    async def _kill(self, kill: Kill, state: PodState) -> None:
        run = next(entry for entry in state.containers if entry.id == kill.id)
        grace = self.pod.grace_seconds if kill.grace_seconds is None else kill.grace_seconds
        await stopping.stop(self._host, self.pod, run, state.ips, grace, kill.message)
        self._alarm.ring()

    async def _create_sandbox(self, plan: Plan, state: PodState, volumes: dict[str, Any]) -> Place | None:
        for old in state.sandboxes:
            await self._host.runtime.stop_sandbox(old.id)
        if plan.attempt:
            text = "Pod sandbox changed, it will be killed and re-created."
            self._host.tell(self.pod, "", "Normal", "SandboxChanged", text)
        try:
            config = starting.sandbox_config(self._host, self.pod, plan.attempt)
            handler = handler_of(self.pod, self._host.runtime_classes())
            config = replace(config, runtime_handler=handler)
            self._host.disk.prepare(self.pod)
            sandbox = await self._host.runtime.run_sandbox(config)
        except (RuntimeFailure, OSError) as failure:
            text = f"Failed to create pod sandbox: {failure}"
            self._host.tell(self.pod, "", "Warning", "FailedCreatePodSandBox", text)
            raise
        # What could not be started in the former sandbox may well be in this one.
        self._held.clear()
        created = await self._host.runtime.sandbox_status(sandbox)
        return Place(sandbox, config, created.ips, volumes)

    async def _start(self, order: Start, place: Place) -> None:
        name = order.container.name
        if order.failed_at is not None:
            now = self._host.clock.now().timestamp()
            self._back_off.next(name, order.failed_at, now)
        try:
            await starting.start(self._host, self.pod, order, place)
        except StartFailure as failure:
            self._waiting[name] = Waiting(failure.reason, failure.message)
            log.info("not started pod=%s container=%s reason=%s", self.pod.key, name, failure.reason)
            if failure.reason not in PULLING:
                self._held[name] = self._host.clock.monotonic() + RETRY_SECONDS
        else:
            self._waiting.pop(name, None)
            self._held.pop(name, None)
            self._resizing.ledger.enforced(name)

    async def _forget_old_runs(self, state: PodState) -> None:
        """Remove ended containers and sandboxes that nobody will ask for."""
        for container in self.pod.all_containers():
            ended = [
                run
                for run in state.runs(container.name)[1:]
                if run.state in (ContainerState.EXITED, ContainerState.CREATED)
            ]
            for run in ended[KEPT_RUNS:]:
                await self._host.runtime.remove_container(run.id)
        for old in state.sandboxes[1:]:
            if not any(place == old.id for place in state.sandbox_of.values()):
                await self._host.runtime.remove_sandbox(old.id)

    # Ending and ended

    async def _end(self) -> float | None:
        uid = self.pod.metadata.uid
        state = await states.read(self._host.runtime, uid)
        if not state.idle:
            self._grace = self.pod.grace_seconds
            await self._interruptibly(stopping.stop_all(self._host, self.pod, state, self._grace))
            state = await states.read(self._host.runtime, uid)
            if not state.idle:
                return 0
        self._prober.stop()
        await self._report(state, ended=True)
        self._host.disk.release(uid)
        log.info("ended pod=%s", self.pod.key)
        self._stage = Stage.ENDED
        return 0

    async def _finish(self) -> float | None:
        """Nothing runs. Remove what the API has, then what the node has."""
        meta = self.pod.metadata
        if not self._removed:
            if meta.deletion_timestamp is None or self._let_go:
                return None
            await self._host.statuses.settled(meta.uid)
            try:
                await self._host.client.delete(Pod, meta.name, meta.namespace, uid=meta.uid, grace_seconds=0)
            except (NotFound, Conflict):
                log.info("already gone pod=%s", self.pod.key)
            # The informer tells when it is gone; finalizers may keep it for long.
            self._let_go = True
            return None
        await self._remove_from_node()
        self._stage = Stage.GONE
        return None

    async def _remove_from_node(self) -> None:
        uid = self.pod.metadata.uid
        for sandbox in await self._host.runtime.list_sandboxes(uid):
            await self._host.runtime.remove_sandbox(sandbox.id)
        for container in await self._host.runtime.list_containers(uid):
            await self._host.runtime.remove_container(container.id)
        self._host.disk.remove(uid)
        self._host.images.forget(uid)
        self._host.statuses.forget(uid)
        log.info("removed pod=%s", self.pod.key)

    # Reporting

    async def _report(self, state: PodState, *, ended: bool = False) -> None:
        around = Circumstances(
            now=self._host.clock.now(),
            verdicts=self._verdicts,
            host_ips=self._host.config.node_ips,
            scheme=self._host.runtime.scheme,
            waiting=self._waiting,
            ended=ended,
            verdict=self._verdict,
            resizes=self._resizing.conditions(self._asked),
            in_force=self._resizing.ledger.in_force,
        )
        status: Object = pod_status(self.pod, state, around, self._host.statuses.known(self.pod))
        await self._host.statuses.report(self.pod, status)

    def _unhealthy(self, pod: Pod, container: Container, message: str) -> None:
        self._host.tell(pod, container.name, "Warning", "Unhealthy", message)


def _apart_from_status(pod: Pod) -> tuple[object, ...]:
    meta = pod.metadata
    return pod.spec, meta.labels, meta.annotations, meta.deletion_timestamp


async def _outcome(action: Coroutine[Any, Any, None]) -> _Failure | None:
    """What went wrong, as a value: raised in a task of the group, it would end the whole worker."""
    try:
        await action
    except (RuntimeFailure, ApiError, OSError) as failure:
        return failure
    return None


def _go_seconds(seconds: float) -> str:
    """As Go prints a duration of whole seconds: `10s`, `1m20s`, `5m0s`."""
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
