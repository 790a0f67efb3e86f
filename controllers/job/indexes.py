"""Sets of completion indexes, and how a status writes them: `1,3-5,7`."""

from __future__ import annotations

from collections.abc import Iterable

from ..numbers import integer


def parse(text: str | None, completions: int) -> frozenset[int]:
    """The indexes below `completions`; what cannot be read is left out."""
    found: set[int] = set()
    for part in (text or "").split(","):
        first, _, last = part.partition("-")
        ends = integer(first, bits=64), integer(last or first, bits=64)
        if ends[0] is not None and ends[1] is not None:
            found.update(range(max(ends[0], 0), min(ends[1], completions - 1) + 1))
    return frozenset(found)


def text(indexes: Iterable[int]) -> str:
    """The indexes in order; three and more in a row are written as a range."""
    parts: list[str] = []
    for first, last in _runs(sorted(indexes)):
        if first == last:
            parts.append(str(first))
        else:
            parts.append(f"{first}{',' if last == first + 1 else '-'}{last}")
    return ",".join(parts)


def _runs(ordered: Iterable[int]) -> list[tuple[int, int]]:
    runs: list[tuple[int, int]] = []
    for index in ordered:
        if runs and runs[-1][1] == index - 1:
            runs[-1] = (runs[-1][0], index)
        else:
            runs.append((index, index))
    return runs
