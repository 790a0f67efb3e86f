"""TTL-after-finished controller: delete Jobs some time after they have ended.

Reads: Jobs, from an informer cache, and live before it deletes one.
Writes: deletion of Jobs, through the API server.
Elsewhere: running Jobs (job/), what hangs on them (garbagecollector/).
"""

from __future__ import annotations

import logging
from datetime import datetime, timedelta

from prometheus_client import Histogram

from kplane.api.errors import Conflict, NotFound
from kplane.api.resource import Key
from kplane.api.types import Job
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

log = logging.getLogger(__name__)

LATENESS = Histogram(
    "ttl_after_finished_controller_job_deletion_duration_seconds",
    "The time it took to delete the job since it became eligible for deletion",
    buckets=tuple(0.1 * 2**power for power in range(14)),
)


def time_left(job: Job, now: datetime) -> float | None:
    """Seconds until the Job may go, 0 or less if it may; None if it stays."""
    ttl, end = job.spec.ttl_seconds_after_finished, job.finished
    if ttl is None or end is None or end.last_transition_time is None:
        return None
    if job.metadata.deletion_timestamp is not None:
        return None
    return (end.last_transition_time + timedelta(seconds=ttl) - now).total_seconds()


class TTLAfterFinishedController:
    name = "ttl-after-finished-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._jobs = ctx.informer(Job)
        self._jobs.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Delete the Job if its time has come."""
        cached = self._jobs.get(key)
        left = None if cached is None else time_left(cached, self._clock.now())
        if left is None:
            return None
        if left > 0:
            return Requeue(left)
        try:
            # Its TTL may have been extended a moment ago.
            job = await self._client.get(Job, key.name, key.namespace)
            left = time_left(job, self._clock.now())
            if left is None or left > 0:
                return None if left is None else Requeue(left)
            meta = job.metadata
            await self._client.delete(
                Job, meta.name, meta.namespace, uid=meta.uid, resource_version=meta.resource_version,
                propagation="Foreground",
            )  # fmt: skip
        except NotFound:
            return None  # Somebody else has deleted it.
        except Conflict:
            return Requeue(0)  # It has just changed: judge it again.
        LATENESS.observe(-left)
        log.info("deleted finished job key=%s", key)
        return None
