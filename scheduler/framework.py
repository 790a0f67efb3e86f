"""What a scheduler plug-in is: a plain function over all nodes at once.

A Filter says which nodes can take a Pod, a Score how good each of them is. Plug-ins never await, log or read
a clock; all they know is in their arguments. Which of them are used, and with which weights, is in
registry.py.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar

import numpy as np

from kplane.api.types import Node, Pod

from .pod import PodInfo
from .table import Mask, NodeTable, Scores

BEST = 100
"""Scores go from 0 to this."""


@dataclass(frozen=True, slots=True)
class Change:
    """Something happened to a Node, to the waiting Pod itself, or (`placed`) to a Pod on a node."""

    what: type[Node] | type[Pod]
    old: Any
    new: Any
    placed: bool = False


@dataclass(frozen=True, slots=True)
class On:
    """A field of a Node, or of the waiting Pod itself, has changed; an object that appears is all new."""

    what: type[Node] | type[Pod]
    field: str

    def matches(self, change: Change) -> bool:
        if change.what is not self.what or change.placed or change.new is None:
            return False
        return change.old is None or _read(change.old, self.field) != _read(change.new, self.field)


@dataclass(frozen=True, slots=True)
class OnGone:
    """A Pod has left its node, or asks for less there."""

    def matches(self, change: Change) -> bool:
        if not change.placed or change.old is None:
            return False
        return change.new is None or change.old.spec.containers != change.new.spec.containers


@dataclass(frozen=True, slots=True)
class Failure:
    """Why the nodes of a mask cannot take a Pod."""

    reason: str
    nodes: Mask


class Plugin(ABC):
    name: ClassVar[str]
    """As upstream spells it."""


class Filter(Plugin):
    reason: ClassVar[str] = ""
    retry_on: ClassVar[tuple[On | OnGone, ...]] = ()
    """Every change that could reverse the verdict; forget one and the Pod sleeps."""

    @abstractmethod
    def feasible(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        """The nodes that can take the Pod. Rows that hold no node do not matter."""

    def failures(self, pod: PodInfo, nodes: NodeTable, failed: Mask) -> Iterator[Failure]:
        """Why the nodes `failed` were refused; a node may have several reasons."""
        yield Failure(self.reason, failed)

    def curable(self, pod: PodInfo, nodes: NodeTable) -> Mask:
        """Of the nodes that were refused, those which evicting other Pods could make feasible."""
        return nodes.none


class Score(Plugin):
    @abstractmethod
    def score(self, pod: PodInfo, nodes: NodeTable, feasible: Mask) -> Scores | None:
        """0 to 100 for each feasible node, whole numbers; None where all are equally good."""


def normalised(raw: Scores, feasible: Mask, *, reverse: bool = False) -> Scores | None:
    """Scale so that the largest value among feasible nodes becomes 100; `reverse`: the largest is worst."""
    highest = raw[feasible].max(initial=0)
    if highest == 0:
        return None
    scaled: Scores = np.floor(raw * (BEST / highest))
    return BEST - scaled if reverse else scaled


def _read(view: Any, field: str) -> Any:
    for step in _steps(field):
        view = getattr(view, step)
    return view


@lru_cache(maxsize=256)
def _steps(field: str) -> tuple[str, ...]:
    """`spec.nodeSelector` as attributes of a view."""
    return tuple(re.sub("[A-Z]", lambda found: "_" + found[0].lower(), step) for step in field.split("."))
