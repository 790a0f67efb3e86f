"""The build step that reads the protobuf numbers out of kubectl."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).resolve().parents[2] / "deploy" / "build"
DATA = Path(__file__).resolve().parents[2] / "kplane" / "api" / "data"


@pytest.fixture(scope="module")
def build() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        yield importlib.import_module("protobuf_table")


@pytest.mark.parametrize(
    ("package", "name"),
    [
        ("k8s.io/api/apps/v1", "io.k8s.api.apps.v1.Deployment"),
        ("k8s.io/apimachinery/pkg/apis/meta/v1", "io.k8s.apimachinery.pkg.apis.meta.v1.Deployment"),
        ("k8s.io/kube-aggregator/pkg/apis/apiregistration/v1",
         "io.k8s.kube-aggregator.pkg.apis.apiregistration.v1.Deployment"),
    ],
)  # fmt: skip
def test_messages_are_named_as_definitions_are(build: ModuleType, package: str, name: str) -> None:
    assert build.message_name(package, "Deployment") == name


@pytest.mark.slow
def test_the_table_is_one_message_to_a_line_and_the_same_each_time(build: ModuleType, tmp_path: Path) -> None:
    build.write(tmp_path / "data" / "protobuf.json")

    text = (tmp_path / "data" / "protobuf.json").read_text()
    assert text == (DATA / "protobuf.json").read_text()
    assert text.count("\n") == len(json.loads(text)) + 2
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["protobuf.json"]


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        pytest.param(b"#!/bin/sh\nexit\n" * 10, "is no 64-bit little-endian ELF file", id="script"),
        pytest.param(b"\x7fELF\x02\x01" + bytes(200), "has no table of Go types", id="not-go"),
    ],
)
def test_a_program_of_another_kind_stops_the_build(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, complaint: str
) -> None:
    program = tmp_path / "kubectl"
    program.write_bytes(content)
    monkeypatch.setattr(build, "source", lambda: program)

    with pytest.raises(SystemExit, match=complaint):
        build.write(tmp_path / "protobuf.json")

    assert not (tmp_path / "protobuf.json").exists()


def test_the_programs_release_is_that_of_the_definitions(build: ModuleType) -> None:
    definitions = importlib.import_module("normalise_schema")
    release = build.importlib.metadata.version(build.DISTRIBUTION)

    assert definitions.RELEASE.startswith("v" + release.rpartition(".")[0])
