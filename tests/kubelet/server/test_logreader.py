"""Reading container logs: tail, since, limits, partial lines, streams, and following a growing file."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplane.kubelet.server.logreader import LogOptions, read_log, tail_offset

LINES = (
    "2026-01-01T00:00:01.000000000Z stdout F one\n"
    "2026-01-01T00:00:02Z stderr F two\n"
    "2026-01-01T00:00:02.500000000Z stdout P thr\n"
    "2026-01-01T00:00:03.000000000Z stdout F ee\n"
)


async def ended() -> bool:
    return False


async def read(path: Path, **options: object) -> str:
    chunks = [chunk async for chunk in read_log(path, LogOptions(**options), ended)]  # type: ignore[arg-type]
    return b"".join(chunks).decode()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    path = tmp_path / "0.log"
    path.write_text(LINES)
    return path


@pytest.mark.parametrize(
    ("options", "text"),
    [
        pytest.param({}, "one\ntwo\nthree\n", id="everything"),
        pytest.param({"tail": 1}, "ee\n", id="tail counts lines of the file"),
        pytest.param({"tail": 0}, "", id="no line"),
        pytest.param({"tail": 99}, "one\ntwo\nthree\n", id="tail beyond the start"),
        pytest.param({"since": "2026-01-01T00:00:02Z"}, "two\nthree\n", id="since is inclusive"),
        pytest.param({"stream": "stderr"}, "two\n", id="one stream"),
        pytest.param({"limit": 6}, "one\ntw", id="limit in bytes"),
        pytest.param({"timestamps": True, "tail": 1}, "2026-01-01T00:00:03.000000000Z ee\n", id="timestamps"),
        pytest.param({"follow": True}, "one\ntwo\nthree\n", id="follow of an ended container ends"),
    ],
)
async def test_log_options(log: Path, options: dict[str, object], text: str) -> None:
    assert await read(log, **options) == text


async def test_unfinished_last_line_is_held_back(log: Path) -> None:
    with log.open("a") as file:
        file.write("2026-01-01T00:00:04Z stdout F half")

    assert await read(log) == "one\ntwo\nthree\n"


async def test_follow_delivers_what_is_written_until_the_container_ends(log: Path) -> None:
    running = True

    async def is_running() -> bool:
        return running

    reading = read_log(log, LogOptions(follow=True, tail=0), is_running)
    async with asyncio.timeout(10):
        next_chunk = asyncio.ensure_future(anext(reading))
        await asyncio.wait([next_chunk], timeout=0.05)
        with log.open("a") as file:
            file.write("2026-01-01T00:00:05Z stdout F late\n")
        assert await next_chunk == b"late\n"
        running = False
        with log.open("a") as file:
            file.write("2026-01-01T00:00:06Z stdout F last\n")
        assert [chunk async for chunk in reading] == [b"last\n"]


@given(st.lists(st.text(alphabet="ab", max_size=3), max_size=30), st.integers(0, 35))
def test_tail_offset_is_that_of_the_last_lines(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], count: int
) -> None:
    path = tmp_path_factory.mktemp("log") / "log"
    path.write_text("".join(f"{line}\n" for line in lines))

    with path.open("rb") as file:
        file.seek(tail_offset(file, count))
        rest = file.read().decode()

    assert rest.splitlines() == (lines[-count:] if count else [])
