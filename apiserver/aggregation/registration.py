"""Keeps an APIService for every group and version that this server serves itself.

Reads: the scheme, and the APIServices. Writes: APIServices that carry the label AUTOMANAGED. Built-in ones
are brought in line once, at the start; those of custom resources for as long as the server runs.

Invariant: an APIService that somebody wrote without the label is theirs.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator, Mapping
from typing import NamedTuple

from kplane.api.clock import Clock
from kplane.api.errors import AlreadyExists, ApiError, NotFound
from kplane.api.resource import Key, Object
from kplane.api.scheme import Scheme, builtin

from ..bootstrap import SELF
from ..registry.deletion import DeleteOptions
from ..registry.generic import Registry
from ..storage import codec
from ..storage.store import StoreError
from .priorities import CUSTOM, of_builtin

log = logging.getLogger(__name__)

AUTOMANAGED = "kube-aggregator.kubernetes.io/automanaged"
ON_START, ALWAYS = "onstart", "true"
OWN_GROUP = "apiregistration.k8s.io"
RETRY_SECONDS = 1.0


class Step(NamedTuple):
    """One write. `wanted` None deletes."""

    name: str
    wanted: Object | None
    exists: bool


def wanted_services(scheme: Scheme, own: frozenset[tuple[str, str]]) -> dict[str, Object]:
    """The APIServices that the scheme asks for, by name; `own` are the built-in groups and versions."""
    found = {}
    for group, version in scheme.group_versions():
        if group == OWN_GROUP:
            # The aggregator's own group is served whatever is registered.
            continue
        is_own = (group, version) in own
        priority = (of_builtin(group, version) if is_own else None) or CUSTOM
        found[f"{version}.{group}"] = {
            "metadata": {
                "name": f"{version}.{group}",
                "labels": {AUTOMANAGED: ON_START if is_own else ALWAYS},
            },
            "spec": {
                **({"group": group} if group else {}),
                "version": version,
                "groupPriorityMinimum": priority.group,
                "versionPriority": priority.version,
            },
        }
    return found


def plan(wanted: Mapping[str, Object], present: Mapping[str, Object], *, first: bool) -> Iterator[Step]:
    """What to write. `first`: whether the server has just started."""
    for name, obj in wanted.items():
        current = present.get(name)
        label = obj["metadata"]["labels"][AUTOMANAGED]
        if current is None:
            if first or label == ALWAYS:
                yield Step(name, obj, exists=False)
        elif _is_ours(current, first=first) and current["spec"] != obj["spec"]:
            yield Step(name, obj, exists=True)
    for name, current in present.items():
        if name not in wanted and _is_ours(current, first=first):
            yield Step(name, None, exists=True)


def _is_ours(current: Object, *, first: bool) -> bool:
    label = (current["metadata"].get("labels") or {}).get(AUTOMANAGED)
    return label == ALWAYS or (label == ON_START and first)


class Registration:
    """`start` brings everything in line once, `run` follows the scheme from there on."""

    def __init__(self, scheme: Scheme, services: Registry, clock: Clock) -> None:
        self._scheme = scheme
        self._services = services
        self._clock = clock
        self._own = frozenset(builtin().group_versions())
        self._changed = asyncio.Event()
        scheme.on_change(self.wake)

    def wake(self) -> None:
        self._changed.set()

    async def start(self) -> None:
        """Raises ApiError, StoreError."""
        await self._bring_in_line(first=True)

    async def run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._bring_in_line(first=False)
            except (ApiError, StoreError) as error:
                log.warning("cannot register API services error=%s", error)
                self._changed.set()
                await self._clock.sleep(RETRY_SECONDS)

    async def _bring_in_line(self, *, first: bool) -> None:
        listed = await self._services.cache.list()
        objects = (codec.decode(item.wire) for item in listed.items)
        present = {obj["metadata"]["name"]: obj for obj in objects}
        steps = plan(wanted_services(self._scheme, self._own), present, first=first)
        await asyncio.gather(*(self._write(step) for step in steps))

    async def _write(self, step: Step) -> None:
        try:
            await self._do(step)
        except (AlreadyExists, NotFound):
            # Another server of the cluster was first.
            return
        log.debug("API service registered name=%s present=%s", step.name, step.wanted is not None)

    async def _do(self, step: Step) -> None:
        key, wanted = Key("", step.name), step.wanted
        if wanted is None:
            await self._services.delete(key, DeleteOptions(), SELF)
        elif step.exists:
            await self._services.modify(key, lambda obj: obj | {"spec": wanted["spec"]}, SELF)
        else:
            row = self._services.info
            body = {"kind": row.kind, "apiVersion": row.api_version} | wanted
            await self._services.create(body, "", SELF)
