"""Keys that sign and verify service account tokens: RSA (RS256) and ECDSA (ES256, ES384, ES512)."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, TypeAlias

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from jwt.api_jws import PyJWS

from kplane.runtime.process import Fatal

PublicKey: TypeAlias = rsa.RSAPublicKey | ec.EllipticCurvePublicKey
PrivateKey: TypeAlias = rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey

_jws = PyJWS()
_encoder = msgspec.json.Encoder(order="sorted")
_BLOCK = re.compile(rb"-----BEGIN ([A-Z ]+)-----.*?-----END \1-----", re.DOTALL)
_CURVES = {"secp256r1": ("ES256", "P-256"), "secp384r1": ("ES384", "P-384"), "secp521r1": ("ES512", "P-521")}


@dataclass(frozen=True)
class VerifyingKey:
    """`id` tells it from others without revealing it: the hash of its public form."""

    id: str
    algorithm: str
    key: PublicKey


@dataclass(frozen=True)
class SigningKey:
    id: str
    algorithm: str
    key: PrivateKey = field(repr=False)


def load_verifying(paths: Iterable[Path]) -> list[VerifyingKey]:
    """Every key of every file: public, private or certificates. Raises Fatal."""
    found: dict[str, VerifyingKey] = {}
    for path in paths:
        keys = [_public(key) for key in _read(path)]
        if not keys:
            raise Fatal(f"the key file {path} holds no valid public RSA or ECDSA key")
        found |= {key.id: key for key in map(verifying, keys)}
    return list(found.values())


def load_signing(path: Path) -> SigningKey:
    """The first private key of a file. Raises Fatal."""
    for key in _read(path):
        if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
            return signing(key)
    raise Fatal(f"the key file {path} holds no private RSA or ECDSA key")


def verifying(key: PublicKey) -> VerifyingKey:
    """Raises Fatal for a curve that no algorithm goes with."""
    return VerifyingKey(_id(key), _algorithm(key), key)


def signing(key: PrivateKey) -> SigningKey:
    public = verifying(key.public_key())
    return SigningKey(public.id, public.algorithm, key)


def sign(claims: Mapping[str, Any], key: SigningKey) -> str:
    """The compact form of a token."""
    headers = {"kid": key.id, "typ": None}
    return _jws.encode(_encoder.encode(claims), key.key, algorithm=key.algorithm, headers=headers)


def json_web_keys(keys: Sequence[VerifyingKey]) -> dict[str, Any]:
    """The JSON Web Key Set of these keys (RFC 7517)."""
    return {"keys": [_json_web_key(key) for key in keys]}


def _json_web_key(key: VerifyingKey) -> dict[str, str]:
    entry = {"use": "sig", "kty": "RSA", "kid": key.id, "alg": key.algorithm}
    if isinstance(key.key, rsa.RSAPublicKey):
        numbers = key.key.public_numbers()
        return entry | {"n": _number(numbers.n), "e": _number(numbers.e)}
    point, size = key.key.public_numbers(), (key.key.curve.key_size + 7) // 8
    coordinates = {"x": _number(point.x, size), "y": _number(point.y, size)}
    return entry | {"kty": "EC", "crv": _CURVES[key.key.curve.name][1]} | coordinates


def _number(value: int, size: int = 0) -> str:
    return _base64url(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _id(key: PublicKey) -> str:
    form = serialization.PublicFormat.SubjectPublicKeyInfo
    return _base64url(sha256(key.public_bytes(serialization.Encoding.DER, form)).digest())


def _algorithm(key: PublicKey) -> str:
    if isinstance(key, rsa.RSAPublicKey):
        return "RS256"
    if key.curve.name not in _CURVES:
        raise Fatal(f"keys on the curve {key.curve.name} cannot sign tokens: use P-256, P-384 or P-521")
    return _CURVES[key.curve.name][0]


def _read(path: Path) -> list[PublicKey | PrivateKey]:
    try:
        blocks = [(match[1], match[0]) for match in _BLOCK.finditer(path.read_bytes())]
        keys = [_parse(label, block) for label, block in blocks if label != b"EC PARAMETERS"]
    except (OSError, ValueError, TypeError) as error:
        # The library's text could quote the file.
        raise Fatal(f"cannot read the key file {path}: {type(error).__name__}") from error
    kinds = (rsa.RSAPublicKey, ec.EllipticCurvePublicKey, rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)
    return [key for key in keys if isinstance(key, kinds)]


def _parse(label: bytes, block: bytes) -> object:
    if label.endswith(b"PRIVATE KEY"):
        return serialization.load_pem_private_key(block, password=None)
    if label == b"CERTIFICATE":
        return x509.load_pem_x509_certificate(block).public_key()
    return serialization.load_pem_public_key(block)


def _public(key: PublicKey | PrivateKey) -> PublicKey:
    if isinstance(key, (rsa.RSAPrivateKey, ec.EllipticCurvePrivateKey)):
        return key.public_key()
    return key
