"""Disruption controller: how many Pods of each PodDisruptionBudget may be evicted now.

Reads: PodDisruptionBudgets, Pods, and the workloads that own them, from informer caches; the scale of other
owners through the API server. Writes: the status of PodDisruptionBudgets; the condition DisruptionTarget of
Pods whose disruption was announced and did not come.
Elsewhere: granting an eviction (the API server, `apiserver/http/eviction.py`).

Invariant: a Pod whose eviction was granted counts as lost until it is gone, for two minutes at most.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from kplane.api.clock import rfc3339
from kplane.api.errors import ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.selectors import SelectorError, from_label_selector
from kplane.api.types import Condition, LabelSelector, Pod
from kplane.api.types.meta import condition
from kplane.api.types.policy import PodDisruptionBudget, PodDisruptionBudgetStatus
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .ending import DISRUPTION_TARGET, patch_status, pod_condition
from .owners import NoScale, Owners
from .selectortext import shown_selector
from .status import condition_body, guarded

log = logging.getLogger(__name__)

DELETION_TIMEOUT = timedelta(minutes=2)
"""After this time an eviction that was granted counts as not happening."""

RETRY_SECONDS = 30.0
"""Time until owners whose scale could not be told are asked again: not all of them can be watched."""

BY_KUBELET = "TerminationByKubelet"
ALLOWED = "DisruptionAllowed"
UNMANAGED = (
    "Pods selected by this PodDisruptionBudget (selector: {}) were found to be unmanaged. As a result, the "
    "status of the PDB cannot be calculated correctly, which may result in undefined behavior. To account "
    'for these pods please set ".spec.minAvailable" field of the PDB to an integer value.'
)


@dataclass(frozen=True)
class Disrupted:
    """Pods whose eviction was granted: those still believed to be going, and those that did not go."""

    going: Mapping[str, datetime]
    stayed: Sequence[Pod]

    def recheck(self, now: datetime) -> float | None:
        """Seconds until the first of them counts as staying."""
        if not self.going:
            return None
        return max((min(self.going.values()) + DELETION_TIMEOUT - now).total_seconds(), 0.001)


def disrupted(budget: PodDisruptionBudget, pods: Sequence[Pod], now: datetime) -> Disrupted:
    granted = budget.status.disrupted_pods or {}
    going: dict[str, datetime] = {}
    stayed: list[Pod] = []
    for pod in pods:
        since = granted.get(pod.metadata.name)
        if since is None or pod.metadata.deletion_timestamp:
            continue
        if since + DELETION_TIMEOUT < now:
            stayed.append(pod)
        else:
            going[pod.metadata.name] = since
    return Disrupted(going, stayed)


def healthy(pods: Sequence[Pod], going: Mapping[str, datetime]) -> int:
    return sum(
        pod.ready and not pod.metadata.deletion_timestamp and pod.metadata.name not in going for pod in pods
    )


def scaled(value: int | str, total: int) -> int:
    """A number, or a percentage of `total` rounded up. Raises NoScale for what is neither."""
    if not isinstance(value, str):
        return value
    if not value.endswith("%"):
        raise NoScale("invalid value for IntOrString: invalid type: string is not a percentage")
    try:
        return -(-int(value.removesuffix("%")) * total // 100)
    except ValueError as error:
        number = value.removesuffix("%")
        why = f'invalid value "{value}": strconv.Atoi: parsing "{number}": invalid syntax'
        raise NoScale(f"invalid value for IntOrString: {why}") from error


def needs_scale(budget: PodDisruptionBudget) -> bool:
    """Whether the budget depends on how many Pods their owners want."""
    return budget.spec.max_unavailable is not None or isinstance(budget.spec.min_available, str)


def desired(budget: PodDisruptionBudget, expected: int) -> int:
    """How many Pods must be healthy."""
    if budget.spec.max_unavailable is not None:
        return max(expected - scaled(budget.spec.max_unavailable, expected), 0)
    return scaled(budget.spec.min_available or 0, expected)


def new_status(
    budget: PodDisruptionBudget, current: int, want: int, expected: int, going: Mapping[str, datetime],
    now: datetime,
) -> PodDisruptionBudgetStatus:  # fmt: skip
    allowed = max(current - want, 0) if expected > 0 else 0
    generation = budget.metadata.generation
    verdict = ("True", "SufficientPods") if allowed else ("False", "InsufficientPods")
    return PodDisruptionBudgetStatus(
        observed_generation=generation,
        disrupted_pods=dict(going) or None,
        disruptions_allowed=allowed,
        current_healthy=current,
        desired_healthy=want,
        expected_pods=expected,
        conditions=_conditions(budget, *verdict, "", now, generation),
    )


def _conditions(
    budget: PodDisruptionBudget, status: str, reason: str, message: str, now: datetime, generation: int
) -> tuple[Condition, ...]:
    old = condition(budget.status.conditions, ALLOWED)
    since = old.last_transition_time if old and old.status == status else now
    new = Condition(
        type=ALLOWED, status=status, reason=reason, message=message, last_transition_time=since,
        observed_generation=generation,
    )  # fmt: skip
    return (*(entry for entry in budget.status.conditions if entry.type != ALLOWED), new)


def status_body(status: PodDisruptionBudgetStatus, before: PodDisruptionBudgetStatus) -> Object:
    """The status as a merge patch on `before`."""
    stale = dict.fromkeys(before.disrupted_pods or {})
    pods = stale | {name: rfc3339(since) for name, since in (status.disrupted_pods or {}).items()}
    return {
        "observedGeneration": status.observed_generation,
        "disruptedPods": pods if status.disrupted_pods else None,
        "disruptionsAllowed": status.disruptions_allowed,
        "currentHealthy": status.current_healthy,
        "desiredHealthy": status.desired_healthy,
        "expectedPods": status.expected_pods,
        # metav1.Condition, unlike those of Pods, always has a message.
        "conditions": [{"message": ""} | condition_body(entry) for entry in status.conditions],
    }


def stale_disruption(pod: Pod, now: datetime) -> float | None:
    """Seconds until the announced disruption of this Pod counts as not happening; None if there is none."""
    found = condition(pod.status.conditions, DISRUPTION_TARGET)
    if found is None or found.status != "True" or not pod.active or found.last_transition_time is None:
        return None
    if found.reason == BY_KUBELET:
        return None  # A kubelet that is shutting down may take any time.
    return (found.last_transition_time + DELETION_TIMEOUT - now).total_seconds()


class DisruptionController:
    name = "disruption-controller"

    def __init__(self, ctx: Context) -> None:
        self._client, self._clock, self._events, self._queue = ctx.client, ctx.clock, ctx.events, ctx.queue
        self._budgets = ctx.informer(PodDisruptionBudget)
        self._pods = ctx.informer(Pod)
        self._owners = Owners(ctx)
        self._budgets.on_change(self._budget_changed)
        self._pods.on_change(self._pod_changed)
        self._owners.on_change(self._wake_namespace)

    def _budget_changed(self, old: PodDisruptionBudget | None, new: PodDisruptionBudget | None) -> None:
        if new is not None:
            self._queue.add(new.key)

    def _pod_changed(self, old: Pod | None, new: Pod | None) -> None:
        if old is not None and new is not None and _shown(old) == _shown(new):
            return
        keys = self._budgets_of(new) if new is not None else []
        if new is not None and len(keys) > 1:
            self._refuse(new, keys[0].name)
        if old is not None and (new is None or old.metadata.labels != new.metadata.labels):
            keys = [*keys, *self._budgets_of(old)]
        for key in keys:
            self._queue.add(key)
        if new is not None and stale_disruption(new, self._clock.now()) is not None:
            self._queue.add(_pod_key(new))

    def _budgets_of(self, pod: Pod) -> list[Key]:
        budgets = self._budgets.list(pod.metadata.namespace)
        return sorted(budget.key for budget in budgets if _selects(budget, pod))

    def _refuse(self, pod: Pod, first: str) -> None:
        """No eviction of a Pod with several budgets is ever granted."""
        text = (
            f'Pod "{pod.metadata.namespace}"/"{pod.metadata.name}" matches multiple '
            f'PodDisruptionBudgets.  Chose "{first}" arbitrarily.'
        )
        self._events.event(pod, "Warning", "MultiplePodDisruptionBudgets", text)

    def _wake_namespace(self, namespace: str) -> None:
        """A workload has another scale: budgets that look at scales may allow something else."""
        for budget in self._budgets.list(namespace):
            if needs_scale(budget):
                self._queue.add(budget.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        if key.name.startswith(_POD_MARK):
            return await self._reconcile_pod(Key(key.namespace, key.name.removeprefix(_POD_MARK)))
        budget = self._budgets.get(key)
        if budget is None:
            return None
        try:
            return await self._reconcile_budget(budget)
        except (NoScale, SelectorError) as error:
            log.warning("budget cannot be computed key=%s why=%s", key, error)
            await self._fail_safe(budget, str(error))
            return Requeue(RETRY_SECONDS)

    async def _reconcile_budget(self, budget: PodDisruptionBudget) -> Requeue | None:
        namespace, now = budget.metadata.namespace, self._clock.now()
        pods = self._pods_of(budget)
        expected, want = await self._wanted(budget, pods)
        lost = disrupted(budget, pods, now)
        for pod in lost.stayed:
            text = f"Pod was expected by PDB {namespace}/{budget.metadata.name} to be deleted but it wasn't"
            self._events.event(pod, "Warning", "NotDeleted", text)
        status = new_status(budget, healthy(pods, lost.going), want, expected, lost.going, now)
        await self._write(budget, status)
        wait = lost.recheck(now)
        return None if wait is None else Requeue(wait)

    def _pods_of(self, budget: PodDisruptionBudget) -> Sequence[Pod]:
        """Raises SelectorError."""
        try:
            selector = from_label_selector(budget.spec.selector)
        except SelectorError as error:
            self._events.event(budget, "Warning", "NoPods", f"Failed to get pods: {error}")
            raise
        pods = self._pods.list(budget.metadata.namespace)
        found = [pod for pod in pods if selector.matches(pod.metadata.labels)]
        if not found:
            self._events.event(budget, "Normal", "NoPods", "No matching pods found")
        return found

    async def _wanted(self, budget: PodDisruptionBudget, pods: Sequence[Pod]) -> tuple[int, int]:
        """How many Pods there should be, and how many of them must be healthy. Raises NoScale."""
        try:
            expected = await self._expected(budget, pods)
            return expected, desired(budget, expected)
        except (NoScale, ApiError) as error:
            text = f"Failed to calculate the number of expected pods: {error}"
            self._events.event(budget, "Warning", "CalculateExpectedPodCountFailed", text)
            raise NoScale(str(error)) from error

    async def _expected(self, budget: PodDisruptionBudget, pods: Sequence[Pod]) -> int:
        if not needs_scale(budget):
            return len(pods) if budget.spec.min_available is not None else 0
        expected = await self._owners.expected(pods)
        if any(pod.metadata.controller is None for pod in pods):
            text = UNMANAGED.format(shown_selector(budget.spec.selector or LabelSelector()))
            self._events.event(budget, "Warning", "UnmanagedPods", text)
        return expected

    async def _fail_safe(self, budget: PodDisruptionBudget, why: str) -> None:
        """What cannot be computed allows nothing."""
        status = {
            "disruptionsAllowed": 0,
            "conditions": [
                condition_body(entry)
                for entry in _conditions(
                    budget, "False", "SyncFailed", why, self._clock.now(), budget.status.observed_generation
                )
            ],
        }
        old = condition(budget.status.conditions, ALLOWED)
        if (
            budget.status.disruptions_allowed == 0
            and old
            and (old.reason, old.message) == ("SyncFailed", why)
        ):
            return
        await self._patch(budget, status)

    async def _write(self, budget: PodDisruptionBudget, status: PodDisruptionBudgetStatus) -> None:
        old = budget.status
        same_pods = (status.disrupted_pods or {}) == (old.disrupted_pods or {})
        if same_pods and status_body(status, status) == status_body(old, old):
            return
        log.info("budget key=%s allowed=%d", budget.key, status.disruptions_allowed)
        await self._patch(budget, status_body(status, old))

    async def _patch(self, budget: PodDisruptionBudget, status: Object) -> None:
        # Guarded: an eviction that is granted at this moment must not be forgotten.
        body = guarded(budget.metadata, {"status": status})
        try:
            await self._client.patch(
                PodDisruptionBudget, budget.metadata.name, budget.metadata.namespace, body,
                subresource="status",
            )  # fmt: skip
        except NotFound:
            return

    async def _reconcile_pod(self, key: Key) -> Requeue | None:
        pod = self._pods.get(key)
        wait = None if pod is None else stale_disruption(pod, self._clock.now())
        if pod is None or wait is None:
            return None
        if wait > 0:
            return Requeue(wait)
        body = pod_condition(pod, DISRUPTION_TARGET, "False", self._clock.now())
        try:
            await patch_status(self._client, pod, {"conditions": [body | {"reason": None, "message": None}]})
        except NotFound:
            return None
        return None


_POD_MARK = "pod:"
"""Begins the keys of Pods in the queue; no budget can have such a name."""


def _pod_key(pod: Pod) -> Key:
    return Key(pod.metadata.namespace, _POD_MARK + pod.metadata.name)


def _selects(budget: PodDisruptionBudget, pod: Pod) -> bool:
    try:
        return from_label_selector(budget.spec.selector).matches(pod.metadata.labels)
    except SelectorError:
        return False  # Its own reconcile reports it.


def _shown(pod: Pod) -> tuple[object, ...]:
    """What budgets see of a Pod."""
    meta = pod.metadata
    return (
        meta.uid, meta.labels, meta.deletion_timestamp is None, pod.terminal, pod.ready, meta.controller,
        condition(pod.status.conditions, DISRUPTION_TARGET),
    )  # fmt: skip
