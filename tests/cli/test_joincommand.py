"""`kplane join`: how it is given its token."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.cli.joincommand import token_of
from kplane.runtime.process import Fatal

TOKEN = "abcdef.0123456789abcdef"


def test_a_token_may_be_in_a_file(tmp_path: Path) -> None:
    file = tmp_path / "token"
    file.write_text(f"{TOKEN}\n")

    assert token_of("", file) == TOKEN
    assert token_of(TOKEN, None) == TOKEN


def test_a_token_is_given_once(tmp_path: Path) -> None:
    with pytest.raises(Fatal, match="not both") as refused:
        token_of(TOKEN, tmp_path / "token")

    assert TOKEN not in str(refused.value)


@pytest.mark.parametrize("content", [pytest.param(None, id="missing"), pytest.param(b"\xff", id="not-text")])
def test_a_file_that_holds_no_token_is_told(tmp_path: Path, content: bytes | None) -> None:
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(Fatal, match=f"cannot read --token-file {file}"):
        token_of("", file)
