"""Sets of completion indexes as Jobs write them: `1,3-5,7`.

Rules and wording: upstream's `pkg/apis/batch/validation`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

_is_number = re.compile("[+-]?[0-9]{1,18}", re.ASCII).fullmatch


class IndexesError(ValueError):
    """Not such a set; the text is upstream's."""


def count(text: str, completions: int) -> int:
    """How many indexes below `completions` it names. Raises IndexesError."""
    total, last = 0, None
    for part in text.split(",") if text else ():
        first, final = _interval(part, completions)
        if last is not None and last >= first:
            raise IndexesError(f"non-increasing order, previous: {last}, current: {first}")
        total, last = total + final - first + 1, final
    return total


def overlap(one: str, other: str, completions: int) -> int | None:
    """The first index in both; what cannot be read is left out."""
    ours, theirs = list(_intervals(one, completions)), list(_intervals(other, completions))
    mine = their = 0
    while mine < len(ours) and their < len(theirs):
        (a, b), (c, d) = ours[mine], theirs[their]
        if a <= d and c <= b:
            return max(a, c)
        if a <= c:
            mine += 1
        else:
            their += 1
    return None


def _intervals(text: str, completions: int) -> Iterator[tuple[int, int]]:
    for part in text.split(",") if text else ():
        try:
            yield _interval(part, completions)
        except IndexesError:
            # The field's own validation reports it.
            continue


def _interval(text: str, completions: int) -> tuple[int, int]:
    parts = text.split("-")
    if len(parts) > 2:
        raise IndexesError(
            f'the fragment "{text}" violates the requirement that an index interval can have at most two'
            " parts separated by '-'"
        )
    numbers = [_number(part, completions) for part in parts]
    if len(numbers) == 2 and numbers[0] >= numbers[1]:
        raise IndexesError(f"non-increasing order, previous: {numbers[0]}, current: {numbers[1]}")
    return numbers[0], numbers[-1]


def _number(text: str, completions: int) -> int:
    if not _is_number(text):
        raise IndexesError(f'cannot convert string to integer for index: "{text}"')
    if int(text) >= completions:
        raise IndexesError(f'too large index: "{text}"')
    return int(text)
