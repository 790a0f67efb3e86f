"""Static bearer tokens from a file (`--token-auth-file`)."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from kplane.runtime.process import Fatal

from .identity import Audiences, Identity, common
from .user import User, authenticated


class StaticTokens:
    """They are good for the API server's own audiences."""

    def __init__(self, tokens: Mapping[str, User], audiences: Audiences = ()) -> None:
        self._tokens = dict(tokens)
        self._audiences = audiences

    async def authenticate_token(self, token: str, audiences: Audiences | None) -> Identity | None:
        user = self._tokens.get(token)
        return for_own_audiences(user, self._audiences, audiences) if user else None


def for_own_audiences(user: User, own: Audiences, asked: Audiences | None) -> Identity | None:
    """The identity that a token which knows no audiences gives: good where the API server is meant."""
    if asked is None or not own:
        return Identity(user)
    meant = common(own, asked)
    return Identity(user, meant) if meant else None


def load_tokens(path: Path) -> dict[str, User]:
    """The users of a `--token-auth-file`: `token,user,uid[,"group1,group2"]` per line. Raises Fatal."""
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return dict(_token_rows(path, csv.reader(file, skipinitialspace=True)))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise Fatal(f"cannot read the token file {path}: {error}") from error


def _token_rows(path: Path, rows: Iterable[list[str]]) -> Iterable[tuple[str, User]]:
    for number, row in enumerate(rows, start=1):
        if not row or row[0].startswith("#"):
            continue
        if len(row) < 3 or not row[0] or not row[1]:
            raise Fatal(f"line {number} of the token file {path} needs at least: token,user,uid")
        groups = tuple(name.strip() for name in row[3].split(",")) if len(row) > 3 and row[3] else ()
        yield row[0].strip(), authenticated(row[1], row[2], groups)
