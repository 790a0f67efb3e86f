"""Deployment controller: take the planned steps of rollouts, scaling, pausing and clean-up.

Reads: Deployments, ReplicaSets and Pods, from informer caches.
Writes: ReplicaSets (creation, size, annotations, deletion), Deployment status and revision annotation.
Elsewhere: Pods (replicaset.py), rolling back (kubectl, by patching the template; rollback.py).

Invariant: every write of an existing object carries the resourceVersion it was decided on; a stale cache
makes a Conflict and a retry, never a wrong size.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import msgspec

from kplane.api.errors import AlreadyExists, ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.types import Condition, Deployment, Pod, ReplicaSet
from kplane.api.types.apps import DeploymentStatus
from kplane.api.types.meta import condition
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..adoption import Adoption, adopters, controller_reference, selector_of
from ..batches import attempt_all, namespace_is_terminating
from ..latest import Latest
from ..status import conditions_body, guarded
from . import history, plan, rollback, status
from .plan import Scale
from .template import HASH_LABEL, new_set, same_template, template_hash, with_hash

log = logging.getLogger(__name__)


@dataclass
class Rollout:
    """A Deployment, its sets, and which of them is the new one; renewed by each write."""

    deployment: Deployment
    sets: list[ReplicaSet]
    new: ReplicaSet | None

    @property
    def old(self) -> list[ReplicaSet]:
        return [rs for rs in self.sets if rs is not self.new]

    def replace(self, old: ReplicaSet, new: ReplicaSet) -> None:
        """Go on with what the server answered."""
        self.sets = [new if rs is old else rs for rs in self.sets]
        if self.new is old:
            self.new = new


class DeploymentController:
    name = "deployment-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._events = ctx.events
        self._queue = ctx.queue
        self._deployments = ctx.informer(Deployment)
        self._sets = ctx.informer(ReplicaSet)
        self._pods = ctx.informer(Pod)
        self._sets.add_index("deployment-orphans", _orphan_namespace)
        self._sets.add_index("uid", lambda rs: [rs.metadata.uid])
        self._latest = Latest(self._deployments)
        self._latest_sets = Latest(self._sets)
        self._adoption = Adoption(ctx.client, ReplicaSet)
        self._deployments.on_change(ctx.queue.wake)
        self._sets.on_change(ctx.queue.wake_owner)
        self._sets.on_change(self._wake_adopters)
        self._pods.on_change(self._wake_recreate)

    def _wake_adopters(self, old: ReplicaSet | None, new: ReplicaSet | None) -> None:
        if new is None or new.metadata.controller:
            return
        for key in adopters(self._deployments.list(new.metadata.namespace), new.metadata.labels):
            self._queue.add(key)

    def _wake_recreate(self, old: Pod | None, new: Pod | None) -> None:
        """The last old Pod of a Recreate may have gone."""
        if old is None or (new is not None and not new.terminal):
            return
        owner = old.metadata.controller
        for rs in self._sets.by_index("uid", owner.uid) if owner else ():
            self._queue.wake_owner(None, rs)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the spec. Safe to repeat at any time."""
        cached = self._deployments.get(key)
        if cached is None:
            return None
        deployment = self._latest.of(cached)
        if _selects_everything(deployment):
            await self._refuse(deployment)
            return None
        selector = selector_of(deployment)
        owned = self._sets.owned_by(deployment.metadata.uid)
        orphans = self._sets.by_index("deployment-orphans", key.namespace)
        candidates = [self._latest_sets.of(rs) for rs in (*owned, *orphans)]
        sets = await self._adoption.claim(
            deployment, candidates, lambda rs: selector.matches(rs.metadata.labels)
        )
        rollout = Rollout(deployment, sets, new_set(deployment, sets))
        try:
            return await self._step(rollout)
        except NotFound:
            # The Deployment or a set went away under this step; its watch event wakes us again.
            return None

    async def _refuse(self, deployment: Deployment) -> None:
        why = "This deployment is selecting all pods. A non-empty selector is required."
        self._events.event(deployment, "Warning", "SelectingAll", why)
        if deployment.status.observed_generation < deployment.metadata.generation:
            observed = {"observedGeneration": deployment.metadata.generation}
            await self._patch_status(deployment, {"status": observed})

    async def _step(self, rollout: Rollout) -> Requeue | None:
        deployment = rollout.deployment
        if deployment.metadata.deletion_timestamp:
            return await self._report(rollout, rolling=False)
        await self._show_pause(rollout)
        number = rollback.asked(rollout.deployment)
        if number is not None and not rollout.deployment.spec.paused:
            await self._roll_back(rollout, number)
            return None
        if rollout.deployment.spec.paused or plan.scaling_changed(deployment, rollout.sets):
            return await self._scale(rollout)
        if plan.is_rolling(deployment):
            await self._roll(rollout)
        else:
            await self._recreate(rollout)
        return await self._report(rollout, rolling=True)

    async def _scale(self, rollout: Rollout) -> Requeue | None:
        """Paused, or just resized: keep the proportions, start nothing new."""
        await self._keep_revision(rollout)
        await self._apply(rollout, plan.scaling(rollout.deployment, rollout.new, rollout.old))
        if rollout.deployment.spec.paused and rollback.asked(rollout.deployment) is None:
            await self._clean_up(rollout)
        return await self._report(rollout, rolling=False)

    async def _roll_back(self, rollout: Rollout, number: int) -> None:
        """Change the template; the change wakes us to roll it out."""
        await self._ensure_new(rollout)
        deployment = rollout.deployment
        found = rollback.outcome(deployment, number, rollout.sets)
        meta, body = deployment.metadata, guarded(deployment.metadata, found.patch)
        self._latest.wrote(await self._client.patch(Deployment, meta.name, meta.namespace, body))
        log.info("rollback key=%s revision=%d reason=%s", deployment.key, number, found.reason)
        self._events.event(deployment, found.kind, found.reason, found.message)

    async def _roll(self, rollout: Rollout) -> None:
        new = await self._ensure_new(rollout)
        steps = plan.rolling(rollout.deployment, new, rollout.old)
        await self._apply(rollout, steps)
        if not steps and status.complete(rollout.deployment, rollout.deployment.status):
            await self._clean_up(rollout)

    async def _recreate(self, rollout: Rollout) -> None:
        """Old Pods first go away completely."""
        await self._keep_revision(rollout)
        stopping = [Scale(rs, 0) for rs in plan.active(rollout.old)]
        await self._apply(rollout, stopping)
        if stopping or self._old_pods_remain(rollout):
            return
        new = await self._ensure_new(rollout)
        await self._apply(rollout, [Scale(new, rollout.deployment.spec.replicas)])
        if status.complete(rollout.deployment, rollout.deployment.status):
            await self._clean_up(rollout)

    def _old_pods_remain(self, rollout: Rollout) -> bool:
        if any(rs.status.replicas for rs in rollout.old):
            return True
        pods = (pod for rs in rollout.old for pod in self._pods.owned_by(rs.metadata.uid))
        return any(not pod.terminal for pod in pods)

    async def _ensure_new(self, rollout: Rollout) -> ReplicaSet:
        """The set of the current template, created if it does not exist."""
        if rollout.new is None:
            return await self._create(rollout)
        await self._keep_revision(rollout)
        return rollout.new

    async def _keep_revision(self, rollout: Rollout) -> None:
        """Bring the new set's revision and annotations up to date, and the Deployment's revision."""
        rs, deployment = rollout.new, rollout.deployment
        if rs is None:
            return
        number = history.next_revision(rollout.old)
        annotations = history.new_set_annotations(deployment, rs.metadata.annotations, number)
        seconds = deployment.spec.min_ready_seconds
        if annotations != rs.metadata.annotations or seconds != rs.spec.min_ready_seconds:
            body: Object = {
                "metadata": {"annotations": annotations},
                "spec": {"minReadySeconds": seconds or None},
            }
            updated = await self._patch_set(rs, body)
            rollout.replace(rs, updated)
        found = None
        if condition(deployment.status.conditions, "Progressing") is None:
            found = ("FoundNewReplicaSet", f'Found new replica set "{rs.metadata.name}"')
        await self._show_revision(rollout, annotations.get(history.REVISION, ""), found)

    async def _create(self, rollout: Rollout) -> ReplicaSet:
        deployment = rollout.deployment
        body = new_set_body(deployment, rollout.sets)
        name = body["metadata"]["name"]
        created = None
        try:
            new = await self._client.create(ReplicaSet, body)
        except AlreadyExists:
            new = await self._existing_or_collision(rollout, name)
        except ApiError as error:
            await self._tell_failed_creation(rollout, name, error)
            raise
        else:
            created = ("NewReplicaSetCreated", f'Created new replica set "{name}"')
            log.info("created set key=%s set=%s replicas=%d", deployment.key, name, new.spec.replicas)
            if new.spec.replicas:
                message = f"Scaled up replica set {name} from 0 to {new.spec.replicas}"
                self._events.event(deployment, "Normal", "ScalingReplicaSet", message)
        number = new.metadata.annotations.get(history.REVISION, "")
        rollout.sets, rollout.new = [*rollout.sets, new], new
        await self._show_revision(rollout, number, created)
        return new

    async def _existing_or_collision(self, rollout: Rollout, name: str) -> ReplicaSet:
        """The name is taken: by our own set that the cache lacks, or by another template with this hash."""
        deployment = rollout.deployment
        rs = await self._client.get(ReplicaSet, name, deployment.metadata.namespace)
        owner = rs.metadata.controller
        ours = owner is not None and owner.uid == deployment.metadata.uid
        if ours and same_template(rs.spec.template, deployment.spec.template):
            return rs
        count = (deployment.status.collision_count or 0) + 1
        log.info("hash collision key=%s set=%s count=%d", deployment.key, name, count)
        await self._patch_status(deployment, {"status": {"collisionCount": count}})
        raise AlreadyExists(f'replicasets.apps "{name}" already exists')

    async def _tell_failed_creation(self, rollout: Rollout, name: str, error: ApiError) -> None:
        if namespace_is_terminating(error):
            return
        message = f'Failed to create new replica set "{name}": {error}'
        self._events.event(rollout.deployment, "Warning", "ReplicaSetCreateError", message)
        if status.has_deadline(rollout.deployment):
            await self._write_conditions(
                rollout,
                status.set_condition(
                    rollout.deployment.status.conditions,
                    "Progressing",
                    "False",
                    "ReplicaSetCreateError",
                    message,
                    self._clock.now(),
                ),
            )

    async def _apply(self, rollout: Rollout, steps: Sequence[Scale]) -> None:
        for step in steps:
            annotations = history.size_annotations(rollout.deployment)
            known = annotations.items() <= step.rs.metadata.annotations.items()
            resize = step.size != step.rs.spec.replicas
            if not resize and known:
                continue
            updated = await self._patch_set(
                step.rs, {"metadata": {"annotations": annotations}, "spec": {"replicas": step.size}}
            )
            rollout.replace(step.rs, updated)
            if resize:
                self._tell_scaled(rollout.deployment, step)

    def _tell_scaled(self, deployment: Deployment, step: Scale) -> None:
        before = step.rs.spec.replicas
        way = "up" if step.size > before else "down"
        message = f"Scaled {way} replica set {step.rs.metadata.name} from {before} to {step.size}"
        log.info("scaled key=%s set=%s from=%d to=%d", deployment.key, step.rs.key, before, step.size)
        self._events.event(deployment, "Normal", "ScalingReplicaSet", message)

    async def _clean_up(self, rollout: Rollout) -> None:
        doomed = history.superfluous(rollout.deployment, rollout.old)
        errors = await attempt_all(self._delete(rs) for rs in doomed)
        if errors:
            raise errors[0]

    async def _delete(self, rs: ReplicaSet) -> None:
        meta = rs.metadata
        log.info("deleting old set key=%s", rs.key)
        try:
            await self._client.delete(
                ReplicaSet, meta.name, meta.namespace, uid=meta.uid, resource_version=meta.resource_version
            )
        except NotFound:
            return  # Deleted already.

    async def _show_pause(self, rollout: Rollout) -> None:
        conditions = status.pause_condition(rollout.deployment, self._clock.now())
        if conditions != rollout.deployment.status.conditions:
            await self._write_conditions(rollout, conditions)

    async def _show_revision(self, rollout: Rollout, number: str, progress: tuple[str, str] | None) -> None:
        """Write the Deployment's revision annotation, and how the rollout has come to its new set."""
        deployment = rollout.deployment
        body: Object = {}
        if deployment.metadata.annotations.get(history.REVISION) != number:
            # By way of the status: another annotation in the object itself would make a new generation.
            body["metadata"] = {"annotations": {history.REVISION: number}}
        if progress and status.has_deadline(deployment):
            reason, message = progress
            conditions = status.set_condition(
                deployment.status.conditions, "Progressing", "True", reason, message, self._clock.now()
            )
            if conditions != deployment.status.conditions:
                body["status"] = {"conditions": conditions_body(conditions)}
        if body:
            rollout.deployment = await self._patch_status(deployment, body)

    async def _write_conditions(self, rollout: Rollout, conditions: tuple[Condition, ...]) -> None:
        body = {"status": {"conditions": conditions_body(conditions)}}
        rollout.deployment = await self._patch_status(rollout.deployment, body)

    async def _report(self, rollout: Rollout, *, rolling: bool) -> Requeue | None:
        """Write the status where it changed."""
        deployment, now = rollout.deployment, self._clock.now()
        compute = status.rollout if rolling else status.calculated
        computed: DeploymentStatus = compute(deployment, rollout.sets, rollout.new, now)
        if _changed(deployment.status, computed):
            await self._patch_status(deployment, {"status": status.body(computed)})
        left = status.seconds_to_deadline(deployment, computed, now)
        return Requeue(left) if left is not None else None

    async def _patch_status(self, deployment: Deployment, body: Object) -> Deployment:
        meta = deployment.metadata
        patch = guarded(meta, body)
        return self._latest.wrote(
            await self._client.patch(Deployment, meta.name, meta.namespace, patch, subresource="status")
        )

    async def _patch_set(self, rs: ReplicaSet, body: Object) -> ReplicaSet:
        meta = rs.metadata
        return self._latest_sets.wrote(
            await self._client.patch(ReplicaSet, meta.name, meta.namespace, guarded(meta, body))
        )


def new_set_body(deployment: Deployment, sets: Sequence[ReplicaSet]) -> Object:
    """The ReplicaSet for the Deployment's current template."""
    digest = template_hash(deployment.spec.template, deployment.status.collision_count)
    template = with_hash(deployment.spec.template, digest)
    selector = msgspec.to_builtins(deployment.spec.selector)
    selector["matchLabels"] = {**(selector.get("matchLabels") or {}), HASH_LABEL: digest}
    number = history.next_revision(sets)
    annotations = history.new_set_annotations(deployment, {}, number)
    seconds = deployment.spec.min_ready_seconds
    return {
        "apiVersion": "apps/v1",
        "kind": "ReplicaSet",
        "metadata": {
            "name": f"{deployment.metadata.name}-{digest}",
            "namespace": deployment.metadata.namespace,
            "labels": template["metadata"]["labels"],
            "annotations": annotations | history.size_annotations(deployment),
            "ownerReferences": [controller_reference(deployment)],
        },
        "spec": {
            "replicas": plan.new_set_size(deployment, 0, plan.total(sets)),
            **({"minReadySeconds": seconds} if seconds else {}),
            "selector": selector,
            "template": template,
        },
    }


def _changed(old: DeploymentStatus, new: DeploymentStatus) -> bool:
    """Whether there is anything to write; the order of conditions does not count."""
    by_type = (
        sorted(old.conditions, key=lambda entry: entry.type),
        sorted(new.conditions, key=lambda entry: entry.type),
    )
    return status.body(old) | {"conditions": None} != status.body(new) | {"conditions": None} or (
        conditions_body(by_type[0]) != conditions_body(by_type[1])
    )


def _selects_everything(deployment: Deployment) -> bool:
    selector = deployment.spec.selector
    return not selector.match_labels and not selector.match_expressions


def _orphan_namespace(rs: ReplicaSet) -> list[str]:
    return [] if rs.metadata.controller else [rs.metadata.namespace]
