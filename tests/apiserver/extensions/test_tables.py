"""Custom resources in columns."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest

from kplane.apiserver.tables.custom import cell

from ..conftest import Api
from .conftest import WIDGETS, version, widget

TABLE = "application/json;as=Table;g=meta.k8s.io;v=v1"
NOW = datetime(2026, 1, 2, tzinfo=UTC)


@pytest.mark.parametrize(
    ("kind", "found", "shown"),
    [
        ("string", ["red"], "red"),
        ("string", [{"b": 1, "a": [True]}], '{"a":[true],"b":1}'),
        ("string", [3], "3"),
        ("integer", [3], 3),
        ("integer", [3.7], 3),
        ("integer", ["3"], None),
        ("number", [3], 3.0),
        ("boolean", [True], True),
        ("boolean", ["true"], None),
        ("date", ["2026-01-01T00:00:00Z"], "24h"),
        ("date", ["yesterday"], "<invalid>"),
        ("date", [None], None),
    ],
)
def test_cells_by_type(kind: str, found: list[Any], shown: Any) -> None:
    assert cell(kind, found, NOW) == shown


async def test_columns_of_the_definition(api: Api, define: Callable[..., Any]) -> None:
    columns = [
        {"name": "Color", "type": "string", "jsonPath": ".spec.color", "description": "Its color."},
        {"name": "Size", "type": "integer", "jsonPath": '.spec.parts[?(@.name=="a")].size', "priority": 1},
        {"name": "Phase", "type": "string", "jsonPath": ".status.phase"},
        {"name": "Born", "type": "date", "jsonPath": ".metadata.creationTimestamp"},
    ]
    await define(versions=[version(additionalPrinterColumns=columns)])
    await api.make(WIDGETS, widget(color="red", parts=[{"name": "a", "size": 4}]))

    table = (await api("GET", WIDGETS, accept=TABLE)).body
    [event] = await api.events(WIDGETS, 1, accept=TABLE)

    assert [column["name"] for column in table["columnDefinitions"]] == [
        "Name", "Color", "Size", "Phase", "Born",
    ]  # fmt: skip
    assert table["columnDefinitions"][1]["description"] == "Its color."
    assert table["columnDefinitions"][2]["priority"] == 1
    assert table["columnDefinitions"][3]["description"] == (
        "Custom resource definition column (in JSONPath format): .status.phase"
    )
    cells = table["rows"][0]["cells"]
    assert cells[:4] == ["one", "red", 4, None]
    assert cells[4].endswith("s")
    assert event["object"]["rows"][0]["cells"][:2] == ["one", "red"]


async def test_without_columns_there_are_name_and_age(api: Api, define: Callable[..., Any]) -> None:
    await define()
    await api.make(WIDGETS, widget())

    table = (await api("GET", f"{WIDGETS}/one", accept=TABLE)).body

    assert [(column["name"], column["type"]) for column in table["columnDefinitions"]] == [
        ("Name", "string"),
        ("Age", "date"),
    ]


async def test_a_column_that_cannot_be_parsed_ends_the_columns(api: Api, define: Callable[..., Any]) -> None:
    columns = [
        {"name": "Color", "type": "string", "jsonPath": ".spec.color"},
        {"name": "Bad", "type": "string", "jsonPath": ".spec.parts[?(@"},
        {"name": "Late", "type": "string", "jsonPath": ".spec.color"},
    ]
    await define(versions=[version(additionalPrinterColumns=columns)])
    await api.make(WIDGETS, widget())

    table = (await api("GET", WIDGETS, accept=TABLE)).body

    assert [column["name"] for column in table["columnDefinitions"]] == ["Name", "Color"]
    assert table["rows"][0]["cells"] == ["one", "red"]
