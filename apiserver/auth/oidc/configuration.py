"""An AuthenticationConfiguration: read from a file, or made of the flags `--oidc-…`.

Unknown fields are refused: a rule that is misspelt must not silently be no rule.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec

from kplane.api.decode import decode_yaml, duplicate_yaml_keys
from kplane.api.decode_error import DecodeError

from ..anonymous import Anonymous
from .settings import OidcSettings

GROUP = "apiserver.config.k8s.io"
VERSIONS = tuple(f"{GROUP}/{version}" for version in ("v1", "v1beta1", "v1alpha1"))
KIND = "AuthenticationConfiguration"
UNPREFIXED = "-"

_UNKNOWN = re.compile(r"Object contains unknown field `(.*?)`(?: - at `\$\.?(.*)`)?").fullmatch


class ConfigurationError(ValueError):
    """The configuration cannot be used; the text says why in upstream's words."""


class Issuer(
    msgspec.Struct,
    frozen=True,
    forbid_unknown_fields=True,
    rename={
        "discovery_url": "discoveryURL",
        "certificate_authority": "certificateAuthority",
        "audience_match_policy": "audienceMatchPolicy",
        "egress_selector_type": "egressSelectorType",
    },
):
    url: str = ""
    discovery_url: str = ""
    certificate_authority: str = ""
    """PEM, written out."""
    audiences: tuple[str, ...] = ()
    audience_match_policy: str = ""
    egress_selector_type: str = ""


class ClaimValidationRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    """A claim and its value, or an expression."""

    claim: str = ""
    required_value: str = ""
    expression: str = ""
    message: str = ""


class PrefixedClaimOrExpression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    claim: str = ""
    prefix: str | None = None
    expression: str = ""


class ClaimOrExpression(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    claim: str = ""
    expression: str = ""


class ExtraMapping(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    key: str = ""
    value_expression: str = ""


class ClaimMappings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    username: PrefixedClaimOrExpression = PrefixedClaimOrExpression()
    groups: PrefixedClaimOrExpression = PrefixedClaimOrExpression()
    uid: ClaimOrExpression = ClaimOrExpression()
    extra: tuple[ExtraMapping, ...] = ()


class UserValidationRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    expression: str = ""
    message: str = ""


class JwtAuthenticator(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    issuer: Issuer = Issuer()
    claim_validation_rules: tuple[ClaimValidationRule, ...] = ()
    claim_mappings: ClaimMappings = ClaimMappings()
    user_validation_rules: tuple[UserValidationRule, ...] = ()


class AnonymousCondition(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    path: str = ""


class AnonymousConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    enabled: bool = False
    conditions: tuple[AnonymousCondition, ...] = ()

    def policy(self) -> Anonymous:
        paths = frozenset(condition.path for condition in self.conditions)
        return Anonymous(self.enabled, paths or None)


class AuthenticationConfiguration(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="camel"):
    api_version: str = VERSIONS[0]
    kind: str = KIND
    jwt: tuple[JwtAuthenticator, ...] = ()
    anonymous: AnonymousConfiguration | None = None


def parse(data: bytes) -> AuthenticationConfiguration:
    """Raises ConfigurationError; what is read is not validated yet."""
    if not data:
        raise ConfigurationError("empty config data")
    try:
        repeated = duplicate_yaml_keys(data)
        content = _without_nulls(decode_yaml(data))
    except DecodeError as error:
        raise ConfigurationError(str(error)) from error
    if repeated:
        raise ConfigurationError(f"strict decoding error: yaml: unmarshal errors:\n  {'; '.join(repeated)}")
    _check_kind(content)
    try:
        return msgspec.convert(content, AuthenticationConfiguration)
    except msgspec.ValidationError as error:
        raise ConfigurationError(f"strict decoding error: {_fault(str(error))}") from error


def from_flags(settings: OidcSettings, authorities: str) -> AuthenticationConfiguration:
    """`authorities`: what the file of `--oidc-ca-file` holds."""
    prefix = settings.username_prefix
    if prefix == UNPREFIXED:
        prefix = ""
    elif not prefix and settings.username_claim != "email":
        # Without a prefix, names of several issuers could not be told apart.
        prefix = f"{settings.issuer_url}#"
    groups = PrefixedClaimOrExpression()
    if settings.groups_claim:
        groups = PrefixedClaimOrExpression(settings.groups_claim, settings.groups_prefix)
    authenticator = JwtAuthenticator(
        issuer=Issuer(
            url=settings.issuer_url, audiences=(settings.client_id,), certificate_authority=authorities
        ),
        claim_validation_rules=tuple(
            ClaimValidationRule(claim=claim, required_value=value)
            for claim, value in settings.required_claims
        ),
        claim_mappings=ClaimMappings(
            username=PrefixedClaimOrExpression(settings.username_claim, prefix), groups=groups
        ),
    )
    return AuthenticationConfiguration(jwt=(authenticator,))


def _check_kind(content: Any) -> None:
    kind, version = content.get("kind"), content.get("apiVersion")
    if not kind:
        raise ConfigurationError("Object 'Kind' is missing")
    if not version:
        raise ConfigurationError("Object 'apiVersion' is missing")
    if version not in VERSIONS or kind != KIND:
        raise ConfigurationError(f'no kind "{kind}" is registered for version "{version}" in scheme')


def _without_nulls(value: Any) -> Any:
    """A null is a field that was left out."""
    if isinstance(value, dict):
        return {key: _without_nulls(item) for key, item in value.items() if item is not None}
    return [_without_nulls(item) for item in value] if isinstance(value, list) else value


def _fault(text: str) -> str:
    match = _UNKNOWN(text)
    if match is None:
        return text
    place = f"{match[2]}.{match[1]}" if match[2] else match[1]
    return f'unknown field "{place}"'
