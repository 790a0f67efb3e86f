"""Nominations: Pods for which others are leaving a node. Until they are bound, their places are kept free.

Owns: which Pod is nominated to which node, as this scheduler said or a status did before it started.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from .pod import PodInfo
from .table import NodeTable


class Nominations:
    def __init__(self) -> None:
        self._by_uid: dict[str, tuple[PodInfo, str]] = {}

    def __len__(self) -> int:
        return len(self._by_uid)

    def put(self, pod: PodInfo, node: str) -> None:
        self._by_uid[pod.uid] = (pod, node)

    def drop(self, uid: str) -> None:
        self._by_uid.pop(uid, None)

    def node_of(self, uid: str) -> str:
        """Empty where the Pod is not nominated."""
        found = self._by_uid.get(uid)
        return found[1] if found else ""

    def less_important(self, pod: PodInfo, node: str) -> list[PodInfo]:
        """Pods of lower priority that are nominated to this node: their places may be gone now."""
        return [
            other for other, place in self._by_uid.values() if place == node and other.priority < pod.priority
        ]

    @contextmanager
    def kept_free(self, pod: PodInfo, nodes: NodeTable) -> Iterator[None]:
        """While a Pod is decided on, those nominated that are at least as important count as placed."""
        held = [
            (other, node)
            for other, node in self._by_uid.values()
            if other.uid != pod.uid and other.priority >= pod.priority and nodes.placement(other.uid) is None
        ]
        for other, node in held:
            nodes.place(other, node)
        try:
            yield
        finally:
            for other, _ in held:
                nodes.remove_pod(other.uid)
