"""A server's TLS settings, which follow their files: a renewed certificate or authority holds for the next
handshake, without a restart and without touching the connections that are open.

The files are looked at on every handshake, which costs microseconds. Files that cannot be loaded, as in the
middle of a renewal, change nothing until they can.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from kplane.runtime.process import Fatal

if TYPE_CHECKING:
    # Most servers look up no authorities, and do not need what reads certificates.
    from kplane.runtime.authorities import Held

log = logging.getLogger(__name__)

CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""TLS 1.2 suites with forward secrecy and authenticated encryption; TLS 1.3 has no others."""

Stamp = tuple[tuple[int, int, int], ...]


@dataclass(frozen=True)
class TlsFiles:
    """What a server proves itself with, and whom it lets prove themselves."""

    certificate: Path
    key: Path
    client_authorities: Sequence[Path | Held] = ()
    require_client: bool = False

    def stamp(self) -> Stamp:
        """Differs when a file was replaced or written. Raises Fatal for files that are not there."""
        try:
            return tuple(map(_stamp, (self.certificate, self.key, *self.client_authorities)))
        except OSError as error:
            raise Fatal(f"cannot load the serving certificate {self.certificate}: {error}") from error

    def context(self) -> ssl.SSLContext:
        """Raises Fatal on files that cannot be loaded."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers(CIPHERS)
        context.set_alpn_protocols(["http/1.1"])
        try:
            context.load_cert_chain(self.certificate, self.key)
            for authorities in self.client_authorities:
                # Set while none are known, too: a context that is chosen in a handshake does not change it.
                context.verify_mode = ssl.CERT_REQUIRED if self.require_client else ssl.CERT_OPTIONAL
                _trust(context, authorities)
        except (OSError, ssl.SSLError) as error:
            raise Fatal(f"cannot load the serving certificate {self.certificate}: {error}") from error
        return context


def _stamp(source: Path | Held) -> tuple[int, int, int]:
    if not isinstance(source, Path):
        return source.version, 0, 0
    found = source.stat()
    return found.st_mtime_ns, found.st_ino, found.st_size


def _trust(context: ssl.SSLContext, authorities: Path | Held) -> None:
    if isinstance(authorities, Path):
        context.load_verify_locations(authorities)
    elif authorities.pem:
        context.load_verify_locations(cadata=authorities.pem.decode())


class ReloadingTls:
    """`context` is what a listener is made with; each handshake on it uses the files as they are then."""

    def __init__(self, files: TlsFiles) -> None:
        """Raises Fatal on files that cannot be loaded."""
        self._files = files
        # In this order: what changes in between is found by the first handshake.
        self._stamp = files.stamp()
        self._current = self.context = files.context()
        self._complained: Stamp | None = None
        # Called in every handshake, whether or not the client names a server.
        self.context.sni_callback = self._choose

    def _choose(self, connection: ssl.SSLObject, name: str | None, context: ssl.SSLContext) -> None:
        self._look()
        if self._current is not context:
            connection.context = self._current

    def _look(self) -> None:
        try:
            stamp = self._files.stamp()
        except Fatal:
            return  # A file is being replaced: the next handshake finds it.
        if stamp == self._stamp:
            return
        try:
            self._current = self._files.context()
        except Fatal as fault:
            if stamp != self._complained:
                log.warning("%s; the former one stays in use", fault)
            self._complained = stamp
            return
        self._stamp = stamp
        log.info("loaded a changed serving certificate path=%s", self._files.certificate)
