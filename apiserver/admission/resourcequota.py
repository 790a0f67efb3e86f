"""ResourceQuota: nothing is stored that a quota of its namespace has no room for.

What an object costs is charged to the status of each quota that is about it, by compare-and-swap, before the
object is stored; if that fails afterwards, or the object goes, the controller gives it back.

Invariant: the check is made on the very state that the charge replaces, so that concurrent writes, through
however many servers, never get more than there is.
Elsewhere: costs (`kplane/api/quota`), counting again (`controllers/resourcequota.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from weakref import WeakValueDictionary

from kplane.api import quantity
from kplane.api.errors import NotFound
from kplane.api.quota import Amounts, Evaluator, evaluator_for, quota_selectors
from kplane.api.quota.amounts import added, exceeding, increase, masked, negative, shown, without_zeros
from kplane.api.resource import Key, Object

from .chain import Attributes, Operation, Waiting, on
from .context import AdmissionContext, refused

IGNORED = frozenset({("", "events"), ("events.k8s.io", "events")})


@dataclass(frozen=True)
class Charge:
    """One request against one quota."""

    attributes: Attributes
    name: str
    amounts: Amounts

    def applied(self, quota: Object) -> Object:
        """The quota after it. Changes what it is given. Raises Forbidden where there is no room."""
        status = quota.get("status") or {}
        hard, used = status.get("hard") or {}, status.get("used") or {}
        wanted = masked(self.amounts, hard)
        after = added(used, wanted)
        if over := exceeding(masked(after, wanted), hard):
            raise refused(
                self.attributes,
                f"exceeded quota: {self.name}, requested: {shown(masked(wanted, over))}, "
                f"used: {shown(masked(used, over))}, limited: {shown(masked(hard, over))}",
            )
        quota["status"] = status | {"used": after}
        return quota


class ResourceQuota:
    name = "ResourceQuota"
    handles = on(Operation.CREATE, Operation.UPDATE)

    def __init__(self, context: AdmissionContext) -> None:
        self._context = context
        self._quotas = context.read("resourcequotas")
        self._locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        configured = context.configuration(self.name) or {}
        self._limited: Sequence[Object] = configured.get("limitedResources") or ()

    def validate(self, attributes: Attributes) -> Waiting:
        if not attributes.namespace or self._unlimited(attributes.namespace):
            return None
        evaluator = _evaluator(attributes)
        return None if evaluator is None else self._charge(attributes, evaluator)

    def _unlimited(self, namespace: str) -> bool:
        """Whether it is known that the namespace has no quotas, and none are needed."""
        known = self._quotas.known_list(namespace)
        return known is not None and not known and not self._limited

    async def _charge(self, attributes: Attributes, evaluator: Evaluator) -> None:
        quotas = await self._quotas.list(attributes.namespace)
        if not quotas and not self._limited:
            return
        charges = list(self._charges(attributes, evaluator, quotas))
        by_name = {quota["metadata"]["name"]: quota for quota in quotas}
        if attributes.dry_run or len(charges) > 1:
            # So that no quota is charged for what another one refuses.
            for charge in charges:
                charge.applied(dict(by_name[charge.name]))
        if not attributes.dry_run:
            await self._book(attributes.namespace, charges)

    async def _book(self, namespace: str, charges: Sequence[Charge]) -> None:
        lock = self._locks.setdefault(namespace, asyncio.Lock())
        row = self._context.row("", "v1", "resourcequotas")
        # One after the other: each would only make the others' compare-and-swap fail.
        async with lock:
            for charge in charges:
                try:
                    await self._context.amend(row, Key(namespace, charge.name), charge.applied)
                except NotFound:
                    # Whoever deleted the quota lifted the limit.
                    continue

    def _charges(
        self, attributes: Attributes, evaluator: Evaluator, quotas: Sequence[Object]
    ) -> Iterator[Charge]:
        """Raises Forbidden where the object cannot be charged at all."""
        new = attributes.object
        assert new is not None
        now = self._context.clock.now()
        amounts = evaluator.usage(new, now)
        if below := negative(amounts):
            raise refused(attributes, f"quota usage is negative for resource(s): {','.join(below)}")
        old = attributes.old if attributes.operation is Operation.UPDATE else None
        more = without_zeros(increase(amounts, evaluator.usage(old, now)) if old else amounts)
        concerned = [quota for quota in quotas if _concerns(attributes, evaluator, quota, new)]
        if self._limited and more:
            self._check_covered(attributes, evaluator, quotas, concerned, more)
        for quota in concerned:
            hard = _hard(quota)
            grown = more if old is None or evaluator.matches(quota, old, hard) else amounts
            charged = masked(without_zeros(grown), hard)
            if charged:
                yield Charge(attributes, quota["metadata"]["name"], charged)

    def _check_covered(
        self,
        attributes: Attributes,
        evaluator: Evaluator,
        quotas: Sequence[Object],
        concerned: Sequence[Object],
        more: Amounts,
    ) -> None:
        """What is limited by configuration may only be had where a quota grants it."""
        info, new = attributes.info, attributes.object
        assert new is not None
        limited = [
            entry
            for entry in self._limited
            if entry.get("apiGroup", "") == info.group and entry.get("resource") == info.plural
        ]
        names = {
            name
            for entry in limited
            for name, amount in more.items()
            if quantity.sign(amount) > 0 and any(part in name for part in entry.get("matchContains") or [])
        }
        granted = {name for quota in concerned for name in evaluator.names(_hard(quota))}
        if lacking := sorted(names - granted):
            raise refused(attributes, f"insufficient quota to consume: {','.join(lacking)}")
        scopes = [
            selector
            for entry in limited
            for selector in entry.get("matchScopes") or []
            if evaluator.in_scope(selector, new)
        ]
        covered = {
            selector["scopeName"]
            for quota in quotas
            for selector in quota_selectors(quota)
            if evaluator.in_scope(selector, new)
        }
        if open_scopes := [_shown(selector) for selector in scopes if selector["scopeName"] not in covered]:
            raise refused(attributes, f"insufficient quota to match these scopes: [{' '.join(open_scopes)}]")


def _shown(selector: Object) -> str:
    values = " ".join(selector.get("values") or [])
    return f"{{{selector['scopeName']} {selector.get('operator', '')} [{values}]}}"


def _evaluator(attributes: Attributes) -> Evaluator | None:
    """None where nothing is charged."""
    info = attributes.info
    if not attributes.namespace or attributes.object is None or (info.group, info.plural) in IGNORED:
        return None
    if info.plural == "namespaces" and not info.group:
        return None
    resized = attributes.subresource == "resize" and info.plural == "pods" and not info.group
    if attributes.subresource and not resized:
        return None
    evaluator = evaluator_for(info.group, info.plural)
    if attributes.operation is Operation.CREATE:
        return evaluator
    return evaluator if attributes.operation is Operation.UPDATE and (evaluator.updates or resized) else None


def _hard(quota: Object) -> Amounts:
    found: Amounts = (quota.get("status") or {}).get("hard") or {}
    return found


def _concerns(attributes: Attributes, evaluator: Evaluator, quota: Object, new: Object) -> bool:
    """Whether the quota is about the object. Raises Forbidden where that says too little for it, or where the
    quota's usage was never counted."""
    hard = _hard(quota)
    if not evaluator.matches(quota, new, hard):
        return False
    name, limited = quota["metadata"]["name"], evaluator.names(hard)
    if why := evaluator.missing(new, limited):
        raise refused(attributes, f"failed quota: {name}: {why}")
    used = quota["status"].get("used") or {}
    if any(resource not in used for resource in limited):
        raise refused(attributes, f"status unknown for quota: {name}, resources: {','.join(sorted(limited))}")
    return True
