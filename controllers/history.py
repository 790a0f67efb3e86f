"""Revisions: the templates that a StatefulSet or DaemonSet has had, as ControllerRevisions.

Reads: ControllerRevisions, from an informer cache.
Writes: ControllerRevisions: their creation, number, ownerReferences and deletion.
Elsewhere: rolling back is kubectl's patch of the template; it shows here as a revision with a new number.

Invariant: a revision is recognised by its template, never by its hash, so that those made by another
implementation go on being used.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from typing import Any, Protocol

import msgspec

from kplane.api.errors import AlreadyExists, NotFound
from kplane.api.resource import Key, Object
from kplane.api.selectors import Selector
from kplane.api.types import View
from kplane.api.types.apps import ControllerRevision
from kplane.client.controller import Context

from .adoption import Adoption, controller_reference
from .batches import attempt_all
from .deployment.template import FNV_OFFSET, FNV_PRIME, letters, same_template, with_labels
from .status import guarded

log = logging.getLogger(__name__)

HASH_LABEL = "controller.kubernetes.io/hash"
POD_LABEL = "controller-revision-hash"
"""Tells of a Pod which revision it was made from: by name for StatefulSets, by hash for DaemonSets."""

LONGEST_STEM = 223
"""Characters of the owner's name that a revision's name keeps, so that its hash always fits."""

_ESCAPED = "<>&\u2028\u2029"
"""Go writes these as escapes into JSON."""


class Spec(Protocol):
    @property
    def template(self) -> Object: ...
    @property
    def revision_history_limit(self) -> int | None: ...


class Status(Protocol):
    @property
    def collision_count(self) -> int | None: ...


class Revisioned(Protocol):
    """An object whose templates are remembered."""

    @property
    def metadata(self) -> Any: ...
    @property
    def key(self) -> Key: ...
    @property
    def spec(self) -> Spec: ...
    @property
    def status(self) -> Status: ...


def template_of(revision: ControllerRevision) -> Object:
    """The template that this revision remembers."""
    template: Object = dict((revision.data.get("spec") or {}).get("template") or {})
    template.pop("$patch", None)
    return template


def in_order(revisions: Sequence[ControllerRevision]) -> list[ControllerRevision]:
    """Oldest first: by number, then by age, then by name."""
    return sorted(revisions, key=lambda entry: (entry.revision, _created(entry), entry.metadata.name))


def _created(revision: ControllerRevision) -> float:
    created = revision.metadata.creation_timestamp
    return created.timestamp() if created else 0.0


def find(template: Object, revisions: Sequence[ControllerRevision]) -> tuple[ControllerRevision | None, int]:
    """The newest revision of this template, and the number that the template's revision should have: the
    highest of all."""
    fitting = [entry for entry in in_order(revisions) if same_template(template_of(entry), template)]
    found = fitting[-1] if fitting else None
    highest = max((entry.revision for entry in revisions if entry is not found), default=0)
    if found is not None and found.revision > highest:
        return found, found.revision
    return found, highest + 1


def superfluous(
    old: Sequence[ControllerRevision], live: Collection[str], limit: int | None
) -> list[ControllerRevision]:
    """The oldest of `old` beyond `limit`, but for those whose names are `live`."""
    if limit is None:
        return []
    spare = [entry for entry in in_order(old) if entry.metadata.name not in live]
    return spare[: max(len(old) - limit, 0)]


def revision_hash(template: Object, collision_count: int) -> str:
    """The hash that upstream's StatefulSet controller gives to the revision of this template: FNV-1 of the
    bytes of its data, as Go writes them, and of the collision count."""
    data = msgspec.json.encode(_data(template), order="deterministic")
    for letter in _ESCAPED:
        data = data.replace(letter.encode(), b"\\u%04x" % ord(letter))
    digest = FNV_OFFSET
    for byte in data + str(collision_count).encode():
        digest = (digest * FNV_PRIME & 0xFFFFFFFF) ^ byte
    return letters(digest)


def _data(template: Object) -> Object:
    """What a revision remembers: a patch that brings the template back."""
    return {"spec": {"template": {**template, "$patch": "replace"}}}


def revision_body(owner: Revisioned, number: int, digest: str, hash_label: str) -> Object:
    """The ControllerRevision for the owner's template."""
    template = owner.spec.template
    labels = with_labels(template, {hash_label: digest})["metadata"]["labels"]
    return {
        "apiVersion": "apps/v1",
        "kind": "ControllerRevision",
        "metadata": {
            "name": f"{owner.metadata.name[:LONGEST_STEM]}-{digest}",
            "namespace": owner.metadata.namespace,
            "labels": labels,
            "annotations": owner.metadata.annotations,
            "ownerReferences": [controller_reference(owner)],  # type: ignore[arg-type]
        },
        "data": _in_key_order(_data(template)),
        "revision": number,
    }


def _in_key_order(data: Object) -> Object:
    """As Go prints maps: upstream's controllers recognise a revision by the bytes of its data."""
    ordered: Object = msgspec.json.decode(msgspec.json.encode(data, order="deterministic"))
    return ordered


class History:
    """Carries out what revisions need, for owners of one kind. `hash_label` is where upstream's controller
    of that kind puts the hash of a revision."""

    def __init__(self, ctx: Context, hash_label: str) -> None:
        self._client = ctx.client
        self._revisions = ctx.informer(ControllerRevision)
        self._revisions.add_index("orphans", _orphan_namespace)
        self._adoption = Adoption(ctx.client, ControllerRevision)
        self._hash_label = hash_label

    async def claim(self, owner: View, selector: Selector) -> list[ControllerRevision]:
        """The owner's revisions, oldest first, after adopting orphans."""
        owned = self._revisions.owned_by(owner.metadata.uid)
        orphans = self._revisions.by_index("orphans", owner.metadata.namespace)
        claimed = await self._adoption.claim(
            owner, [*owned, *orphans], lambda entry: selector.matches(entry.metadata.labels)
        )
        return in_order(claimed)

    async def update_revision(
        self, owner: Revisioned, revisions: Sequence[ControllerRevision]
    ) -> tuple[ControllerRevision, int | None]:
        """The revision of the owner's template, created or renumbered as needed, and the collision count
        that its name was made with."""
        found, number = find(owner.spec.template, revisions)
        if found is None:
            return await self._create(owner, number)
        if found.revision != number:
            meta = found.metadata
            body = guarded(meta, {"revision": number})
            found = await self._client.patch(ControllerRevision, meta.name, meta.namespace, body)
        return found, owner.status.collision_count

    async def _create(self, owner: Revisioned, number: int) -> tuple[ControllerRevision, int | None]:
        count = owner.status.collision_count
        while True:
            digest = revision_hash(owner.spec.template, count or 0)
            body = revision_body(owner, number, digest, self._hash_label)
            try:
                created = await self._client.create(ControllerRevision, body)
            except AlreadyExists:
                name = body["metadata"]["name"]
                existing = await self._client.get(ControllerRevision, name, owner.metadata.namespace)
                controller = existing.metadata.controller
                ours = controller is not None and controller.uid == owner.metadata.uid
                if ours and same_template(template_of(existing), owner.spec.template):
                    return existing, count
                count = (count or 0) + 1
                log.info("hash collision key=%s revision=%s count=%d", owner.key, name, count)
            else:
                log.info("created revision key=%s revision=%s", owner.key, created.metadata.name)
                return created, count

    async def prune(self, doomed: Sequence[ControllerRevision]) -> None:
        """Delete these. Raises the first ApiError."""
        errors = await attempt_all(self._delete(entry) for entry in doomed)
        if errors:
            raise errors[0]

    async def _delete(self, revision: ControllerRevision) -> None:
        meta = revision.metadata
        try:
            await self._client.delete(ControllerRevision, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return  # Deleted already.


def _orphan_namespace(revision: ControllerRevision) -> list[str]:
    return [] if revision.metadata.controller else [revision.metadata.namespace]
