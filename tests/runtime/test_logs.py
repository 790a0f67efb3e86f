"""Lines of a component's log."""

from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from kplane.runtime import logs


@pytest.fixture(autouse=True)
def former_handlers() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_has_klogs_form(capsys: pytest.CaptureFixture[str]) -> None:
    logs.setup()

    logging.getLogger("some").info("scaled key=%s", "default/web")

    line = r"I\d{4} \d\d:\d\d:\d\d\.\d{6} +\d+ test_logs\.py:\d+\] scaled key=default/web\n"
    assert re.fullmatch(line, capsys.readouterr().err)


@pytest.mark.parametrize(("verbosity", "shown"), [(2, False), (4, True)])
def test_detail_is_shown_from_level_four_on(
    capsys: pytest.CaptureFixture[str], verbosity: int, shown: bool
) -> None:
    logs.setup(verbosity)

    logging.getLogger("some").debug("detail")

    assert ("detail" in capsys.readouterr().err) is shown


def test_lines_go_where_stderr_is_now(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", first)
    logs.setup()
    first.close()
    monkeypatch.setattr(sys, "stderr", second)

    logging.getLogger("some").info("here")

    assert second.getvalue().endswith("here\n")
