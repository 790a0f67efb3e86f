"""Resizing pods in place: their cpu and memory as asked for, as allocated on this node, and as in force.

asked for (the spec) -> allocated (the node has room) -> in force (cgroups, container by container)

Owns: the ledger of one pod, kept in the pod's folder, so that a restart of the kubelet forgets nothing.
Elsewhere: what is done about a difference (`plan.py`, `resizing.py`), how it shows (`conditions.py`).
Invariant: nothing but an allocation changes what `granted` says, whatever the spec asks for.
Source: the kubelet's `allocation/allocation_manager.go` (KEP-1287).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain

import msgspec

from kplane.api import quantity

from .pod import Container, Pod, Quantities, ResourceRequirements
from .status import Waiting

RESIZED = ("cpu", "memory")

Grants = dict[str, ResourceRequirements]
"""By container; the pod's own under the empty name."""


class _Saved(msgspec.Struct, frozen=True):
    allocated: Grants
    in_force: Grants


@dataclass
class Ledger:
    """`save` and `recall` keep it beyond the process."""

    save: Callable[[bytes], None]
    allocated: Grants = field(default_factory=dict)
    in_force: Grants = field(default_factory=dict)
    pending: Waiting | None = None
    """Why the present spec is not allocated: Deferred or Infeasible."""
    error: str = ""
    """Why what is allocated is not in force."""
    generation: int = 0
    """The pod's when `allocated` was last changed."""
    resizing: bool = False
    """Whether an allocation was made that people have not been told the end of."""
    saved: bool = False

    def keep(self) -> None:
        """Save what was allocated at first, unless something is saved already. Raises OSError."""
        if not self.saved:
            self._write()

    @classmethod
    def of(cls, pod: Pod, saved: bytes | None, save: Callable[[bytes], None]) -> Ledger:
        """What was saved of the pod, or everything as its spec asks for."""
        asked = wanted(pod)
        try:
            found = msgspec.json.decode(saved, type=_Saved) if saved else None
        except msgspec.DecodeError:
            # A torn file: the pod's containers were made from some spec, and this one is the best guess.
            found = None
        if found is None:
            return cls(save, asked, dict(asked))
        ledger = cls(save, found.allocated, found.in_force, saved=True)
        ledger.resizing = any(ledger.due(name) for name in found.allocated)
        return ledger

    def granted(self, pod: Pod) -> Pod:
        """The pod with its allocated resources in place of those it asks for."""
        return with_resources(pod, self.allocated)

    def asks_for_more_or_less(self, pod: Pod) -> bool:
        asked = wanted(pod)
        # Nearly always they are the same in every word.
        return asked != self.allocated and any(
            changed(self.allocated.get(name), found) for name, found in asked.items()
        )

    def allocate(self, pod: Pod) -> None:
        """Raises OSError."""
        self.allocated, self.generation = wanted(pod), pod.metadata.generation
        self.pending, self.error, self.resizing = None, "", True
        self._write()

    def enforced(self, name: str) -> None:
        """The container runs (or the pod's cgroup is) as allocated. Raises OSError."""
        if name in self.allocated and self.in_force.get(name) != self.allocated[name]:
            self.in_force[name] = self.allocated[name]
            self._write()

    def due(self, name: str) -> set[str]:
        """Which of cpu and memory of the container are not in force as allocated."""
        return changed(self.in_force.get(name), self.allocated.get(name))

    def _write(self) -> None:
        self.saved = True
        self.save(msgspec.json.encode(_Saved(self.allocated, self.in_force)))


def resizable(pod: Pod) -> Iterator[Container]:
    """Containers that may be resized: all that go on running."""
    return chain(pod.spec.containers, (entry for entry in pod.spec.init_containers if entry.sidecar))


def wanted(pod: Pod) -> Grants:
    found = {entry.name: entry.resources for entry in resizable(pod)}
    return found | ({"": pod.spec.resources} if pod.spec.resources is not None else {})


def with_resources(pod: Pod, grants: Mapping[str, ResourceRequirements]) -> Pod:
    if all(grants.get(name, found) == found for name, found in wanted(pod).items()):
        return pod
    spec = msgspec.structs.replace(
        pod.spec,
        containers=tuple(_with(entry, grants) for entry in pod.spec.containers),
        init_containers=tuple(
            _with(entry, grants) if entry.sidecar else entry for entry in pod.spec.init_containers
        ),
        resources=grants.get("", pod.spec.resources),
    )
    return msgspec.structs.replace(pod, spec=spec)


def _with(container: Container, grants: Mapping[str, ResourceRequirements]) -> Container:
    return msgspec.structs.replace(container, resources=grants.get(container.name, container.resources))


def changed(before: ResourceRequirements | None, after: ResourceRequirements | None) -> set[str]:
    """Which of cpu and memory differ in a request or a limit; nothing where either is not known."""
    if before is None or after is None:
        return set()
    pairs = ((before.requests, after.requests), (before.limits, after.limits))
    return {name for name in RESIZED if any(_amount(a, name) != _amount(b, name) for a, b in pairs)}


def _amount(quantities: Quantities, name: str) -> int | None:
    return quantity.milli(quantities[name]) if name in quantities else None


def needs_restart(container: Container, resources: set[str]) -> bool:
    """Whether the container's resize policy says to start it anew for a change of these."""
    return any(
        policy.resource_name in resources and policy.restart_policy == "RestartContainer"
        for policy in container.resize_policy
    )
