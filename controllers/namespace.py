"""Namespace controller: empty the namespaces that are being deleted, then let them go.

Reads: Namespaces and Pods from informer caches; discovery and the namespace's content, live.
Writes: deletes all content; Namespace conditions; the `finalize` subresource.
Elsewhere: refusing new objects in a terminating namespace (the API server's admission).

Invariant: the `kubernetes` finalizer goes only after every discovered resource was listed and found empty.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from kplane.api.errors import ApiError, Conflict, MethodNotAllowed, NotFound
from kplane.api.resource import Key, Resource
from kplane.api.types import Condition, Namespace, PartialObjectMetadata, Pod
from kplane.api.types.meta import condition
from kplane.client.controller import Context
from kplane.client.rest import Client
from kplane.client.workqueue import Requeue

from .batches import attempt_all
from .config import Config
from .discovery import Discovered, Served, discover
from .status import conditions_body, guarded

log = logging.getLogger(__name__)

FINALIZER = "kubernetes"
GRACE = 5.0
"""Seconds between seeing the deletion and acting on it, for other API servers to stop admitting objects."""
FINALIZER_WAIT = 15
"""Seconds within which finalizers of content are expected to be done."""
POD_GRACE = 30
PAGE = 500
"""Objects that are listed at once."""
FAILURE_WAIT = 10.0
"""Seconds after a failed pass. Not the queue's backoff, which grows to a quarter of an hour: a group that was
unavailable for long would hold up namespaces for as long again."""


class ContentRemains(ApiError):
    """Something is left that nothing seems to hold."""


@dataclass
class Remains:
    """What one pass over a namespace left behind."""

    counts: dict[str, int] = field(default_factory=dict)
    """`RESOURCE.GROUP` -> objects."""
    finalizers: Counter[str] = field(default_factory=Counter)
    errors: list[str] = field(default_factory=list)
    wait: int = 0
    """Seconds within which the rest should go by itself."""
    elapsed: float = 0.0
    """Seconds since the namespace was deleted."""
    discovery: Discovered = field(default_factory=Discovered)

    @property
    def gone(self) -> bool:
        return not (self.counts or self.errors or self.discovery.failures)


@dataclass(frozen=True)
class _Verdict:
    kind: str
    ok: tuple[str, str]
    failure: Callable[[Remains], tuple[str, str] | None]


def _discovery_failure(remains: Remains) -> tuple[str, str] | None:
    failures = remains.discovery.failures
    if not failures:
        return None
    listed = ", ".join(f"{version}: {why}" for version, why in sorted(failures.items()))
    message = f"Discovery failed for some groups, {len(failures)} failing: "
    return "DiscoveryFailed", f"{message}unable to retrieve the complete list of server APIs: {listed}"


def _content_failure(remains: Remains) -> tuple[str, str] | None:
    if not remains.errors:
        return None
    listed = ", ".join(sorted(remains.errors))
    count = len(remains.errors)
    return "ContentDeletionFailed", f"Failed to delete all resource types, {count} remaining: {listed}"


def _content_remaining(remains: Remains) -> tuple[str, str] | None:
    if not remains.counts:
        return None
    listed = (f"{name} has {count} resource instances" for name, count in sorted(remains.counts.items()))
    return "SomeResourcesRemain", f"Some resources are remaining: {', '.join(listed)}"


def _finalizers_remaining(remains: Remains) -> tuple[str, str] | None:
    if not remains.finalizers:
        return None
    listed = (f"{name} in {count} resource instances" for name, count in sorted(remains.finalizers.items()))
    message = "Some content in the namespace has finalizers remaining"
    return "SomeFinalizersRemain", f"{message}: {', '.join(listed)}"


VERDICTS = (
    _Verdict(
        "NamespaceDeletionDiscoveryFailure",
        ("ResourcesDiscovered", "All resources successfully discovered"),
        _discovery_failure,
    ),
    _Verdict(
        "NamespaceDeletionGroupVersionParsingFailure",
        ("ParsedGroupVersions", "All legacy kube types successfully parsed"),
        lambda remains: None,
    ),
    _Verdict(
        "NamespaceDeletionContentFailure",
        ("ContentDeleted", "All content successfully deleted, may be waiting on finalization"),
        _content_failure,
    ),
    _Verdict(
        "NamespaceContentRemaining",
        ("ContentRemoved", "All content successfully removed"),
        _content_remaining,
    ),
    _Verdict(
        "NamespaceFinalizersRemaining",
        ("ContentHasNoFinalizers", "All content-preserving finalizers finished"),
        _finalizers_remaining,
    ),
)
"""The conditions, in the order in which they are shown."""


def conditions(old: tuple[Condition, ...], remains: Remains, now: datetime) -> tuple[Condition, ...]:
    """The conditions after a pass. What is not ours stays; what did not change keeps its time."""
    ours = {verdict.kind for verdict in VERDICTS}
    result = [entry for entry in old if entry.type not in ours]
    for verdict in VERDICTS:
        failure = verdict.failure(remains)
        status = "True" if failure else "False"
        reason, message = failure or verdict.ok
        before = condition(old, verdict.kind)
        since = before.last_transition_time if before and before.status == status else now
        result.append(
            Condition(
                type=verdict.kind, status=status, reason=reason, message=message, last_transition_time=since
            )
        )
    return tuple(result)


class NamespaceController:
    name = "namespace-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._queue = ctx.queue
        self._sync_period = (ctx.options or Config()).namespace_sync_period
        self._namespaces = ctx.informer(Namespace)
        self._pods = ctx.informer(Pod)
        self._namespaces.on_change(self._wake)
        self._pods.on_change(self._wake_emptied)

    def _wake(self, old: Namespace | None, new: Namespace | None) -> None:
        # After GRACE even where it is only our own status that changed: a pass lists all that there is.
        if new is not None and new.metadata.deletion_timestamp:
            self._queue.add_after(new.key, GRACE)

    def _wake_emptied(self, old: Pod | None, new: Pod | None) -> None:
        """The last Pod has gone: nothing else had to be waited for."""
        if old is None or new is not None:
            return
        namespace = self._namespaces.get(Key("", old.metadata.namespace))
        if namespace is None or not namespace.metadata.deletion_timestamp:
            return
        if not self._pods.list(old.metadata.namespace):
            self._queue.add(namespace.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Take one step towards the end of a namespace. Safe to repeat at any time."""
        namespace = self._namespaces.get(key)
        if namespace is None or FINALIZER not in namespace.spec.finalizers:
            return None
        since = namespace.metadata.deletion_timestamp
        if since is None:
            return None
        if (early := GRACE - (self._clock.now() - since).total_seconds()) > 0:
            return Requeue(early)
        remains = await empty(self._client, key.name, (self._clock.now() - since).total_seconds())
        namespace = await self._show(namespace, remains)
        if remains.gone:
            await self._finalize(namespace)
            return None
        log.info("namespace not empty yet key=%s resources=%s", key, sorted(remains.counts))
        if remains.errors or remains.discovery.failures:
            log.warning("deletion failed key=%s why=%s", key, "; ".join(remains.errors) or "discovery")
            return Requeue(FAILURE_WAIT)
        return Requeue(min(remains.wait / 2 + 1, self._sync_period))

    async def _show(self, namespace: Namespace, remains: Remains) -> Namespace:
        """Write conditions once there is something to wait for; a namespace that goes at once shows none."""
        old = namespace.status.conditions
        new = conditions(old, remains, self._clock.now())
        if conditions_body(new) == conditions_body(old) or (remains.gone and not old):
            return namespace
        patch = guarded(
            namespace.metadata, {"status": {"phase": "Terminating", "conditions": conditions_body(new)}}
        )
        return await self._client.patch(Namespace, namespace.metadata.name, "", patch, subresource="status")

    async def _finalize(self, namespace: Namespace) -> None:
        log.info("namespace is empty key=%s", namespace.key)
        meta = namespace.metadata
        body = {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": meta.name, "uid": meta.uid, "resourceVersion": meta.resource_version},
            "spec": {"finalizers": [name for name in namespace.spec.finalizers if name != FINALIZER]},
        }
        try:
            await self._client.update(Namespace, body, subresource="finalize")
        except NotFound:
            return  # Somebody else was faster.


async def empty(client: Client, namespace: str, elapsed: float) -> Remains:
    """One pass: delete everything, Pods before what they may use to shut down, and look what is left.
    `elapsed`: seconds since the namespace was deleted."""
    remains = Remains(elapsed=elapsed, discovery=await discover(client))
    content = [
        entry for entry in remains.discovery.served if entry.resource.namespaced and "delete" in entry.verbs
    ]
    pods = [entry for entry in content if (entry.resource.group, entry.resource.plural) == ("", "pods")]
    await _empty_all(client, namespace, pods, remains)
    if not remains.counts and not remains.errors:
        await _empty_all(client, namespace, [entry for entry in content if entry not in pods], remains)
    return remains


async def _empty_all(client: Client, namespace: str, content: Sequence[Served], remains: Remains) -> None:
    errors = await attempt_all(_empty_one(client, namespace, entry, remains) for entry in content)
    remains.errors += [str(error) for error in errors]


async def _empty_one(client: Client, namespace: str, served: Served, remains: Remains) -> None:
    resource = served.resource
    if "list" not in served.verbs:
        return
    if not (await client.list(resource, namespace, limit=1)).items:
        return
    await _delete_content(client, namespace, served)
    count, wait, finalizers = 0, 0, Counter[str]()
    async for page in _pages(client, resource, namespace):
        count += len(page)
        finalizers.update(name for entry in page for name in entry.metadata.finalizers)
        if resource.plural == "pods" and not resource.group:
            wait = max(wait, _pods_wait(page))
    if not count:
        return
    remains.counts[f"{resource.plural}.{resource.group}"] = count
    remains.finalizers += finalizers
    if wait <= remains.elapsed:
        wait = 0  # Pods had their time; what is left now is not explained by it.
    if finalizers:
        wait = max(wait, FINALIZER_WAIT)
    remains.wait = max(remains.wait, wait)
    if not wait:
        what = f"{resource.group}/{resource.version}, Resource={resource.plural}"
        raise ContentRemains(f"unexpected items still remain in namespace: {namespace} for gvr: {what}")


async def _pages(
    client: Client, resource: Resource[PartialObjectMetadata], namespace: str
) -> AsyncIterator[Sequence[PartialObjectMetadata]]:
    """All objects, a part at a time: there may be very many of them, and nobody needs them whole."""
    token = ""
    while True:
        page = await client.list(resource, namespace, limit=PAGE, continue_token=token)
        yield page.items
        if not (token := page.continue_token):
            return


def _pods_wait(pods: Sequence[PartialObjectMetadata]) -> int:
    """The longest grace period of Pods that are shutting down."""
    graces = [pod.metadata.deletion_grace_period_seconds for pod in pods if pod.metadata.deletion_timestamp]
    return max((POD_GRACE if grace is None else max(grace, 1) for grace in graces), default=0)


async def _delete_content(client: Client, namespace: str, served: Served) -> None:
    options = {"kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"}
    if "deletecollection" in served.verbs:
        try:
            await client.raw("DELETE", served.resource.path(namespace), body=options)
        except (NotFound, MethodNotAllowed):
            pass  # Discovery was ahead of the server; one by one works everywhere.
        else:
            return
    async for page in _pages(client, served.resource, namespace):
        errors = await attempt_all(_delete_one(client, served.resource, entry) for entry in page)
        if errors:
            raise errors[0]


async def _delete_one(
    client: Client, resource: Resource[PartialObjectMetadata], entry: PartialObjectMetadata
) -> None:
    meta = entry.metadata
    try:
        await client.delete(resource, meta.name, meta.namespace, uid=meta.uid, propagation="Background")
    except (NotFound, Conflict):
        return  # Gone, or replaced: the list that follows tells.
