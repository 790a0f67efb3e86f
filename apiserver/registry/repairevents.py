"""What the repair of Services' claims reads and says: objects out of the caches, Events into the store."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from kplane.api.clock import Clock, Entropy, rfc3339, rfc3339_micro
from kplane.api.errors import ApiError
from kplane.api.resource import Key, Object

from ..storage import codec
from .deletion import DeleteOptions
from .generic import Registry
from .writing import Author

log = logging.getLogger(__name__)

ADDRESSES = "ipallocator-repair-controller"
PORTS = "portallocator-repair-controller"


@dataclass(frozen=True)
class Finding:
    """Something that is wrong, about one object. `repairs`: the address is to be claimed for it (again)."""

    about: Object
    reason: str
    action: str
    text: str
    repairs: bool = False


class Source:
    """The objects that are compared, from registries by group, version and plural."""

    def __init__(self, registry: Callable[[str, str, str], Registry], author: Author) -> None:
        self._registry = registry
        self._author = author

    async def services(self) -> list[Object]:
        return await self._all("", "v1", "services")

    async def addresses(self) -> list[Object]:
        return await self._all("networking.k8s.io", "v1", "ipaddresses")

    async def drop_address(self, claim: Object) -> bool:
        """Delete exactly this one; whether it was still there."""
        meta = claim["metadata"]
        options = DeleteOptions(uid=meta["uid"])
        registry = self._registry("networking.k8s.io", "v1", "ipaddresses")
        try:
            await registry.delete(Key("", meta["name"]), options, self._author)
        except ApiError as error:
            log.info("address not given back address=%s error=%s", meta["name"], error)
            return False
        return True

    async def _all(self, group: str, version: str, plural: str) -> list[Object]:
        listed = await self._registry(group, version, plural).cache.list()
        return [codec.decode(item.wire) for item in listed.items]


class Reporter:
    """Writes findings as Events, in the group that upstream's two controllers use."""

    def __init__(
        self, registry: Callable[[str, str, str], Registry], author: Author, clock: Clock, entropy: Entropy
    ) -> None:
        self._registry = registry
        self._author = author
        self._clock = clock
        self._entropy = entropy

    async def address(self, finding: Finding) -> None:
        body = {
            "kind": "Event",
            "apiVersion": "events.k8s.io/v1",
            "metadata": {"name": self._name(finding.about)},
            "eventTime": rfc3339_micro(self._clock.now()),
            "reportingController": ADDRESSES,
            "reportingInstance": ADDRESSES,
            "action": finding.action,
            "reason": finding.reason,
            "regarding": _reference(finding.about),
            "note": finding.text,
            "type": "Warning",
        }
        await self._write("events.k8s.io", body, finding)

    async def port(self, finding: Finding) -> None:
        now = rfc3339(self._clock.now())
        body = {
            "kind": "Event",
            "apiVersion": "v1",
            "metadata": {"name": self._name(finding.about)},
            "involvedObject": _reference(finding.about),
            "reason": finding.reason,
            "message": finding.text,
            "source": {"component": PORTS},
            "firstTimestamp": now,
            "lastTimestamp": now,
            "count": 1,
            "type": "Warning",
        }
        await self._write("", body, finding)

    async def _write(self, group: str, body: Object, finding: Finding) -> None:
        meta = finding.about["metadata"]
        log.warning("%s object=%s/%s: %s", finding.reason, meta.get("namespace"), meta["name"], finding.text)
        namespace = meta.get("namespace") or "default"
        try:
            await self._registry(group, "v1", "events").create(body, namespace, self._author)
        except ApiError as error:
            # The repair matters, not what is told about it.
            log.warning("event not written error=%s", error)

    def _name(self, about: Object) -> str:
        return f"{about['metadata']['name']}.{self._entropy.suffix(16)}"


def _reference(about: Object) -> Object:
    meta = about["metadata"]
    names = {"kind": about["kind"], "apiVersion": about["apiVersion"], "name": meta["name"]}
    return {**names, "namespace": meta.get("namespace", ""), "uid": meta.get("uid", "")}
