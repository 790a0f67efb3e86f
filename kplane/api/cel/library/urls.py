"""`url('https://…')`: absolute URLs and absolute paths, as Go's `url.ParseRequestURI`."""

from __future__ import annotations

import re
from collections.abc import Callable
from urllib.parse import quote, unquote, unquote_plus

from .. import charges
from ..errors import EvaluationError
from ..named import URL
from ..overload import Overload, function, method
from ..types import BOOL, STRING, list_of, map_of
from ..values import Opaque

_SHAPE = re.compile(
    r"(?:([A-Za-z][A-Za-z0-9+.-]*):)?(?://(?:([^/?#@]*)@)?([^/?]*))?([^?]*)(?:\?(.*))?", re.DOTALL
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_HOST = re.compile(r"(?:\[([0-9A-Fa-f:.]+(?:%25[^\]]+)?)\]|([^\[\]:\s<>\"\\^`{|}]*))(?::([0-9]*))?")
_SAFE_PATH = "/:@!$&'()*+,;=~-._%"


class Url(Opaque):
    """The parts of a URL; `raw_path` is still escaped."""

    __slots__ = ("host", "port", "query", "raw_path", "scheme", "text")
    type_name = URL.name

    def __init__(self, text: str, scheme: str, host: str, raw_path: str, query: str) -> None:
        self.text = text
        self.scheme = scheme
        self.host = host
        self.raw_path = raw_path
        self.query = query
        match = _HOST.fullmatch(host)
        self.port = (match[3] or "") if match else ""

    @property
    def hostname(self) -> str:
        match = _HOST.fullmatch(self.host)
        return (match[1] or match[2] or "") if match else ""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Url) and self.text == other.text

    def __hash__(self) -> int:
        return hash(self.text)


def parse_url(text: str) -> Url:
    """Raises ValueError with Go's words."""
    fault = f'parse "{text}": '
    if not text:
        raise ValueError(fault + "empty url")
    if _CONTROL.search(text):
        raise ValueError("net/url: invalid control character in URL")
    match = _SHAPE.fullmatch(text)
    if match is None or (not match[1] and not text.startswith("/")) or text.startswith(":"):
        raise ValueError(
            fault + ("missing protocol scheme" if text.startswith(":") else "invalid URI for request")
        )
    scheme, host, path, query = (match[1] or "").lower(), match[3] or "", match[4] or "", match[5] or ""
    if not scheme and text.startswith("//") is False:
        host = ""
    if scheme and match[3] is None and not path.startswith("/"):
        raise ValueError(fault + "invalid URI for request")
    if bad := _BAD_ESCAPE.search(path) or _BAD_ESCAPE.search(host):
        raise ValueError(f'{fault}invalid URL escape "{bad.string[bad.start() : bad.start() + 3]}"')
    if _HOST.fullmatch(host) is None:
        raise ValueError(
            fault + "invalid character in host name" if ":" not in host else f"{fault}invalid port in host"
        )
    return Url(text, scheme, host, path, query)


def _url(text: str) -> Url:
    try:
        return parse_url(text)
    except ValueError as error:
        raise EvaluationError(f"URL parse error during conversion from string: {error}") from None


def _is_url(text: str) -> bool:
    try:
        parse_url(text)
    except ValueError:
        return False
    return True


def _escaped_path(url: Url) -> str:
    return quote(url.raw_path, safe=_SAFE_PATH)


def _query(url: Url) -> dict[str, list[str]]:
    """Faulty pairs are left out, as Go's `Query` does."""
    found: dict[str, list[str]] = {}
    for pair in url.query.split("&"):
        if not pair or ";" in pair or _BAD_ESCAPE.search(pair):
            continue
        key, _, value = pair.partition("=")
        found.setdefault(unquote_plus(key), []).append(unquote_plus(value))
    return found


def _part(name: str) -> Callable[[Url], str]:
    return lambda url: str(getattr(url, name))


OVERLOADS: list[Overload] = [
    function("url", (STRING,), URL, _url, charges.reads()),
    function("isURL", (STRING,), BOOL, _is_url),
    method("getScheme", (URL,), STRING, _part("scheme")),
    method("getHost", (URL,), STRING, lambda url: unquote(url.host)),
    method("getHostname", (URL,), STRING, _part("hostname")),
    method("getPort", (URL,), STRING, _part("port")),
    method("getEscapedPath", (URL,), STRING, _escaped_path),
    method("getQuery", (URL,), map_of(STRING, list_of(STRING)), _query),
]
