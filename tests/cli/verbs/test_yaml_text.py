"""YAML that every reader takes for what it is."""

from __future__ import annotations

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kplane.api.decode import decode_yaml
from kplane.cli.verbs.yaml_text import dump


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("plain words", "plain words"),
        ("", '""'),
        ("true", '"true"'),
        ("y", '"y"'),
        ("1", '"1"'),
        ("1e3", '"1e3"'),
        ("0x1f", '"0x1f"'),
        ("2024-01-02T03:04:05Z", '"2024-01-02T03:04:05Z"'),
        ("12:30:45", '"12:30:45"'),
        ("a: b", "'a: b'"),
        (1, "1"),
        (None, "null"),
        ([], "[]"),
        ({}, "{}"),
    ],
)
def test_values_are_quoted_as_kubectl_quotes_them(value: object, text: str) -> None:
    assert dump({"key": value}) == f"key: {text}\n"


def test_lines_stay_lines() -> None:
    assert dump({"key": "one\ntwo\n"}) == "key: |\n  one\n  two\n"


@given(st.dictionaries(st.text("abc", min_size=1), st.text(st.characters(codec="utf-8"), max_size=20)))
def test_what_is_written_reads_back(obj: dict[str, str]) -> None:
    assert yaml.safe_load(dump(obj)) == obj
    assert decode_yaml(dump(obj).encode()) == obj
