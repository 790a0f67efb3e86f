"""Which Pods of old templates to replace next. Plain functions.

Owns: the arithmetic of maxUnavailable (an old Pod goes, then a new one comes) and of maxSurge (a new one
comes, then the old one goes).
Elsewhere: creating a Pod on a node that has none, and pruning excess ones (plan.py).

Invariant: no more than maxUnavailable nodes are without an available Pod, or with maxSurge none; old Pods
that are not available anyway may always be replaced.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from kplane.api.types import Pod
from kplane.api.types.apps import DaemonSet

from .plan import Fleet, Plan


@dataclass(frozen=True)
class _Node:
    """What a node has that is not going: at most one Pod of each kind, or else `excess`."""

    name: str
    new: Pod | None
    old: Pod | None
    excess: bool


def scaled(value: int | str | None, total: int) -> int:
    """A number of nodes, or a share of all; shares round up."""
    if isinstance(value, str):
        return -(-int(value.removesuffix("%")) * total // 100)
    return value or 0


def limits(ds: DaemonSet, desired: int) -> tuple[int, int]:
    """maxSurge and maxUnavailable in nodes, never both 0."""
    rolling = ds.spec.update_strategy.rolling_update
    if ds.spec.update_strategy.type != "RollingUpdate" or rolling is None:
        return 0, 1
    surge, unavailable = scaled(rolling.max_surge, desired), scaled(rolling.max_unavailable, desired)
    return (surge, unavailable) if surge or unavailable else (0, 1)


def allows_surge(ds: DaemonSet) -> bool:
    return limits(ds, 1)[0] > 0


def rolling(fleet: Fleet) -> Plan:
    """The next replacements."""
    nodes = [_look(fleet, name, pods) for name, pods in fleet.pods.items() if name in fleet.eligible]
    surge, unavailable = limits(fleet.ds, len(fleet.wanted))
    occupied = [node for node in nodes if fleet.pods[node.name] or fleet.eligible[node.name].start]
    return _surge(fleet, occupied, surge) if surge else _replace(fleet, occupied, unavailable)


def _look(fleet: Fleet, name: str, pods: Sequence[Pod]) -> _Node:
    staying = [pod for pod in pods if pod.metadata.deletion_timestamp is None]
    new = [pod for pod in staying if fleet.updated(pod)]
    old = [pod for pod in staying if not fleet.updated(pod)]
    excess = len(new) > 1 or len(old) > 1
    return _Node(name, new[0] if new else None, old[0] if old else None, excess)


def _replace(fleet: Fleet, nodes: Sequence[_Node], limit: int) -> Plan:
    """Old Pods go, as many as may be missing."""
    broken: list[Pod] = []
    candidates: list[Pod] = []
    down = 0
    for node in nodes:
        if node.excess or (node.new is None) == (node.old is None):
            down += 1
        elif node.new is not None:
            down += not fleet.available(node.new)
        elif node.old is not None and not fleet.available(node.old):
            broken.append(node.old)
            down += 1
        elif node.old is not None:
            candidates.append(node.old)
    return Plan(delete=broken + candidates[: max(limit - down, 0)])


def _surge(fleet: Fleet, nodes: Sequence[_Node], limit: int) -> Plan:
    """New Pods come beside old ones, which go when the new ones are available."""
    step = Plan()
    leaving: list[Pod] = []
    candidates: list[str] = []
    surging = sum(node.excess for node in nodes)
    for node in nodes:
        if node.excess or node.old is None:
            continue
        if node.new is not None:
            if fleet.available(node.new):
                step.delete.append(node.old)
            else:
                surging += 1
        elif fleet.eligible[node.name].start:
            (candidates if fleet.available(node.old) else step.create).append(node.name)
        elif fleet.available(node.old):
            leaving.append(node.old)
        else:
            step.delete.append(node.old)
    step.create += candidates[: max(limit - surging, 0)]
    # Where the Pods move to other nodes, those go last: each only when another one stands in for it.
    spare = _available_nodes(fleet, nodes) - len(fleet.wanted)
    step.delete += leaving[: max(spare, 0)]
    return step


def _available_nodes(fleet: Fleet, nodes: Sequence[_Node]) -> int:
    shown = (node.old or node.new for node in nodes if not node.excess)
    return sum(pod is not None and fleet.available(pod) for pod in shown)
