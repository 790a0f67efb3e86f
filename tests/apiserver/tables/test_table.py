"""Tables of all kinds: their shape, their columns, and the cells of one object of each."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml

from kplane.api.scheme import builtin
from kplane.apiserver.tables import table
from kplane.apiserver.tables.printers import PRINTERS

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
META = {"name": "x", "creationTimestamp": "2026-01-02T03:03:05Z"}
CASES = yaml.safe_load(Path(__file__).with_name("cells.yaml").read_text())


@pytest.mark.parametrize("case", CASES, ids=[case["kind"] for case in CASES])
def test_cells(case: dict[str, Any]) -> None:
    group, _, kind = case["kind"].rpartition("/")
    row = next(row for row in builtin().rows.values() if (row.group, row.kind) == (group, kind))
    obj = case["object"]

    made = table(row, [obj | {"metadata": META | obj.get("metadata", {})}], now=NOW)

    assert made["rows"][0]["cells"] == case["cells"]
    assert len(case["cells"]) == len(made["columnDefinitions"])


@pytest.mark.parametrize(("group", "kind"), sorted(PRINTERS))
def test_every_column_is_described(group: str, kind: str) -> None:
    columns = PRINTERS[group, kind].column_definitions

    assert [column["name"] for column in columns if not column["description"]] == []


@pytest.mark.parametrize(
    ("include", "expected"),
    [
        ("None", None),
        ("Metadata", {"kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1", "metadata": META}),
        ("Object", {"metadata": META}),
    ],
)
def test_rows_carry_what_was_asked_for(include: Any, expected: Any) -> None:
    row = builtin().by_path("", "v1", "configmaps")
    assert row is not None

    made = table(
        row, [{"metadata": META}], now=NOW, include_object=include, list_metadata={"resourceVersion": "7"}
    )

    assert (made["kind"], made["apiVersion"], made["metadata"]) == (
        "Table",
        "meta.k8s.io/v1",
        {"resourceVersion": "7"},
    )
    assert made["rows"] == [{"cells": ["x", 0, "60s"], "object": expected}]
