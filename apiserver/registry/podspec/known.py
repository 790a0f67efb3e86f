"""Parts of objects in which a rule has found nothing: it need not look at them again.

Most writes bring what earlier ones brought: the pods of a workload are alike, and an update of labels or of a
scale changes no container.

Invariant: what is known is, byte for byte, what the same rule has judged.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

_T = TypeVar("_T")
ROOM = 2 * 1024 * 1024
"""Bytes that one rule may remember: a thousand pods. A part that takes a sixteenth is not worth it."""


class Known:
    """Of one rule."""

    def __init__(self) -> None:
        self._parts: set[bytes] = set()
        self._size = 0

    def look(self, part: object, findings: Iterator[_T]) -> Iterable[_T]:
        """The rule's `findings`, which are not asked for where it is known that there are none: `part` alone
        decides whether there are any."""
        encoded = msgspec.json.encode(part)
        return () if encoded in self._parts else self._noting(encoded, findings)

    def _noting(self, encoded: bytes, findings: Iterator[_T]) -> Iterator[_T]:
        sound = True
        for finding in findings:
            sound = False
            yield finding
        if sound and len(encoded) <= ROOM // 16:
            self._remember(encoded)

    def _remember(self, encoded: bytes) -> None:
        self._size += len(encoded)
        if self._size > ROOM:
            self._parts.clear()
            self._size = len(encoded)
        self._parts.add(encoded)
