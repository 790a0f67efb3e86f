"""TLS towards what is addressed by IP: certificates of pods and nodes cannot be verified by name."""

from __future__ import annotations

import ssl


def unverified() -> ssl.SSLContext:
    """Any certificate will do, as upstream's proxy transport has it."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
