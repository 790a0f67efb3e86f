"""Authentication: a request's credentials to a User.

Client certificates (common name is the user, organisations are the groups) and static bearer tokens
(`--token-auth-file`). The first credential that names a user decides; a bad one is refused even where an
anonymous request would be served.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from cryptography import x509
from cryptography.x509.oid import NameOID

from kplane.api.errors import Unauthorized
from kplane.runtime.process import Fatal

from .user import ANONYMOUS, User, authenticated

_CACHED_CERTIFICATES = 4096


class Authenticator:
    """Static tokens and certificates that the TLS layer has verified already."""

    def __init__(self, tokens: Mapping[str, User]) -> None:
        self._tokens = {token.encode(): user for token, user in tokens.items()}
        self._by_certificate: dict[bytes, User] = {}

    def authenticate(self, certificate: bytes | None, authorization: bytes | None) -> User:
        """The user behind a verified certificate (DER) or an `Authorization` header. Raises Unauthorized."""
        if certificate:
            return self._by_certificate.get(certificate) or self._read_certificate(certificate)
        if authorization is None:
            return ANONYMOUS
        scheme, _, token = authorization.partition(b" ")
        if scheme.lower() != b"bearer":
            return ANONYMOUS
        return self._by_token(token.strip())

    def _by_token(self, token: bytes) -> User:
        user = self._tokens.get(token)
        if user is None:
            raise Unauthorized
        return user

    def _read_certificate(self, certificate: bytes) -> User:
        user = user_of_certificate(certificate)
        if len(self._by_certificate) >= _CACHED_CERTIFICATES:
            self._by_certificate.clear()
        self._by_certificate[certificate] = user
        return user


def user_of_certificate(der: bytes) -> User:
    """Common name and organisations of a certificate's subject. Raises Unauthorized if it has no name."""
    subject = x509.load_der_x509_certificate(der).subject
    names = [str(attribute.value) for attribute in subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
    if not names or not names[-1]:
        raise Unauthorized
    groups = (str(entry.value) for entry in subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME))
    return authenticated(names[-1], groups=tuple(groups))


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
