"""Horizontal Pod autoscaler: looks at each autoscaler's metrics every 15 s and sets the scale of its target.

Reads: autoscalers and Pods, from informer caches; scales and metrics, through the API server.
Writes: scales; status of autoscalers.
Elsewhere: what a metric asks for (proposals.py, usage.py), how much of it happens (behavior.py).

Invariant: a scale is written only as it was read; where nothing can be told of any metric, or of one while
the others ask for less, nothing changes.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import msgspec

from kplane.api.clock import rfc3339
from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.quantity import exact
from kplane.api.resource import Key, Object, Resource
from kplane.api.selectors import Selector, SelectorError, parse_labels
from kplane.api.types import Condition, Pod
from kplane.api.types.meta import condition
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from ..config import Config
from ..discovery import discover
from ..latest import Latest
from ..status import condition_body
from . import monitor, zero
from .behavior import Bounds, History, down_rules, longest_period, settle, up_rules
from .metrics import Metrics
from .proposals import Proposal, Proposals, Situation, Unusable
from .usage import Delays, NoReplicas, Tolerances
from .views import HorizontalPodAutoscaler, Rules, Scale, Status

log = logging.getLogger(__name__)

SCALE_ATTEMPTS = 5
ACTIVE, ABLE, LIMITED = "ScalingActive", "AbleToScale", "ScalingLimited"
BELOW = "Current number of replicas below Spec.MinReplicas"


class Failed(Exception):
    """This look at an autoscaler came to nothing; its conditions say why."""

    fault = "internal"
    """Whose it is, in metrics."""


class SpecFailed(Failed):
    """Only another spec helps."""

    fault = "spec"


class BadVersion(NoReplicas):
    """An API version that is none."""


@dataclass
class Draft:
    """The status in the making."""

    status: Status
    now: datetime
    conditions: list[Condition] = field(default_factory=list)
    current: int = 0
    desired: int = 0
    metrics: tuple[Object, ...] | None = None
    scaled: bool = False
    fault: str = "none"
    """Whose failure it was that did not keep the rest from being done; for metrics."""

    def set(self, kind: str, value: bool, reason: str, message: str) -> None:
        status = "True" if value else "False"
        old = condition(tuple(self.conditions), kind)
        since = old.last_transition_time if old and old.status == status else self.now
        new = Condition(type=kind, status=status, reason=reason, message=message, last_transition_time=since)
        if old is None:
            self.conditions.append(new)
        else:
            self.conditions[self.conditions.index(old)] = new

    def body(self, generation: int) -> Object:
        """The status on the wire."""
        last = self.now if self.scaled else self.status.last_scale_time
        return {
            "observedGeneration": generation or None,
            "lastScaleTime": rfc3339(last) if last else None,
            "currentReplicas": self.current or None,
            "desiredReplicas": self.desired,
            "currentMetrics": list(self.metrics) if self.metrics is not None else None,
            "conditions": [condition_body(entry) for entry in self.conditions] or None,
        }


def old_body(status: Status) -> Object:
    """What is written already, in the form of `Draft.body`."""
    last = status.last_scale_time
    return {
        "observedGeneration": status.observed_generation,
        "lastScaleTime": rfc3339(last) if last else None,
        "currentReplicas": status.current_replicas or None,
        "desiredReplicas": status.desired_replicas,
        "currentMetrics": list(status.current_metrics) if status.current_metrics is not None else None,
        "conditions": [condition_body(entry) for entry in status.conditions] or None,
    }


def best(proposals: list[Proposal], failures: list[Unusable], wanted: int) -> Proposal | None:
    """The proposal for the most replicas; None where it can't be trusted: metrics that failed might ask for
    more than the others, which matters as long as these ask for less than there is."""
    if not proposals:
        return None
    highest = max(proposals, key=lambda proposal: proposal.replicas)
    return None if failures and highest.replicas < wanted else highest


class HorizontalPodAutoscalerController:
    name = "horizontal-pod-autoscaler-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._client, self._clock, self._events, self._queue = ctx.client, ctx.clock, ctx.events, ctx.queue
        self._options = options
        self._may_reach_zero = options.feature_gates.get(zero.GATE, True)
        self._delays = Delays(
            timedelta(seconds=options.hpa_cpu_initialization_period),
            timedelta(seconds=options.hpa_initial_readiness_delay),
        )
        self._histories: dict[Key, History] = {}
        self._selectors: dict[Key, Selector] = {}
        self._resources: dict[tuple[str, str], Resource[Any]] = {}
        self._proposals = Proposals(Metrics(ctx.client), self._find)
        self._scalers = ctx.informer(HorizontalPodAutoscaler)
        self._known = Latest(self._scalers)
        self._pods = ctx.informer(Pod)
        self._scalers.on_change(self._changed)

    def _changed(self, old: HorizontalPodAutoscaler | None, new: HorizontalPodAutoscaler | None) -> None:
        """Its own status is no reason to look again before the time has come."""
        if old is None or new is None or old.spec != new.spec:
            self._queue.wake(old, new)

    async def reconcile(self, key: Key) -> Requeue | None:
        cached = self._scalers.get(key)
        if cached is None:
            self._histories.pop(key, None)
            self._selectors.pop(key, None)
            return None
        scaler, now = self._known.of(cached), self._clock.now()
        draft = Draft(scaler.status, now, list(scaler.status.conditions))
        draft.current, draft.desired = scaler.status.current_replicas, scaler.status.desired_replicas
        draft.metrics = scaler.status.current_metrics
        with monitor.look(self._clock) as outcome:
            outcome.error = "internal"
            try:
                await self._look(scaler, draft)
                outcome.error = draft.fault
            except Failed as error:
                outcome.error = error.fault
                log.warning("not scaled key=%s why=%s", key, error)
            outcome.before, outcome.after, outcome.scaled = draft.current, draft.desired, draft.scaled
            await self._write(scaler, draft)
        # Metrics can't be watched.
        return Requeue(self._options.hpa_sync_period)

    async def _look(self, scaler: HorizontalPodAutoscaler, draft: Draft) -> None:
        path, body = await self._scale(scaler, draft)
        scale = msgspec.convert(body, Scale)
        message = "the HPA controller was able to get the target's current scale"
        draft.set(ABLE, True, "SucceededGetScale", message)
        current = draft.current = scale.spec.replicas
        history = self._histories.setdefault(scaler.key, History())
        history.begin(current, draft.now)
        spec = scaler.spec
        least = 1 if spec.min_replicas is None else spec.min_replicas
        reason = ""
        draft.metrics = None
        if current == 0 and (not self._may_reach_zero or zero.paused(scaler, least)):
            text = "scaling is disabled since the replica count of the target is zero"
            draft.set(ACTIVE, False, "ScalingDisabled", text)
            desired = 0
        elif current > spec.max_replicas:
            desired, reason = spec.max_replicas, "Current number of replicas above Spec.MaxReplicas"
        elif 0 < current < least:
            desired, reason = least, BELOW
        else:
            desired, reason = await self._judge(scaler, scale, draft, Bounds(least, spec.max_replicas))
        if desired != current:
            await self._rescale(scaler, path, body, desired, reason, draft)
            if self._may_reach_zero:
                draft.set(zero.SCALED_TO_ZERO, *zero.outcome(spec, current, desired, least))
        draft.desired = desired

    async def _scale(self, scaler: HorizontalPodAutoscaler, draft: Draft) -> tuple[str, Object]:
        """Where the target's scale is, and what it says. Raises Failed."""
        target = scaler.spec.scale_target_ref
        try:
            resource = await self._find(target.api_version, target.kind)
            path = resource.path(scaler.metadata.namespace, target.name, "scale")
            return path, msgspec.json.decode(await self._client.raw("GET", path), type=Object)
        except (ApiError, NoReplicas, msgspec.DecodeError) as error:
            self._warn(scaler, "FailedGetScale", str(error))
            text = f"the HPA controller was unable to get the target's current scale: {error}"
            draft.set(ABLE, False, "FailedGetScale", text)
            raise (SpecFailed if isinstance(error, BadVersion) else Failed)(text) from error

    async def _find(self, api_version: str, kind: str) -> Resource[Any]:
        """The resource of a kind; the version does not matter. Raises NoReplicas."""
        if api_version.count("/") > 1:
            raise BadVersion(f"unexpected GroupVersion string: {api_version}")
        group = api_version.rpartition("/")[0]
        known = self._resources.get((group, kind))
        if known is None:
            try:
                self._resources.update((await discover(self._client, group)).by_kind())
            except ApiError as error:
                raise NoReplicas(str(error)) from error
            known = self._resources.get((group, kind))
        if known is None:
            raise NoReplicas(f'no matches for kind "{kind}" in group "{group}"')
        return known

    async def _judge(
        self, scaler: HorizontalPodAutoscaler, scale: Scale, draft: Draft, bounds: Bounds
    ) -> tuple[int, str]:
        """The number that metrics ask for, as far as it is allowed, and why. Raises Failed."""
        situation = self._situation(scaler, scale, draft)
        proposals: list[Proposal] = []
        failures: list[Unusable] = []
        statuses: list[Object] = []
        for metric in scaler.spec.metrics or ():
            try:
                proposal = await self._propose(metric, situation, scaler.status.current_replicas)
            except Unusable as error:
                self._warn(scaler, error.reason, error.why)
                failures.append(error)
                statuses.append({"type": ""})
            else:
                proposals.append(proposal)
                statuses.append(proposal.status)
        draft.metrics = tuple(statuses)
        chosen = best(proposals, failures, scale.spec.replicas)
        if chosen is None:
            raise self._no_metrics(scaler, failures, draft)
        draft.fault = failures[0].fault if failures else "none"
        text = f"the HPA was able to successfully calculate a replica count from {chosen.name}"
        draft.set(ACTIVE, True, "ValidMetricFound", text)
        return self._allowed(scaler, chosen, scale.spec.replicas, bounds, draft)

    async def _propose(self, metric: Object, situation: Situation, shown: int) -> Proposal:
        """`shown`: the replicas that the status told of last. Raises Unusable."""
        with monitor.computation(metric.get("type", ""), self._clock) as outcome:
            outcome.error = "internal"
            try:
                proposal = await self._proposals.propose(metric, situation)
            except Unusable as error:
                outcome.error = error.fault
                raise
            outcome.error, outcome.before, outcome.after = "none", shown, proposal.replicas
        return proposal

    def _situation(self, scaler: HorizontalPodAutoscaler, scale: Scale, draft: Draft) -> Situation:
        """What the metrics are judged by. Raises Failed where the Pods cannot be told."""
        namespace, text = scaler.metadata.namespace, scale.status.selector
        if not text:
            self._warn(scaler, "SelectorRequired", "selector is required")
            why = "the HPA target's scale is missing a selector"
            draft.set(ACTIVE, False, "InvalidSelector", why)
            raise self._not_computed(scaler, "selector is required")
        try:
            selector = parse_labels(text)
        except SelectorError as error:
            why = f"couldn't convert selector into a corresponding internal selector object: {error}"
            self._warn(scaler, "InvalidSelector", why)
            draft.set(ACTIVE, False, "InvalidSelector", why)
            raise self._not_computed(scaler, why) from error
        self._selectors[scaler.key] = selector
        pods = [pod for pod in self._pods.list(namespace) if selector.matches(pod.metadata.labels)]
        self._refuse_shared(scaler, text, pods, draft)
        return Situation(
            namespace, scale.spec.replicas, scale.status.replicas, text, pods, self._tolerances(scaler),
            self._delays, draft.now,
        )  # fmt: skip

    def _refuse_shared(
        self, scaler: HorizontalPodAutoscaler, text: str, pods: list[Pod], draft: Draft
    ) -> None:
        """Pods that two autoscalers count would make them work against each other. Raises Failed."""
        sharing = [
            key
            for key, selector in self._selectors.items()
            if key.namespace == scaler.metadata.namespace
            and any(selector.matches(pod.metadata.labels) for pod in pods)
        ]
        if len(sharing) < 2:
            return
        names = " ".join(str(key) for key in sorted(sharing))
        why = f"pods by selector {text} are controlled by multiple HPAs: [{names}]"
        self._warn(scaler, "AmbiguousSelector", why)
        draft.set(ACTIVE, False, "AmbiguousSelector", why)
        raise self._not_computed(scaler, why)

    def _tolerances(self, scaler: HorizontalPodAutoscaler) -> Tolerances:
        usual, behavior = self._options.hpa_tolerance, scaler.spec.behavior
        if behavior is None:
            return Tolerances(usual, usual)
        return Tolerances(_tolerance(up_rules(behavior), usual), _tolerance(down_rules(behavior), usual))

    def _no_metrics(self, scaler: HorizontalPodAutoscaler, failures: list[Unusable], draft: Draft) -> Failed:
        if not failures:
            return Failed("no metrics")
        first, count = failures[0], len(scaler.spec.metrics or ())
        text = f"the HPA was unable to compute the replica count: {first.why}"
        draft.set(ACTIVE, False, first.reason, text)
        why = f"invalid metrics ({len(failures)} invalid out of {count}), first error is: {first}"
        return self._not_computed(scaler, why)

    def _not_computed(self, scaler: HorizontalPodAutoscaler, why: str) -> Failed:
        self._warn(scaler, "FailedComputeMetricsReplicas", why)
        return Failed(why)

    def _allowed(
        self, scaler: HorizontalPodAutoscaler, chosen: Proposal, current: int, bounds: Bounds, draft: Draft
    ) -> tuple[int, str]:
        reason = "All metrics below target"
        if chosen.replicas > current:
            reason = f"{chosen.name} above target"
        elif current == 0:
            reason = BELOW
        history, window = self._histories[scaler.key], self._options.hpa_downscale_stabilization
        verdict = settle(current, chosen.replicas, bounds, scaler.spec.behavior, history, window, draft.now)
        draft.set(ABLE, True, *verdict.able)
        draft.set(LIMITED, verdict.limited, *verdict.limit)
        return verdict.replicas, reason

    async def _rescale(
        self, scaler: HorizontalPodAutoscaler, path: str, scale: Object, desired: int, reason: str,
        draft: Draft,
    ) -> None:  # fmt: skip
        """Raises Failed."""
        try:
            await self._put_scale(path, scale, desired)
        except ApiError as error:
            self._warn(scaler, "FailedRescale", f"New size: {desired}; reason: {reason}; error: {error}")
            text = f"the HPA controller was unable to update the target scale: {error}"
            draft.set(ABLE, False, "FailedUpdateScale", text)
            raise Failed(text) from error
        log.info("rescaled key=%s from=%d to=%d why=%s", scaler.key, draft.current, desired, reason)
        text = f"the HPA controller was able to update the target scale to {desired}"
        draft.set(ABLE, True, "SucceededRescale", text)
        self._events.event(scaler, "Normal", "SuccessfulRescale", f"New size: {desired}; reason: {reason}")
        if scaler.spec.behavior is not None:
            longest = longest_period(scaler.spec.behavior)
            self._histories[scaler.key].scaled(draft.current, desired, draft.now, longest)
        draft.scaled = True

    async def _put_scale(self, path: str, scale: Object, desired: int) -> None:
        """Its owner may write it at any time: what has changed meanwhile is read anew a few times."""
        for attempt in range(1, SCALE_ATTEMPTS + 1):
            try:
                spec = (scale.get("spec") or {}) | {"replicas": desired}
                await self._client.raw("PUT", path, body=scale | {"spec": spec})
            except Conflict:
                if attempt == SCALE_ATTEMPTS:
                    raise
                scale = msgspec.json.decode(await self._client.raw("GET", path), type=Object)
            else:
                return

    async def _write(self, scaler: HorizontalPodAutoscaler, draft: Draft) -> None:
        body = draft.body(scaler.metadata.generation)
        if body == old_body(scaler.status):
            return
        name, namespace = scaler.metadata.name, scaler.metadata.namespace
        try:
            answer = await self._client.patch(
                HorizontalPodAutoscaler, name, namespace, {"status": body}, subresource="status"
            )
            self._known.wrote(answer)
        except NotFound:
            return
        except ApiError as error:
            self._warn(scaler, "FailedUpdateStatus", str(error))
            raise

    def _warn(self, scaler: HorizontalPodAutoscaler, reason: str, message: str) -> None:
        self._events.event(scaler, "Warning", reason, message)


def _tolerance(rules: Rules, usual: float) -> float:
    """A tolerance as a part of 1."""
    return usual if rules.tolerance is None else float(exact(rules.tolerance))
