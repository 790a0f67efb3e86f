"""The node table: nodes are rows of NumPy arrays, so that a plug-in judges all of them at once.

Owns: which node is in which row, what it offers, what its Pods have taken.
Reads: Node views and PodInfos, as the scheduler hears of them, in any order.
Elsewhere: the judgement (plugins/), the order of events (scheduler.py).

Invariant: the table always equals one built anew from the nodes and placements it has been told of. A Pod
placed on a node that is not known (yet, or any more) counts as soon as that node appears.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from kplane.api.types import Node

from .codes import CodeArray, Codes, LabelColumns
from .pod import HostPort, PodInfo
from .requests import CPU, MEMORY, amounts
from .taints import Taint, TaintSet

Mask = NDArray[np.bool_]
Scores = NDArray[np.float64]
"""Whole numbers; floats because NumPy divides them ten times as fast as integers."""

N = TypeVar("N", bound=np.generic)

FIRST_ROWS = 64
PODS = "pods"


@dataclass(frozen=True, slots=True)
class Placement:
    """A Pod on a node, bound or about to be."""

    pod: PodInfo
    node: str


class NodeTable:
    """Arrays have one entry per row, also for rows that hold no node: `all` tells which do."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._nodes: dict[str, Node] = {}
        self._free = list(range(FIRST_ROWS))
        self._placements: dict[str, Placement] = {}
        self._by_node: dict[str, dict[str, PodInfo]] = {}
        self._priorities: Counter[int] = Counter()
        self.names = [""] * FIRST_ROWS
        self.resources = {CPU: 0, MEMORY: 1}
        """Which row of `allocatable` and `requested` belongs to a resource."""
        self.allocatable = np.zeros((2, FIRST_ROWS), np.int64)
        self.requested = np.zeros((2, FIRST_ROWS), np.int64)
        self.scoring = np.zeros((2, FIRST_ROWS), np.int64)
        """CPU and memory taken, with defaults for containers that ask for nothing."""
        self.pods_allowed = np.zeros(FIRST_ROWS, np.int64)
        self.pods = np.zeros(FIRST_ROWS, np.int64)
        self.all: Mask = np.zeros(FIRST_ROWS, np.bool_)
        self.unschedulable: Mask = np.zeros(FIRST_ROWS, np.bool_)
        self.generation = np.zeros(FIRST_ROWS, np.int64)
        """Value of `changes` when the row changed last: what is derived from a row is stale if older."""
        self.changes = 0
        self.labels = LabelColumns(FIRST_ROWS)
        self._taints: Codes[TaintSet] = Codes()
        self._taint_codes: CodeArray = np.zeros(FIRST_ROWS, np.int32)
        self._ports: dict[tuple[str, int], dict[str, list[HostPort]]] = {}

    def __len__(self) -> int:
        """How many nodes there are."""
        return len(self._rows)

    def row(self, name: str) -> int | None:
        return self._rows.get(name)

    def node(self, name: str) -> Node | None:
        return self._nodes.get(name)

    def placement(self, uid: str) -> Placement | None:
        return self._placements.get(uid)

    def placements(self) -> Iterator[Placement]:
        return iter(self._placements.values())

    def pods_on(self, name: str) -> Iterable[PodInfo]:
        return self._by_node.get(name, {}).values()

    def has_lower_priority(self, priority: int) -> bool:
        """Whether any Pod on any node is less important than this."""
        return min(self._priorities, default=priority) < priority

    @property
    def none(self) -> Mask:
        """A mask of no nodes."""
        return np.zeros(len(self.names), np.bool_)

    def put_node(self, node: Node) -> None:
        """Add a node, or take its newest state."""
        name = node.metadata.name
        row = self._rows.get(name)
        if row is None:
            row = self._take_row(name)
            for pod in self.pods_on(name):
                self._count(row, pod, +1)
        elif _same_attributes(self._nodes[name], node):
            # A heartbeat: by far the most common change of a node.
            self._nodes[name] = node
            return
        else:
            self._clear_attributes(row, self._nodes[name])
        self._nodes[name] = node
        self._set_attributes(row, node)
        self._touch(row)

    def remove_node(self, name: str) -> None:
        """Forget a node; its Pods stay known until they are removed themselves."""
        row = self._rows.pop(name, None)
        if row is None:
            return
        self._clear_attributes(row, self._nodes.pop(name))
        self.names[row] = ""
        for array in (self.requested, self.scoring, self.allocatable):
            array[:, row] = 0
        for counts in (self.pods, self.pods_allowed):
            counts[row] = 0
        self.all[row] = self.unschedulable[row] = False
        heapq.heappush(self._free, row)
        self._touch(row)

    def place(self, pod: PodInfo, node: str) -> None:
        """Count a Pod on a node. A Pod is only ever counted once: placing it again moves or updates it."""
        self.remove_pod(pod.uid)
        self._placements[pod.uid] = Placement(pod, node)
        self._by_node.setdefault(node, {})[pod.uid] = pod
        self._priorities[pod.priority] += 1
        for port in pod.host_ports:
            self._ports.setdefault((port.protocol, port.port), {}).setdefault(node, []).append(port)
        if (row := self._rows.get(node)) is not None:
            self._count(row, pod, +1)
            self._touch(row)

    def remove_pod(self, uid: str) -> Placement | None:
        """Free what a Pod has taken; its placement, or None if it had none."""
        placement = self._placements.pop(uid, None)
        if placement is None:
            return None
        pod, node = placement.pod, placement.node
        del self._by_node[node][uid]
        self._priorities[pod.priority] -= 1
        if not self._priorities[pod.priority]:
            del self._priorities[pod.priority]
        if not self._by_node[node]:
            del self._by_node[node]
        for port in pod.host_ports:
            self._free_port(node, port)
        if (row := self._rows.get(node)) is not None:
            self._count(row, pod, -1)
            self._touch(row)
        return placement

    def by_taints(self, judge: Callable[[TaintSet], float | bool], kind: type[N]) -> NDArray[N]:
        """What `judge` says of each row's taints; it is asked once per distinct set of taints."""
        verdicts = np.zeros(self._taints.size, kind)
        verdicts[0] = judge(())
        for taints, code in self._taints.items():
            verdicts[code] = judge(taints)
        return verdicts[self._taint_codes]

    def holders(self, protocol: str, port: int) -> Iterator[tuple[int, list[HostPort]]]:
        """Rows on which Pods have taken this host port, with the addresses they took it on."""
        for node, ports in self._ports.get((protocol, port), {}).items():
            if (row := self._rows.get(node)) is not None:
                yield row, ports

    def _take_row(self, name: str) -> int:
        if not self._free:
            self._grow()
        row = heapq.heappop(self._free)
        self._rows[name] = row
        self.names[row] = name
        self.all[row] = True
        return row

    def _grow(self) -> None:
        """A quarter more rows: every decision looks at all of them, so few should be spare."""
        old = len(self.names)
        rows = old + max(old // 4, FIRST_ROWS)
        self.allocatable = _longer(self.allocatable, rows)
        self.requested = _longer(self.requested, rows)
        self.scoring = _longer(self.scoring, rows)
        self.pods_allowed = _longer(self.pods_allowed, rows)
        self.pods = _longer(self.pods, rows)
        self.all = _longer(self.all, rows)
        self.unschedulable = _longer(self.unschedulable, rows)
        self.generation = _longer(self.generation, rows)
        self._taint_codes = _longer(self._taint_codes, rows)
        self.labels.grow(rows)
        self.names += [""] * (rows - old)
        self._free = list(range(old, rows))

    def _set_attributes(self, row: int, node: Node) -> None:
        for resource, value in amounts(node.status.allocatable).items():
            if resource == PODS:
                self.pods_allowed[row] = value
            else:
                # Looked up first: it may replace the array.
                column = self._resource(resource)
                self.allocatable[column, row] = value
        self.unschedulable[row] = node.spec.unschedulable
        self.labels.put(row, node.metadata.labels)
        if taints := _taint_set(node):
            self._taint_codes[row] = self._taints.hold(taints)

    def _clear_attributes(self, row: int, node: Node) -> None:
        self.allocatable[:, row] = 0
        self.pods_allowed[row] = 0
        self.labels.clear(row, node.metadata.labels)
        if taints := _taint_set(node):
            self._taints.release(taints)
            self._taint_codes[row] = 0

    def _resource(self, name: str) -> int:
        """The array row of a resource, made when it is first heard of."""
        if name not in self.resources:
            self.resources[name] = len(self.resources)
            blank = np.zeros((1, len(self.names)), np.int64)
            self.allocatable = np.concatenate((self.allocatable, blank))
            self.requested = np.concatenate((self.requested, blank))
        return self.resources[name]

    def _count(self, row: int, pod: PodInfo, sign: int) -> None:
        for resource, value in pod.requests.items():
            # Looked up first: it may replace the array.
            column = self._resource(resource)
            self.requested[column, row] += sign * value
        self.scoring[0, row] += sign * pod.scoring[0]
        self.scoring[1, row] += sign * pod.scoring[1]
        self.pods[row] += sign

    def _free_port(self, node: str, port: HostPort) -> None:
        holders = self._ports[port.protocol, port.port]
        holders[node].remove(port)
        if not holders[node]:
            del holders[node]
        if not holders:
            del self._ports[port.protocol, port.port]

    def _touch(self, row: int) -> None:
        self.changes += 1
        self.generation[row] = self.changes


def _longer(array: NDArray[N], rows: int) -> NDArray[N]:
    """A copy with so many entries along the last axis, new ones zero."""
    longer = np.zeros((*array.shape[:-1], rows), array.dtype)
    longer[..., : array.shape[-1]] = array
    return longer


def _taint_set(node: Node) -> TaintSet:
    return tuple(Taint(taint.key, taint.value, taint.effect) for taint in node.spec.taints)


def _same_attributes(old: Node, new: Node) -> bool:
    """Whether nothing changed that the table holds."""
    return (
        old.spec == new.spec
        and old.metadata.labels == new.metadata.labels
        and old.status.allocatable == new.status.allocatable
    )
