"""ClusterTrustBundles: certificates of authorities, for Pods to trust.

Source: upstream's `pkg/apis/certificates/validation`. Bundles themselves are never part of a fault.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator, Mapping

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from kplane.api import names
from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from .immutable import unchanged
from .signers import bundle_name_rule, validate_signer
from .strategy import Strategy

_MAX_SIZE = 1024 * 1024
_OMITTED = "<value omitted>"
_BLOCK = re.compile(rb"-----BEGIN ([^-\n]+)-----\r?\n([^-]*)-----END \1-----")


def _any_name(name: str) -> names.Faults:
    """The strategy's own validation looks at the name, which depends on the signer."""
    return ()


class ClusterTrustBundleStrategy(Strategy):
    immutable_spec_generation = True
    unconditional_update = False
    name_rule = staticmethod(_any_name)
    selectable = ("spec.signerName",)

    def validate(self, obj: Object, path: Path) -> Iterator[FieldError]:
        yield from _validate(obj, None, path)

    def validate_change(self, new: Object, old: Object, path: Path) -> Iterator[FieldError]:
        now, was = new.get("spec") or {}, old.get("spec") or {}
        yield from _validate(new, was.get("trustBundle", ""), path)
        yield from unchanged(now.get("signerName"), was.get("signerName"), path.spec.signerName)

    def fields(self, obj: Object) -> Mapping[str, str]:
        return {"spec.signerName": obj["spec"].get("signerName", "")}


def _validate(obj: Object, known: str | None, path: Path) -> Iterator[FieldError]:
    """`known`: a bundle that has been looked at before."""
    spec, name = obj.get("spec") or {}, obj["metadata"].get("name", "")
    signer = spec.get("signerName") or ""
    for text in bundle_name_rule(signer)(name) if name else ():
        yield path.metadata.name.invalid(name, text)
    if signer:
        yield from validate_signer(signer, path.spec.signerName)
    if spec.get("trustBundle", "") != known:
        yield from _validate_bundle(spec.get("trustBundle", "").encode(), path.spec.trustBundle)


def _validate_bundle(bundle: bytes, path: Path) -> Iterator[FieldError]:
    if len(bundle) > _MAX_SIZE:
        yield path.too_long(_MAX_SIZE)
        return
    found: dict[bytes, list[int]] = defaultdict(list)
    wrong = False
    for index, match in enumerate(_BLOCK.finditer(bundle)):
        der, fault = _authority(match)
        if fault:
            wrong = True
            yield path.invalid(_OMITTED, f"entry {index} {fault}")
        else:
            found[der].append(index)
    if wrong:
        return
    if not found:
        yield path.invalid(_OMITTED, "at least one trust anchor must be provided")
    for indexes in found.values():
        if len(indexes) > 1:
            listed = " ".join(map(str, indexes))
            yield path.invalid(_OMITTED, f"duplicate trust anchor (indices [{listed}])")


def _authority(block: re.Match[bytes]) -> tuple[bytes, str]:
    """The certificate of a PEM block, and what is wrong with it."""
    kind = block.group(1).decode(errors="replace")
    if kind != "CERTIFICATE":
        return b"", f"has bad block type: {kind}"
    if b":" in block.group(2):
        return b"", "has PEM block headers"
    try:
        certificate = x509.load_pem_x509_certificate(block.group(0) + b"\n")
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
    except x509.ExtensionNotFound:
        return b"", "does not have the CA bit set"
    except (ValueError, UnsupportedAlgorithm):
        return b"", "does not parse as X.509"
    if not constraints.value.ca:
        return b"", "does not have the CA bit set"
    return certificate.tbs_certificate_bytes + certificate.signature, ""
