"""Tables line up as kubectl's do."""

from __future__ import annotations

from kplane.api.resource import Object
from kplane.cli.verbs.tables import Style, TableWriter

COLUMNS: list[Object] = [
    {"name": "Name", "format": "name"},
    {"name": "Ready"},
    {"name": "Node", "priority": 1},
    {"name": "Age"},
]


def table(*rows: list[object], columns: list[Object] | None = COLUMNS) -> Object:
    metadata = {"namespace": "team", "labels": {"b": "2", "a": "1"}}
    return {
        "columnDefinitions": columns,
        "rows": [{"cells": cells, "object": {"metadata": metadata}} for cells in rows],
    }


def printed(style: Style, *tables: Object) -> str:
    text: list[str] = []
    TableWriter(text.append, style).print(tables)
    return "".join(text)


def test_columns_are_three_apart_and_six_wide() -> None:
    text = printed(Style(), table(["a", 1, "n", "5s"], ["longer-name", 22, "n", "<none>"]))

    assert text == "NAME          READY   AGE\na             1       5s\nlonger-name   22      <none>\n"


def test_wide_namespace_and_labels_are_shown_when_asked_for() -> None:
    style = Style(wide=True, namespaces=True, show_labels=True, label_columns=("x/a",), prefix="pod")

    text = printed(style, table(["a", True, None, "5s"]))

    assert text.splitlines() == [
        "NAMESPACE   NAME    READY   NODE   AGE   A     LABELS",
        "team        pod/a   true           5s          a=1,b=2",
    ]


def test_headers_can_be_left_out_and_nothing_prints_nothing() -> None:
    assert printed(Style(headers=False), table(["a", 1, "", "5s"])) == "a     1     5s\n"
    assert printed(Style(), table()) == ""


def test_cells_cannot_break_lines_or_drive_the_terminal() -> None:
    assert printed(Style(headers=False), table(["a\nb", "\x1b[31m", "", "5s"])) == "a...   ^[[31m   5s\n"


def test_later_rows_stand_below_earlier_ones() -> None:
    text: list[str] = []
    writer = TableWriter(text.append, Style())

    writer.print([table(["a-long-name", 1, "", "5s"])])
    writer.print([table(["b", 1, "", "6s"], columns=None)])

    assert text[1:] == ["a-long-name   1       5s\n", "b             1       6s\n"]
