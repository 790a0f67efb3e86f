"""ClusterRole aggregation: roles with an aggregationRule hold the rules of the roles that it selects.

Reads: ClusterRoles, from the informer cache. Writes: the rules of those with an aggregationRule, by
server-side apply.

Invariant: the rules of an aggregated role are this controller's; what others write into them is lost.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import Any

from kplane.api.resource import Key, Object, Resource
from kplane.api.selectors import SelectorError, from_label_selector
from kplane.client.controller import Context
from kplane.client.rest import PatchType
from kplane.client.workqueue import Requeue

log = logging.getLogger(__name__)

ROLES: Resource[dict[str, Any]] = Resource(
    "rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole", False, dict
)


def gathered(role: Object, roles: Iterable[Object]) -> Sequence[Object]:
    """The rules of every other role that is selected, selector by selector and in the order of the names.
    Raises SelectorError."""
    others = sorted(
        (other for other in roles if other["metadata"]["name"] != role["metadata"]["name"]),
        key=lambda other: str(other["metadata"]["name"]),
    )
    rules: list[Object] = []
    for selector in role["aggregationRule"].get("clusterRoleSelectors") or ():
        selects = from_label_selector(selector)
        for other in others:
            if selects.matches(other["metadata"].get("labels") or {}):
                rules += [rule for rule in other.get("rules") or () if rule not in rules]
    return rules


class ClusterRoleAggregationController:
    name = "clusterrole-aggregation-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._queue = ctx.queue
        self._roles = ctx.informer(ROLES)
        self._roles.on_change(self._role_changed)

    def _role_changed(self, old: Object | None, new: Object | None) -> None:
        """Any role may be part of any aggregated one."""
        for role in self._roles.list():
            if role.get("aggregationRule") is not None:
                self._queue.add(Key("", role["metadata"]["name"]))

    async def reconcile(self, key: Key) -> Requeue | None:
        """Gather the rules anew. Safe to repeat at any time."""
        role = self._roles.get(key)
        if role is None or role.get("aggregationRule") is None:
            return None
        try:
            rules = gathered(role, self._roles.list())
        except SelectorError as error:
            log.warning("bad selector role=%s error=%s", key.name, error)
            return None  # Stored before it was forbidden: it comes back when somebody changes it.
        if rules == (role.get("rules") or []):
            return None
        body = {
            "apiVersion": ROLES.api_version,
            "kind": ROLES.kind,
            "metadata": {"name": key.name},
            "rules": rules,
        }
        await self._client.patch(
            ROLES, key.name, "", body, kind=PatchType.APPLY, field_manager=self.name, force=True
        )
        log.info("gathered rules role=%s rules=%d", key.name, len(rules))
        return None
