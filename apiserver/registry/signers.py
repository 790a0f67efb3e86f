"""Names of signers of certificates: `example.com/signer-name`.

Rules and wording: upstream's `pkg/apis/certificates/validation` and `pkg/apis/core/validation/names.go`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api import names
from kplane.api.field import FieldError, Path

_FORM = "must be a fully qualified domain and path of the form 'example.com/signer-name'"
_MAX_DOMAIN, _MAX = 253, 253 + 1 + 253 + 1 + 63


def validate_signer(signer: str, path: Path) -> Iterator[FieldError]:
    if not signer:
        yield path.required()
        return
    domain, separator, rest = signer.partition("/")
    if not separator or "/" in rest:
        yield path.invalid(signer, _FORM)
        return
    if len(domain) > _MAX_DOMAIN:
        yield path.too_long(_MAX_DOMAIN)
    yield from _validate_labels(domain, names.dns_label, path)
    if "." not in domain:
        yield path.invalid(domain, "should be a domain with at least two segments separated by dots")
    yield from _validate_labels(rest, names.dns_subdomain, path)
    if len(signer) > _MAX:
        yield path.too_long(_MAX)


def _validate_labels(text: str, rule: names.NameRule, path: Path) -> Iterator[FieldError]:
    """Up to the first that is wrong."""
    for label in text.split("."):
        if faults := rule(label):
            for fault in faults:
                yield path.invalid(text, f'validating label "{label}": {fault}')
            return


def bundle_name_rule(signer: str) -> names.NameRule:
    """What a ClusterTrustBundle of that signer may be called; empty: of none."""
    prefix = signer.replace("/", ":") + ":"

    def rule(name: str) -> names.Faults:
        if not signer and ":" in name:
            return ('ClusterTrustBundle without signer name must not have ":" in its name',)
        if signer and not name.startswith(prefix):
            return (f"ClusterTrustBundle for signerName {signer} must be named with prefix {prefix}",)
        return names.dns_subdomain(name.removeprefix(prefix) if signer else name)

    return rule


def signer_of_bundle(name: str) -> str:
    """The signer that the name of a ClusterTrustBundle tells of; empty: none."""
    parts = name.split(":")
    return "/".join(parts[:-1]) if len(parts) > 1 else ""
