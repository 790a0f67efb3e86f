"""Whether a certificate and a private key belong together: what a TLS Secret is warned of.

Wording: Go's `tls.X509KeyPair`. Nothing of either is ever part of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----\s[^-]*-----END \1-----")
_NO_PAIR = "tls: private key does not match public key"


def pair_fault(certificate: bytes, key: bytes) -> str:
    """Why they are no pair; empty: they are one."""
    blocks = list(_blocks(certificate))
    found = next((pem for kind, pem in blocks if kind == "CERTIFICATE"), None)
    if found is None:
        return _missing("CERTIFICATE", "certificate", blocks)
    blocks = list(_blocks(key))
    private = next((pem for kind, pem in blocks if _is_key(kind)), None)
    if private is None:
        return _missing("PRIVATE KEY", "key", blocks)
    try:
        parsed = x509.load_pem_x509_certificate(found)
    except (ValueError, UnsupportedAlgorithm):
        return "x509: malformed certificate"
    try:
        own = serialization.load_pem_private_key(private, password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        return "tls: failed to parse private key"
    try:
        theirs, ours = parsed.public_key(), own.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return "tls: unknown public key algorithm"
    if type(theirs) is not type(ours):
        return "tls: private key type does not match public key type"
    return "" if theirs == ours else _NO_PAIR


def _blocks(text: bytes) -> Iterator[tuple[str, bytes]]:
    """The PEM blocks of a text, with their types."""
    for match in _BLOCK.finditer(text):
        yield match.group(1).decode(), match.group(0) + b"\n"


def _is_key(kind: str) -> bool:
    return kind == "PRIVATE KEY" or kind.endswith(" PRIVATE KEY")


def _missing(wanted: str, what: str, blocks: list[tuple[str, bytes]]) -> str:
    kinds = [kind for kind, _ in blocks]
    if not kinds:
        return f"tls: failed to find any PEM data in {what} input"
    if kinds == ["CERTIFICATE"]:
        return "tls: found a certificate rather than a key in the PEM for the private key"
    wish = f'"{wanted}" PEM block' if what == "certificate" else f'PEM block with type ending in "{wanted}"'
    if what == "certificate" and len(kinds) == 1 and _is_key(kinds[0]):
        return (
            "tls: failed to find certificate PEM data in certificate input, but did find a private key; PEM"
            " inputs may have been switched"
        )
    listed = " ".join(kinds)
    return (
        f"tls: failed to find {wish} in {what} input after skipping PEM blocks of the following types:"
        f" [{listed}]"
    )
