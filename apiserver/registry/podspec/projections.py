"""Projected volumes: several sources below one path.

Rules and wording: upstream's `core/validation/validation.go`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object

from ..labels import validate_selector
from ..signers import bundle_name_rule, signer_of_bundle, validate_signer
from .files import local_path, validate_downward_items, validate_key_paths, validate_mode
from .known import Known

_SECONDS = (600, 1 << 32)
_KEY_TYPES = ("RSA3072", "RSA4096", "ECDSAP256", "ECDSAP384", "ECDSAP521", "ED25519")
_CERTIFICATE_PATHS = ("credentialBundlePath", "keyPath", "certificateChainPath")
_HOUR, _DAY = 3600, 86400
_SOURCES = (
    "secret",
    "configMap",
    "downwardAPI",
    "serviceAccountToken",
    "clusterTrustBundle",
    "podCertificate",
)


_SOUND = Known()
"""Nearly every Pod has the same such volume, that of its token."""


def validate_projected(volume: Object, path: Path) -> Iterable[FieldError]:
    return _SOUND.look(volume, _validate(volume, path))


def _validate(volume: Object, path: Path) -> Iterator[FieldError]:
    yield from validate_mode(volume.get("defaultMode"), path.defaultMode)
    taken: set[str] = set()
    for index, source in enumerate(volume.get("sources") or ()):
        here = path.sources[index]
        for kind in _SOURCES:
            if (part := source.get(kind)) is not None:
                yield from _validate_part(kind, part, here.child(kind))
                yield from _validate_places(kind, part, taken, path)
        if sum(source.get(kind) is not None for kind in _SOURCES) > 1:
            yield here.forbidden("may not specify more than 1 volume type per source")


def _validate_part(kind: str, part: Object, path: Path) -> Iterator[FieldError]:
    match kind:
        case "secret" | "configMap":
            if not part.get("name"):
                yield path.name.required()
            yield from validate_key_paths(part.get("items") or [], path.items)
        case "downwardAPI":
            yield from validate_downward_items(part.get("items") or [], path.items)
        case "serviceAccountToken":
            yield from _validate_token(part, path)
        case "clusterTrustBundle":
            yield from _validate_bundle(part, path)
        case _:
            yield from _validate_certificate(part, path)


def _validate_places(kind: str, part: Object, taken: set[str], path: Path) -> Iterator[FieldError]:
    """No two sources write one file; a token's is not looked at."""
    match kind:
        case "serviceAccountToken":
            places = []
        case "clusterTrustBundle":
            places = [part.get("path", "")]
        case "podCertificate":
            places = [part.get(name, "") for name in _CERTIFICATE_PATHS]
        case _:
            places = [item.get("path", "") for item in part.get("items") or ()]
    for place in filter(None, places):
        if place in taken:
            shown = part.get("name", "") if kind in ("secret", "configMap") else place
            yield path.invalid(shown, "conflicting duplicate paths")
        taken.add(place)


def _validate_token(token: Object, path: Path) -> Iterator[FieldError]:
    shortest, longest = _SECONDS
    if not token.get("path"):
        yield path.path.required()
    else:
        yield from local_path(token["path"], path.path)
    seconds = token.get("expirationSeconds", _HOUR)
    if seconds < shortest:
        yield path.expirationSeconds.invalid(seconds, "may not specify a duration less than 10 minutes")
    if seconds > longest:
        text = "may not specify a duration larger than 2^32 seconds"
        yield path.expirationSeconds.invalid(seconds, text)


def _validate_bundle(bundle: Object, path: Path) -> Iterator[FieldError]:
    name, signer, selector = bundle.get("name"), bundle.get("signerName"), bundle.get("labelSelector")
    if name is not None and signer is not None:
        yield path.invalid(bundle, "only one of name and signerName may be used")
    elif name is not None:
        if not name:
            yield path.name.required("must be a valid object name")
        for text in bundle_name_rule(signer_of_bundle(name))(name):
            yield path.name.invalid(name, f"not a valid clustertrustbundlename: {text}")
        if selector is not None:
            yield path.labelSelector.invalid(selector, "labelSelector must be unset if name is specified")
    elif signer is not None:
        if not signer:
            yield path.signerName.required("must be a valid signer name")
        yield from validate_signer(signer, path.signerName)
        yield from validate_selector(selector or {}, path.labelSelector)
    else:
        yield path.required("either name or signerName must be specified")
    if not bundle.get("path"):
        yield path.path.required()
    yield from local_path(bundle.get("path", ""), path.path)


def _validate_certificate(source: Object, path: Path) -> Iterator[FieldError]:
    kind = source.get("keyType", "")
    if kind not in _KEY_TYPES:
        yield path.keyType.not_supported(kind, _KEY_TYPES)
    signer = source.get("signerName", "")
    yield from validate_signer(signer, path.signerName)
    yield from validate_lifetime(source.get("maxExpirationSeconds"), signer, path.maxExpirationSeconds)
    places = [name for name in _CERTIFICATE_PATHS if source.get(name)]
    for name in places:
        yield from local_path(source[name], path.child(name))
    if not places:
        text = "specify at least one of credentialBundlePath, keyPath, and certificateChainPath"
        yield path.required(text)


def validate_lifetime(seconds: int | None, signer: str, path: Path) -> Iterator[FieldError]:
    """Seconds that a certificate of a pod may live: an hour to 91 days, of Kubernetes' own signers a day."""
    if seconds is None:
        return
    longest = _DAY if signer.partition("/")[0].endswith("kubernetes.io") else 91 * _DAY
    if seconds < _HOUR:
        yield path.invalid(seconds, f"if provided, maxExpirationSeconds must be >= {_HOUR}")
    if seconds > longest:
        yield path.invalid(seconds, f"if provided, maxExpirationSeconds must be <= {longest}")
