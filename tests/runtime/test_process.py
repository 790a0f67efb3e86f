"""Process life: signals end a component in order, a Fatal is one line and status 1."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys

import pytest

from kplane.runtime.process import Fatal, FlagParser, flag_bool, flag_duration, run

WAITING = """
import asyncio, sys
from kplane.runtime.process import run

async def main():
    try:
        print("up", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cleaned", flush=True)

sys.exit(run("component", main))
"""


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_lets_the_component_clean_up(number: int) -> None:
    with subprocess.Popen([sys.executable, "-c", WAITING], stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "up\n"
        os.kill(child.pid, number)
        rest = child.stdout.read()

    assert rest == "cleaned\n"
    assert child.returncode == 0


def test_fatal_is_one_line_and_status_1(capsys: pytest.CaptureFixture[str]) -> None:
    async def main() -> None:
        raise Fatal("etcd cannot be reached; start it")

    assert run("kplane apiserver", main) == 1
    assert capsys.readouterr().err == "kplane apiserver: etcd cannot be reached; start it\n"


def test_unknown_flag_is_a_fatal() -> None:
    with pytest.raises(Fatal, match="unrecognized arguments: --nonsense; see --help"):
        FlagParser("kplane apiserver", "").parse_args(["--nonsense"])


@pytest.mark.parametrize(("text", "value"), [("true", True), ("F", False), ("1", True)])
def test_boolean_flags_read_as_in_go(text: str, value: bool) -> None:
    assert flag_bool(text) is value


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("15s", 15), ("1m30s", 90), ("500ms", 0.5), ("1.5h", 5400), ("0", 0), ("0s", 0), (".5s", 0.5)],
)
def test_durations_are_read_as_go_reads_them(text: str, seconds: float) -> None:
    assert flag_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "15", "soon", "1d", "5s later"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError):
        flag_duration(text)
