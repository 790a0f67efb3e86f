"""What a container said last, from its message file or its log."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kplane.kubelet import labels
from kplane.kubelet.runtime.interface import ContainerState
from kplane.kubelet.termination import message

from .support import pod_of, run_of

STAMP = "2026-01-01T00:00:00.000000000Z stdout"


@pytest.mark.parametrize(
    ("log", "expected"),
    [
        pytest.param(f"{STAMP} F DONE\n", "DONE\n", id="whole-line"),
        pytest.param(f"{STAMP} P DONE\n", "DONE", id="without-line-end"),
        pytest.param(f"{STAMP} P one \n{STAMP} F line\n", "one line\n", id="in-parts"),
        pytest.param("torn\n", "", id="not-a-log-line"),
    ],
)
def test_end_of_the_log_stands_in_for_a_message_as_it_was_written(
    tmp_path: Path, log: str, expected: str
) -> None:
    path = tmp_path / "0.log"
    path.write_text(log)
    ended = run_of(pod_of(), "web", ContainerState.EXITED, exit_code=1)
    policy = {labels.MESSAGE_POLICY: "FallbackToLogsOnError"}

    assert message(replace(ended, log_path=str(path), annotations=policy)) == expected
