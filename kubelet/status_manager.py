"""Sends pod statuses to the API: the newest per pod, never two of one pod at a time, again until it works.

Owns: what the API was last told (`known`). Writes: `pods/status`, as strategic merge patches with the pod's
uid as precondition, holding only what changed; so conditions of others are never lost.
"""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from kplane.api.clock import Clock
from kplane.api.errors import ApiError, Conflict, Invalid, NotFound
from kplane.api.resource import Object
from kplane.client.rest import Client, PatchType

from .conditions import OWNED, RESIZES
from .pod import Pod

log = logging.getLogger(__name__)

WORKERS = 4
RETRY_SECONDS = 1.0
_MERGED_LISTS = ("podIPs", "hostIPs")
"""Lists that a strategic merge would join instead of replacing."""


@dataclass
class _Record:
    pod: Pod
    sent: Object | None = None
    revision: int = 0
    """That of the API's answer to what was sent."""
    wanted: Object | None = None
    """To be sent next."""
    sending: Object | None = None
    """On its way now."""


class StatusManager:
    """One per process: hollow nodes share it."""

    def __init__(self, client: Client, clock: Clock) -> None:
        self._client, self._clock = client, clock
        self._records: dict[str, _Record] = {}
        self._queue: OrderedDict[str, None] = OrderedDict()
        self._filled = asyncio.Condition()
        self._settling: dict[str, asyncio.Event] = {}
        self._tasks: asyncio.TaskGroup | None = None

    def known(self, pod: Pod) -> Object:
        """The status as last reported, sent or not yet, with others' conditions as the API has them now.

        What is on its way counts: a status made from an older one, because its event came in between, would
        take the newer one back, and the event of that one would take it forth again, for ever.
        """
        record = self._records.get(pod.metadata.uid)
        pending = record and (record.wanted or record.sending)
        return _with_conditions(pending, pending, pod) if pending else self._told(pod)

    def _told(self, pod: Pod) -> Object:
        """What the API was told last; where the pod was written after that, our conditions as it has them:
        the control plane may have declared it not ready."""
        record = self._records.get(pod.metadata.uid)
        if record is None or record.sent is None:
            return pod.status
        newer = _revision(pod) > record.revision > 0
        return _with_conditions(record.sent, pod.status if newer else record.sent, pod)

    async def report(self, pod: Pod, status: Object) -> None:
        """Send it soon, unless the API knows it already."""
        record = self._records.setdefault(pod.metadata.uid, _Record(pod))
        record.pod = pod
        base = record.wanted or record.sending or self.known(pod)
        if not changes(base, status):
            return
        record.wanted = status
        await self._enqueue(pod.metadata.uid)

    async def settled(self, uid: str) -> None:
        """Until all that was reported of the pod has been sent, or it is gone from the API."""
        while not self._idle(uid):
            await self._settling.setdefault(uid, asyncio.Event()).wait()

    def forget(self, uid: str) -> None:
        self._records.pop(uid, None)
        self._tell(uid)

    async def run(self) -> None:
        """Send until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            for _ in range(WORKERS):
                tasks.create_task(self._work())

    def _tell(self, uid: str) -> None:
        """Wake those who wait until it is settled, if it is: they alone, for thousands may be waiting."""
        if self._idle(uid) and (settling := self._settling.pop(uid, None)) is not None:
            settling.set()

    def _idle(self, uid: str) -> bool:
        record = self._records.get(uid)
        return record is None or (record.wanted is None and record.sending is None)

    async def _enqueue(self, uid: str) -> None:
        async with self._filled:
            self._queue[uid] = None
            self._filled.notify_all()

    def _ready(self) -> str | None:
        """The first pod in the queue that nobody is sending for."""
        for uid in self._queue:
            record = self._records.get(uid)
            if record is None or record.sending is None:
                return uid
        return None

    async def _work(self) -> None:
        while True:
            async with self._filled:
                await self._filled.wait_for(lambda: self._ready() is not None)
                uid = self._ready()
                assert uid is not None
                del self._queue[uid]
                record = self._records.get(uid)
                if record is None or record.wanted is None:
                    continue
                status, record.sending, record.wanted = record.wanted, record.wanted, None
            sent = await self._send(record, status)
            async with self._filled:
                record.sending = None
                self._filled.notify_all()
            if not sent:
                record.wanted = record.wanted or status
                assert self._tasks is not None
                self._tasks.create_task(self._again(uid))
            self._tell(uid)

    async def _again(self, uid: str) -> None:
        await self._clock.sleep(RETRY_SECONDS)
        await self._enqueue(uid)

    async def _send(self, record: _Record, status: Object) -> bool:
        """False: it should be tried again."""
        meta = record.pod.metadata
        patch = changes(self._told(record.pod), status)
        if not patch:
            return True
        body = {"metadata": {"uid": meta.uid}, "status": patch}
        try:
            answer = await self._client.patch(
                Pod, meta.name, meta.namespace, body, kind=PatchType.STRATEGIC, subresource="status"
            )
        except (NotFound, Conflict):
            # Gone, or another pod of the same name: nobody wants this status.
            record.sent = status
            return True
        except Invalid as error:
            log.error("status refused pod=%s/%s error=%s", meta.namespace, meta.name, error)
            record.sent = status
            return True
        except ApiError as error:
            log.warning("status not sent pod=%s/%s error=%s", meta.namespace, meta.name, error)
            return False
        record.sent = status | {"conditions": answer.status.get("conditions", status["conditions"])}
        record.revision = _revision(answer)
        log.debug("status sent pod=%s/%s phase=%s", meta.namespace, meta.name, status.get("phase"))
        return True


def _with_conditions(status: Object, own: Object, pod: Pod) -> Object:
    """The status with the kubelet's conditions of `own`, and those of others as the API has them."""
    mine = [entry for entry in own.get("conditions", ()) if entry["type"] in OWNED]
    others = [entry for entry in pod.status.get("conditions", ()) if entry["type"] not in OWNED]
    return status | {"conditions": mine + others}


def _revision(pod: Pod) -> int:
    """Revisions are comparable as numbers (KEP-5504)."""
    return int(pod.metadata.resource_version or 0)


def changes(old: Object, new: Object) -> Object:
    """The strategic merge patch that makes `new` of `old`; empty where they agree."""
    patch: Object = {}
    for key in new.keys() | (old.keys() - {"nominatedNodeName", "resize", "ephemeralContainerStatuses"}):
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        before, after = _plain(before), _plain(after)
        if before == after:
            continue
        if key == "conditions":
            patch[key] = _changed_conditions(before or [], new[key])
        elif key in _MERGED_LISTS and before and after:
            patch[key] = [{"$patch": "replace"}, *after]
        else:
            patch[key] = after
    return {key: value for key, value in patch.items() if key != "conditions" or value}


def _changed_conditions(before: list[Object], after: list[Object]) -> list[Object]:
    known = {entry["type"]: entry for entry in before}
    changed = []
    for entry in after:
        plain = _plain(entry)
        old = known.get(entry["type"], {})
        if plain != old:
            # A reason or message that is no more must be told as such.
            changed.append(dict.fromkeys(old.keys() - plain.keys()) | plain)
    gone = [kind for kind in RESIZES if kind in known and not any(entry["type"] == kind for entry in after)]
    return changed + [{"$patch": "delete", "type": kind} for kind in gone]


def _plain(value: Any) -> Any:
    """Without nulls: absent and null mean the same in a status."""
    if isinstance(value, dict):
        return {key: _plain(entry) for key, entry in value.items() if entry is not None}
    if isinstance(value, list | tuple):
        return [_plain(entry) for entry in value]
    return value
