"""The parts that every view shares: metadata, owners, selectors, conditions."""

from __future__ import annotations

from datetime import datetime
from typing import Any, ClassVar

import msgspec

from kplane.api.resource import Key, Resource


class Part(msgspec.Struct, frozen=True, rename="camel", kw_only=True, omit_defaults=True, gc=False):
    """Base of everything inside a view. Unknown fields are dropped when decoding.

    Not tracked by the garbage collector: a view is a tree, and a cache of 10,000 Pods is 300,000 parts that
    every full collection would walk over.
    """


class OwnerReference(Part, frozen=True):
    api_version: str
    kind: str
    name: str
    uid: str
    controller: bool = False
    block_owner_deletion: bool = False


class ObjectMeta(Part, frozen=True):
    name: str = ""
    generate_name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}
    owner_references: tuple[OwnerReference, ...] = ()
    finalizers: tuple[str, ...] = ()

    @property
    def controller(self) -> OwnerReference | None:
        """The owner that manages this object, if it has one."""
        for owner in self.owner_references:  # Asked of every Pod again and again: no generator.
            if owner.controller:
                return owner
        return None


class View(Part, frozen=True):
    """Base of the typed views; each names its resource in `API`."""

    API: ClassVar[Resource[Any]]

    metadata: ObjectMeta = ObjectMeta()

    @property
    def key(self) -> Key:
        return Key(self.metadata.namespace, self.metadata.name)


class PartialObjectMetadata(View, frozen=True):
    """Any object, metadata only. Used as `resource.as_type(PartialObjectMetadata)`."""

    api_version: str = ""
    kind: str = ""


class LabelSelectorRequirement(Part, frozen=True):
    key: str
    operator: str
    values: tuple[str, ...] | None = ()


class LabelSelector(Part, frozen=True):
    """Evaluate with `kplane.api.selectors.from_label_selector`."""

    match_labels: dict[str, str] | None = None
    match_expressions: tuple[LabelSelectorRequirement, ...] | None = None


class Condition(Part, frozen=True):
    """A status condition of any kind; fields that a kind lacks stay empty."""

    type: str
    status: str
    reason: str = ""
    message: str = ""
    observed_generation: int = 0
    last_transition_time: datetime | None = None
    last_update_time: datetime | None = None
    last_probe_time: datetime | None = None
    last_heartbeat_time: datetime | None = None


def condition(conditions: tuple[Condition, ...], kind: str) -> Condition | None:
    """The condition of this type, or None."""
    for entry in conditions:  # Asked of every Pod again and again: no generator.
        if entry.type == kind:
            return entry
    return None


def key_of(view: View | dict[str, Any]) -> Key:
    """The key of a view or of a plain object."""
    if isinstance(view, View):
        return view.key
    metadata = view["metadata"]
    return Key(metadata.get("namespace", ""), metadata["name"])
