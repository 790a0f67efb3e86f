"""The committing thread: what was asked for is done, in order, and faults come back."""

from __future__ import annotations

import asyncio
import sqlite3
from pathlib import Path

import pytest

from kplane.apiserver.storage.sqlite_committer import Committer
from kplane.apiserver.storage.sqlite_file import connect


@pytest.fixture
def connection(tmp_path: Path) -> sqlite3.Connection:
    made = connect(tmp_path / "file.db")
    made.execute("CREATE TABLE numbers (number INTEGER)")
    return made


async def test_what_is_committed_others_see(connection: sqlite3.Connection, tmp_path: Path) -> None:
    committer = Committer(connection)
    connection.execute("BEGIN")
    connection.execute("INSERT INTO numbers VALUES (1)")
    await committer.commit()
    committer.close()

    assert connect(tmp_path / "file.db").execute("SELECT * FROM numbers").fetchall() == [(1,)]


async def test_a_fault_is_raised_and_the_thread_goes_on(connection: sqlite3.Connection) -> None:
    connection.close()
    committer = Committer(connection)
    for _ in range(2):
        with pytest.raises(sqlite3.ProgrammingError):
            await committer.commit()
    committer.close()


async def test_nobody_need_wait_for_a_commit(connection: sqlite3.Connection) -> None:
    committer = Committer(connection)
    abandoned = committer.commit()
    abandoned.cancel()
    await asyncio.wait_for(committer.commit(), 5)
    committer.close()

    assert not connection.in_transaction
