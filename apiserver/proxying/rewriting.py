"""Addresses in answers: what a backend writes as its own root is below the proxy's path for the client.

Rules: apimachinery `pkg/util/proxy/transport.go`. An address on another host, or a relative one, stays.
"""

from __future__ import annotations

import html
import posixpath
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit

MAX_TAG = 64 * 1024
"""Bytes of one tag; a longer one passes as it is."""

LINKS: dict[str, frozenset[str]] = {
    tag: frozenset(attributes.split())
    for tag, attributes in {
        "a": "href",
        "applet": "codebase",
        "area": "href",
        "audio": "src",
        "base": "href",
        "blockquote": "cite",
        "body": "background",
        "button": "formaction",
        "command": "icon",
        "del": "cite",
        "embed": "src",
        "form": "action",
        "frame": "longdesc src",
        "head": "profile",
        "html": "manifest",
        "iframe": "longdesc src",
        "img": "longdesc src usemap",
        "input": "src usemap formaction",
        "ins": "cite",
        "link": "href",
        "object": "classid codebase data usemap",
        "q": "cite",
        "script": "src",
        "source": "src",
        "video": "poster src",
    }.items()
}
"""Attributes that hold addresses, by tag."""

_RAW_TEXT = {
    name: re.compile(rb"</" + name, re.IGNORECASE)
    for name in (b"script", b"style", b"textarea", b"title", b"xmp", b"iframe", b"noembed", b"noframes")
}
_COMMENT_END = re.compile(rb"-->")
_COMMENT_STARTS = (b"<", b"<!", b"<!-")
MAX_END = len(b"</noframes") - 1
"""Bytes of the longest end, without its last one."""

_TAG = re.compile(rb"<([a-zA-Z][^\s/>]*)")
_MARKUP = re.compile(
    rb"""(?P<comment><!--)|</[^>]*+>|<[!?][^>]*+>|<[a-zA-Z][^"'>]*+(?:"[^"]*+"[^"'>]*+|'[^']*+'[^"'>]*+)*+>"""
)
_LONE = re.compile(rb"<[^a-zA-Z/!?]")
# Possessive, and starting only where a run of blanks does: linear in what a hostile page may hold.
_ATTRIBUTE = re.compile(
    rb"""(?<![\s/])(?P<head>[\s/]++(?P<name>[^\s=>/"']++)\s*+=\s*+)(?P<value>"[^"]*+"|'[^']*+'|[^\s>"']++)"""
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
        self._until: re.Pattern[bytes] | None = None
        """What ends the comment or the raw text that we are in."""
        self._raw = False

    def feed(self, data: bytes) -> bytes:
        data, done = self._held + data, 0
        found: list[bytes] = []
        while (end := self._next(data, done)) > done:
            piece = data[done:end]
            found.append(self._markup(piece) if piece[:1] == b"<" and not self._raw else piece)
            done = end
        self._held = data[done:]
        return b"".join(found)

    def close(self) -> bytes:
        """What was held back."""
        held, self._held = self._held, b""
        return held

    def _next(self, data: bytes, done: int) -> int:
        """Where the next piece ends; `done` if that is not known yet. Sets whether the piece is raw text."""
        self._raw = bool(self._until)
        if self._until:
            return self._raw_end(data, done)
        if data[done : done + 1] != b"<":
            start = data.find(b"<", done)
            return len(data) if start < 0 else start
        if data[done : done + 4] in _COMMENT_STARTS:
            return done
        if found := _MARKUP.match(data, done) or _LONE.match(data, done):
            return found.end()
        return done if len(data) - done <= MAX_TAG else len(data)

    def _raw_end(self, data: bytes, done: int) -> int:
        end = self._until.search(data, done) if self._until else None
        if end is None:
            # All but what may be the beginning of the end.
            return max(len(data) - MAX_END, done)
        was_comment, self._until = self._until is _COMMENT_END, None
        if was_comment:
            return end.end()
        # The end tag is markup of its own.
        return self._next(data, done) if end.start() == done else end.start()

    def _markup(self, tag: bytes) -> bytes:
        if tag == b"<!--":
            self._until = _COMMENT_END
            return tag
        found = _TAG.match(tag)
        if found is None:
            return tag
        name = found[1].lower()
        if name in _RAW_TEXT and not tag.endswith(b"/>"):
            self._until = _RAW_TEXT[name]
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
