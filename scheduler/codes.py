"""Values as small integers, so that NumPy arrays can hold labels and taints.

Owns: the numbering of values, and one column of codes per label key.
Elsewhere: which row belongs to which node (table.py).

Invariant: code 0 means "absent"; a value that no row holds any more has no code, so nothing piles up.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, ItemsView, Iterable, Mapping
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

V = TypeVar("V", bound=Hashable)

CodeArray = NDArray[np.int32]


class Codes(Generic[V]):
    """A counted numbering: a value keeps its code for as long as something holds it."""

    def __init__(self) -> None:
        self._codes: dict[V, int] = {}
        self._holders: dict[V, int] = {}
        self._free: list[int] = []
        self.size = 1
        """One more than the largest code in use: the length of a table indexed by code."""

    def hold(self, value: V) -> int:
        """The code of `value`, held once more."""
        code = self._codes.get(value)
        if code is None:
            code = self._codes[value] = self._free.pop() if self._free else self.size
            self.size = max(self.size, code + 1)
        self._holders[value] = self._holders.get(value, 0) + 1
        return code

    def release(self, value: V) -> None:
        """Undo one `hold`."""
        self._holders[value] -= 1
        if not self._holders[value]:
            del self._holders[value]
            self._free.append(self._codes.pop(value))

    def get(self, value: V) -> int | None:
        return self._codes.get(value)

    def items(self) -> ItemsView[V, int]:
        return self._codes.items()

    def __len__(self) -> int:
        return len(self._codes)


class LabelColumns:
    """Labels of all rows: per key, one array of codes."""

    def __init__(self, rows: int) -> None:
        self._rows = rows
        self._columns: dict[str, tuple[CodeArray, Codes[str]]] = {}

    def __len__(self) -> int:
        return len(self._columns)

    def grow(self, rows: int) -> None:
        for key, (column, codes) in self._columns.items():
            longer = np.zeros(rows, np.int32)
            longer[: self._rows] = column
            self._columns[key] = (longer, codes)
        self._rows = rows

    def put(self, row: int, labels: Mapping[str, str]) -> None:
        for key, value in labels.items():
            if key not in self._columns:
                self._columns[key] = (np.zeros(self._rows, np.int32), Codes())
            column, codes = self._columns[key]
            column[row] = codes.hold(value)

    def clear(self, row: int, labels: Mapping[str, str]) -> None:
        """Take out what `put` was given for this row."""
        for key, value in labels.items():
            column, codes = self._columns[key]
            column[row] = 0
            codes.release(value)
            if not codes:
                del self._columns[key]

    def having(self, key: str) -> NDArray[np.bool_]:
        """Rows that have the label, whatever its value."""
        if key not in self._columns:
            return np.zeros(self._rows, np.bool_)
        rows: NDArray[np.bool_] = self._columns[key][0] != 0
        return rows

    def among(self, key: str, values: Iterable[str]) -> NDArray[np.bool_]:
        """Rows whose label has one of the values."""
        rows = np.zeros(self._rows, np.bool_)
        if key in self._columns:
            column, codes = self._columns[key]
            for value in values:
                if (code := codes.get(value)) is not None:
                    rows |= column == code
        return rows

    def where(self, key: str, judge: Callable[[str], bool]) -> NDArray[np.bool_]:
        """Rows whose label has a value that `judge` accepts; it is asked once per distinct value."""
        if key not in self._columns:
            return np.zeros(self._rows, np.bool_)
        column, codes = self._columns[key]
        accepted = np.zeros(codes.size, np.bool_)
        for value, code in codes.items():
            accepted[code] = judge(value)
        rows: NDArray[np.bool_] = accepted[column]
        return rows
