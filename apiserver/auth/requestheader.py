"""Users that a front proxy names in headers, having proved with its certificate that it is the front proxy.

Source: apiserver `pkg/authentication/request/headerrequest`. Nobody else's headers are looked at, and
whoever comes through the proxy cannot add headers: the proxy sets them anew.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import unquote

from kplane.runtime.authorities import Authorities

from .certificates import common_name, verified
from .identity import Credentials, Refused
from .settings import RequestHeaderSettings
from .user import User, authenticated


class RequestHeaders:
    def __init__(self, settings: RequestHeaderSettings, authorities: Authorities) -> None:
        self._settings = settings
        self._authorities = authorities

    async def authenticate(self, credentials: Credentials) -> User | None:
        if credentials.certificate is None:
            return None
        certificate = verified(self._authorities, credentials.certificate)
        names = self._settings.allowed_names
        if names and common_name(certificate) not in names:
            raise Refused(f"x509: subject with cn={common_name(certificate)} is not in the allowed list")
        name = _first(credentials, self._settings.username_headers)
        if not name:
            return None
        groups = tuple(
            value
            for header in self._settings.group_headers
            for value in _values(credentials, header)
            if value
        )
        uid = _first(credentials, self._settings.uid_headers)
        return authenticated(name, uid, groups, self._extra(credentials))

    def _extra(self, credentials: Credentials) -> dict[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        for prefix in (text.lower() for text in self._settings.extra_headers_prefix):
            for name, value in credentials.headers:
                text = name.decode("latin-1").lower()
                if text.startswith(prefix):
                    key = unquote(text.removeprefix(prefix)).lower()
                    extra[key] = (*extra.get(key, ()), value.decode("latin-1"))
        return extra


def _values(credentials: Credentials, header: str) -> list[str]:
    wanted = header.lower().encode("latin-1")
    return [value.decode("latin-1") for name, value in credentials.headers if name == wanted]


def _first(credentials: Credentials, headers: Sequence[str]) -> str:
    """The first value that is there; later headers are only asked where earlier ones are missing."""
    found = (value for header in headers for value in _values(credentials, header)[:1] if value)
    return next(found, "")
