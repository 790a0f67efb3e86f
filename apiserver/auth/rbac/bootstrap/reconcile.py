"""Brings the stored policy up to the bootstrap policy: what is missing is added, what people added stays, and
what they marked `autoupdate: "false"` is left alone. A binding to another role is made anew.

Source: component-helpers `auth/rbac/reconciliation`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence

from kplane.api.errors import AlreadyExists, NotFound
from kplane.api.patches.copying import duplicate
from kplane.api.resource import Key, Object

from ....registry.deletion import DeleteOptions
from ....registry.generic import Registry
from ....registry.writing import Author
from ....storage import codec
from ..index import GROUP
from ..rules import rules_of, uncovered
from .components import COMPONENT_BINDINGS, COMPONENT_ROLES
from .controllers import CONTROLLER_BINDINGS, CONTROLLER_ROLES
from .namespaces import NAMESPACE_BINDINGS, NAMESPACE_ROLES
from .users import USER_ROLES
from .writing import AUTOUPDATE_KEY

FindRegistry = Callable[[str, str, str], Registry]
"""By group, version and plural."""

POLICY: Sequence[tuple[str, Sequence[Object]]] = (
    ("clusterroles", (*USER_ROLES, *COMPONENT_ROLES, *CONTROLLER_ROLES)),
    ("clusterrolebindings", (*COMPONENT_BINDINGS, *CONTROLLER_BINDINGS)),
    ("roles", NAMESPACE_ROLES),
    ("rolebindings", NAMESPACE_BINDINGS),
)


async def ensure_policy(registry: FindRegistry, author: Author) -> None:
    """Safe to repeat, also from several servers at once. Raises ApiError, StoreError."""
    for plural, wanted in POLICY:
        found = registry(GROUP, "v1", plural)
        await found.cache.fresh(None)
        async with asyncio.TaskGroup() as tasks:
            for obj in wanted:
                tasks.create_task(_ensure(found, obj, author))


async def _ensure(registry: Registry, wanted: Object, author: Author) -> None:
    meta = wanted["metadata"]
    key = Key(meta.get("namespace", ""), meta["name"])
    item = await registry.cache.get(*key, at_least=0)
    if item is not None:
        stored = codec.decode(item.wire)
        changed = reconciled(stored, wanted)
        if changed is None:
            return
        if changed.get("roleRef") == stored.get("roleRef"):
            try:
                await registry.modify(key, lambda obj: reconciled(obj, wanted) or obj, author)
            except NotFound:
                await _create(registry, wanted, key, author)
            return
        await registry.delete(key, DeleteOptions(), author)
    await _create(registry, wanted, key, author)


async def _create(registry: Registry, wanted: Object, key: Key, author: Author) -> None:
    try:
        await registry.create(duplicate(wanted), key.namespace, author)
    except AlreadyExists:
        return  # Another server started at the same moment.


def reconciled(stored: Object, wanted: Object) -> Object | None:
    """The stored object with what it lacks; None if that is nothing, or nothing may be added."""
    meta = stored["metadata"]
    if (meta.get("annotations") or {}).get(AUTOUPDATE_KEY) == "false":
        return None
    new: Object = duplicate(stored)
    for name in ("labels", "annotations"):
        new["metadata"][name] = wanted["metadata"][name] | (meta.get(name) or {})
    if "roleRef" in wanted:
        new["roleRef"] = wanted["roleRef"]
        if subjects := _with_missing(stored.get("subjects"), wanted.get("subjects", ())):
            new["subjects"] = subjects
    else:
        if missing := uncovered(rules_of(stored), rules_of(wanted)):
            new["rules"] = [*(stored.get("rules") or ()), *(rule.json() for rule in missing)]
        if "aggregationRule" in wanted:
            new["aggregationRule"] = {"clusterRoleSelectors": _selectors(stored, wanted)}
    return None if new == stored else new


def _with_missing(stored: Iterable[Object] | None, wanted: Iterable[Object]) -> list[Object]:
    found = list(stored or ())
    return found + [subject for subject in wanted if subject not in found]


def _selectors(stored: Object, wanted: Object) -> list[Object]:
    has = (stored.get("aggregationRule") or {}).get("clusterRoleSelectors")
    return _with_missing(has, wanted["aggregationRule"]["clusterRoleSelectors"])
