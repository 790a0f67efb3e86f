"""Modules that are imported when they are first used."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from kplane.runtime.late import late


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that nobody has imported; its code leaves a file behind."""
    name = "kplane_module_for_late"
    (tmp_path / f"{name}.py").write_text("open(__file__ + '.ran', 'w').close()\nVALUE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


def test_a_module_runs_when_something_of_it_is_asked_for(module: str, tmp_path: Path) -> None:
    found = late(module)
    ran = [*tmp_path.glob("*.ran")]

    assert found.VALUE == 7
    assert not ran
    assert [*tmp_path.glob("*.ran")]
    del sys.modules[module]


def test_a_module_that_is_there_already_is_that_one(module: str) -> None:
    first = late(module)

    assert late(module) is first
    del sys.modules[module]


def test_a_module_that_does_not_exist_is_noticed_at_once() -> None:
    with pytest.raises(ModuleNotFoundError, match="kplane_no_such_module"):
        late("kplane_no_such_module")
