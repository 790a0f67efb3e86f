"""Addresses in answers: what a backend writes as its own root is below the proxy's path for the client.

Rules: apimachinery `pkg/util/proxy/transport.go`. An address on another host, or a relative one, stays.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

MAX_TAG = 64 * 1024
"""Bytes of one tag; a longer one passes as it is."""

LINKS: dict[str, frozenset[str]] = {
    tag: frozenset(attributes.split())
    for tag, attributes in {
        "a": "href", "applet": "codebase", "area": "href", "audio": "src", "base": "href", "blockquote": "cite",
        "body": "background", "button": "formaction", "command": "icon", "del": "cite", "embed": "src",
        "form": "action", "frame": "longdesc src", "head": "profile", "html": "manifest",
        "iframe": "longdesc src", "img": "longdesc src usemap", "input": "src usemap formaction", "ins": "cite",
        "link": "href", "object": "classid codebase data usemap", "q": "cite", "script": "src", "source": "src",
        "video": "poster src",
    }.items()
}  # fmt: skip
"""Attributes that hold addresses, by tag."""

_RAW_TEXT = frozenset(
    {b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes"}
)
_TAG = re.compile(rb"<([a-zA-Z][^\s/>]*)")
_ATTRIBUTE = re.compile(
    rb"""(?P<head>[\s/]+(?P<name>[^\s=>/"']+)\s*=\s*)(?P<value>"[^"]*"|'[^']*'|[^\s>"']+)"""
)


@dataclass(frozen=True)
class Rewriter:
    """`prefix` is the path under which the client reaches the backend's root, `backend` the backend's
    host:port and `asked` the Host that the client asked for."""

    prefix: str
    backend: str
    asked: str

    def address(self, text: str) -> str:
        """The address for the client. Raises ValueError for one that cannot be read."""
        parts = urlsplit(text)
        _ = parts.port
        elsewhere = parts.netloc not in ("", self.backend, self.asked)
        if elsewhere or not parts.path.startswith("/"):
            return text
        if not (parts.netloc and parts.netloc == self.asked):
            parts = parts._replace(scheme="", netloc="")
        if parts.path.startswith(self.prefix):
            return urlunsplit(parts)
        path = posixpath.normpath(f"{self.prefix}/{parts.path.lstrip('/')}")
        if parts.path.endswith("/") and not path.endswith("/"):
            path += "/"
        return urlunsplit(parts._replace(path=path))


class HtmlRewriter:
    """Rewrites the addresses in a page that arrives in pieces; holds back one tag at most."""

    def __init__(self, rewriter: Rewriter) -> None:
        self._rewriter = rewriter
        self._held = b""
        self._until = b""
        """What ends the comment or the raw text that we are in."""

    def feed(self, data: bytes) -> bytes:
        self._held += data
        return b"".join(self._pieces())

    def close(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held

    def _pieces(self) -> Iterator[bytes]:
        while self._held:
            if self._until:
                if not (piece := self._take_raw()):
                    return
                yield piece
                continue
            start = self._held.find(b"<")
            if start != 0:
                cut = len(self._held) if start < 0 else start
                yield self._take(cut)
                continue
            if len(self._held) < 4 or (end := _tag_end(self._held)) < 0:
                if len(self._held) <= MAX_TAG:
                    return
                yield self._take(len(self._held))
                continue
            yield self._markup(self._take(end))

    def _take(self, count: int) -> bytes:
        taken, self._held = self._held[:count], self._held[count:]
        return taken

    def _take_raw(self) -> bytes:
        found = self._held.lower().find(self._until)
        if found >= 0:
            # An end tag is markup of its own; the end of a comment belongs to it.
            end = found + (len(self._until) if self._until == b"-->" else 0)
            self._until = b""
            return self._take(end) or self._take(1)
        return self._take(max(len(self._held) - len(self._until) + 1, 0))

    def _markup(self, tag: bytes) -> bytes:
        if tag == b"<!--":
            self._until = b"-->"
            return tag
        found = _TAG.match(tag)
        if found is None:
            return tag
        name = found[1].lower()
        if name in _RAW_TEXT and not tag.endswith(b"/>"):
            self._until = b"</" + name
        wanted = LINKS.get(name.decode("latin-1"))
        if wanted is None:
            return tag
        return found[0] + _ATTRIBUTE.sub(lambda hit: self._attribute(hit, wanted), tag[found.end() :])

    def _attribute(self, hit: re.Match[bytes], wanted: frozenset[str]) -> bytes:
        if hit["name"].lower().decode("latin-1") not in wanted:
            return hit[0]
        raw = hit["value"]
        text = html.unescape((raw[1:-1] if raw[:1] in b"\"'" else raw).decode("utf-8", "surrogateescape"))
        try:
            address = self._rewriter.address(text)
        except ValueError:
            return hit[0]
        if address == text:
            return hit[0]
        return hit["head"] + b'"' + html.escape(address).encode("utf-8", "surrogateescape") + b'"'


def _tag_end(data: bytes) -> int:
    """How many bytes the markup has that `data` begins with; -1 if its end has not arrived."""
    if data.startswith(b"<!--"):
        return 4
    if _TAG.match(data) is None:
        # An end tag, a declaration, or a lone "<".
        end = data.find(b">")
        return end + 1 if data[1:2] in b"/!?" and end >= 0 else -1 if data[1:2] in b"/!?" else 1
    quote = 0
    for place, byte in enumerate(data):
        if quote:
            quote = 0 if byte == quote else quote
        elif byte in b"\"'":
            quote = byte
        elif byte == ord(">"):
            return place + 1
    return -1
