"""Tables from the server, printed as kubectl prints them.

Columns are three spaces apart and at least six wide, the last is not padded. A writer remembers its widths,
so that the rows of a watch stand below those of the list.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kplane.api.resource import Object

ACCEPT = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PADDING = 3
MIN_WIDTH = 6

_LINE_END = re.compile(r"[\f\n\r]")


@dataclass(frozen=True, slots=True)
class Style:
    """What is shown of a table. `prefix` goes before names where several kinds are printed."""

    wide: bool = False
    headers: bool = True
    namespaces: bool = False
    show_labels: bool = False
    label_columns: tuple[str, ...] = ()
    prefix: str = ""


@dataclass
class TableWriter:
    """Prints the tables of one kind, one below the other under one header."""

    write: Callable[[str], object]
    style: Style
    _columns: Sequence[Object] = ()
    _widths: list[int] = field(default_factory=list)
    _begun: bool = False

    def print(self, tables: Sequence[Object]) -> bool:
        """Print the rows of these tables; False if there are none."""
        rows = [cells for table in tables for cells in self._rows(table)]
        if not rows:
            return False
        if self.style.headers and not self._begun:
            rows.insert(0, self._header())
        self._begun = True
        self._measure(rows)
        for cells in rows:
            self.write(self._line(cells))
        return True

    def _rows(self, table: Object) -> list[list[str]]:
        # In a watch only the first event says what the columns are.
        self._columns = table.get("columnDefinitions") or self._columns
        return [self._cells(row) for row in table.get("rows") or ()]

    def _header(self) -> list[str]:
        names = [column["name"].upper() for column in self._columns if self._shown(column)]
        labels = [key.rpartition("/")[2].upper() for key in self.style.label_columns]
        first = ["NAMESPACE"] if self.style.namespaces else []
        return [*first, *names, *labels, *(["LABELS"] if self.style.show_labels else [])]

    def _cells(self, row: Object) -> list[str]:
        metadata: Mapping[str, Any] = (row.get("object") or {}).get("metadata") or {}
        cells = [metadata.get("namespace", "")] if self.style.namespaces else []
        for column, value in zip(self._columns, row["cells"], strict=False):
            if self._shown(column):
                is_name = self.style.prefix and column.get("format") == "name"
                cells.append(f"{self.style.prefix}/{_text(value)}" if is_name else _text(value))
        labels: Mapping[str, str] = metadata.get("labels") or {}
        cells += [labels.get(key, "") for key in self.style.label_columns]
        if self.style.show_labels:
            cells.append(",".join(f"{key}={labels[key]}" for key in sorted(labels)) or "<none>")
        return cells

    def _shown(self, column: Object) -> bool:
        return self.style.wide or not column.get("priority")

    def _measure(self, rows: Sequence[Sequence[str]]) -> None:
        count = max(len(cells) for cells in rows)
        self._widths += [MIN_WIDTH] * (count - len(self._widths))
        for cells in rows:
            for index, cell in enumerate(cells):
                self._widths[index] = max(self._widths[index], len(cell) + PADDING)

    def _line(self, cells: Sequence[str]) -> str:
        padded = (cell.ljust(width) for cell, width in zip(cells[:-1], self._widths, strict=False))
        return "".join((*padded, cells[-1], "\n"))


def _text(value: Any) -> str:
    """A cell: one line, and nothing in it that a terminal would obey."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    text = str(value)
    if end := _LINE_END.search(text):
        text = f"{text[: end.start()]}..."
    return text.replace("\x1b", "^[")
