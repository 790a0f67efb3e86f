"""Is an AuthenticationConfiguration sound? Every fault, in upstream's words, and its expressions compiled.

Source: apiserver `pkg/apis/apiserver/validation`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar
from urllib.parse import urlsplit

from kplane.api.cel import Program
from kplane.api.field import FieldError, Path

from ..extrakeys import domain_prefixed
from ..remote import trusting
from .configuration import (
    AuthenticationConfiguration,
    ClaimMappings,
    ClaimValidationRule,
    ConfigurationError,
    Issuer,
    JwtAuthenticator,
    PrefixedClaimOrExpression,
    UserValidationRule,
)
from .expressions import (
    CLAIMS,
    USER,
    ExpressionError,
    Expressions,
    Rule,
    compiled,
    condition,
    reads_claim,
)

T = TypeVar("T")

MAX_AUTHENTICATORS = 64
MATCH_ANY = "MatchAny"

_BOTH = "claim and expression can't both be set"
_UNPREFIXED = "prefix is required when claim is set. It can be set to an empty string to disable prefixing"
_UNVERIFIED = (
    "claims.email_verified must be used in claimMappings.username.expression or"
    " claimMappings.extra[*].valueExpression or claimValidationRules[*].expression when claims.email is used"
    " in claimMappings.username.expression"
)


@dataclass(frozen=True)
class Sound:
    """A JwtAuthenticator that may be used."""

    authenticator: JwtAuthenticator
    expressions: Expressions


def checked(
    configuration: AuthenticationConfiguration,
    disallowed: Sequence[str],
    further: Iterable[FieldError] = (),
) -> tuple[Sound, ...]:
    """`disallowed`: issuers that are the API server's own. `further`: faults that are known already. Raises
    ConfigurationError that tells every fault."""
    faults: list[FieldError] = []
    sound = tuple(_authenticators(configuration, disallowed, faults))
    faults += _anonymous(configuration)
    faults += further
    texts = list(dict.fromkeys(map(str, faults)))
    if texts:
        raise ConfigurationError(texts[0] if len(texts) == 1 else f"[{', '.join(texts)}]")
    return sound


def _authenticators(
    configuration: AuthenticationConfiguration, disallowed: Sequence[str], faults: list[FieldError]
) -> Iterator[Sound]:
    root = Path("jwt")
    if len(configuration.jwt) > MAX_AUTHENTICATORS:
        faults.append(root.too_many(len(configuration.jwt), MAX_AUTHENTICATORS))
        return
    urls: set[str] = set()
    discovered: set[str] = set()
    for index, authenticator in enumerate(configuration.jwt):
        path, issuer = root[index], authenticator.issuer
        yield _Authenticator(faults).check(authenticator, disallowed, path)
        if issuer.url in urls:
            faults.append(path.issuer.url.duplicate(issuer.url))
        urls.add(issuer.url)
        if issuer.discovery_url and issuer.discovery_url in discovered:
            faults.append(path.issuer.discoveryURL.duplicate(issuer.discovery_url))
        discovered.add(issuer.discovery_url)


def _anonymous(configuration: AuthenticationConfiguration) -> Iterator[FieldError]:
    anonymous = configuration.anonymous
    if anonymous is not None and not anonymous.enabled and anonymous.conditions:
        conditions = [{"Path": entry.path} for entry in anonymous.conditions]
        yield Path("anonymous").conditions.invalid(
            conditions, "enabled should be set to true when conditions are defined"
        )


class _Authenticator:
    """Checks one authenticator and compiles its expressions."""

    def __init__(self, faults: list[FieldError]) -> None:
        self._faults = faults

    def check(self, authenticator: JwtAuthenticator, disallowed: Sequence[str], path: Path) -> Sound:
        self._faults += _issuer(authenticator.issuer, disallowed, path.issuer)
        claim_rules = tuple(
            self._claim_rules(authenticator.claim_validation_rules, path.claimValidationRules)
        )
        mappings, place = authenticator.claim_mappings, path.claimMappings
        expressions = Expressions(
            username=self._mapping(mappings.username, place.username, required=True),
            groups=self._mapping(mappings.groups, place.groups, required=False),
            uid=self._uid(mappings, place.uid),
            extra=tuple(self._extra(mappings, place.extra)),
            claim_rules=claim_rules,
            user_rules=tuple(self._user_rules(authenticator.user_validation_rules, path.userValidationRules)),
        )
        self._check_email(expressions, place.username.expression)
        return Sound(authenticator, expressions)

    def _check_email(self, expressions: Expressions, path: Path) -> None:
        username = expressions.username
        if username is None or not reads_claim(username, "email"):
            return
        if not any(reads_claim(program, "email_verified") for program in expressions.claims):
            self._faults.append(path.invalid(username.source, _UNVERIFIED))

    def _compile(self, make: Callable[[], T], source: str, path: Path) -> T | None:
        try:
            return make()
        except ExpressionError as error:
            self._faults.append(path.invalid(source, str(error)))
            return None

    def _claim_rules(self, rules: Sequence[ClaimValidationRule], root: Path) -> Iterator[Rule]:
        claims: set[str] = set()
        expressions: set[str] = set()
        for index, rule in enumerate(rules):
            path = root[index]
            if rule.claim and rule.expression:
                self._faults.append(path.invalid(rule.claim, _BOTH))
            elif rule.claim:
                if rule.message:
                    self._faults.append(
                        path.message.invalid(rule.message, "may not be specified when claim is set")
                    )
                if rule.claim in claims:
                    self._faults.append(path.claim.duplicate(rule.claim))
                claims.add(rule.claim)
            elif rule.expression:
                yield from self._claim_expression(rule, path, expressions)
            else:
                self._faults.append(path.required("claim or expression is required"))

    def _claim_expression(self, rule: ClaimValidationRule, path: Path, seen: set[str]) -> Iterator[Rule]:
        if rule.required_value:
            text = "may not be specified when expression is set"
            self._faults.append(path.requiredValue.invalid(rule.required_value, text))
        if rule.expression in seen:
            self._faults.append(path.expression.duplicate(rule.expression))
            return
        seen.add(rule.expression)
        program = self._compile(lambda: condition(rule.expression, CLAIMS), rule.expression, path.expression)
        if program is not None:
            yield Rule(program, rule.message)

    def _mapping(self, mapping: PrefixedClaimOrExpression, path: Path, *, required: bool) -> Program | None:
        if mapping.expression and mapping.claim:
            self._faults.append(path.invalid("", _BOTH))
        elif mapping.expression:
            if mapping.prefix is not None:
                text = "may not be specified when expression is set"
                self._faults.append(path.prefix.invalid(mapping.prefix, text))
            return self._claims_expression(mapping.expression, path.expression)
        elif mapping.claim:
            if mapping.prefix is None:
                self._faults.append(path.prefix.required(_UNPREFIXED))
        elif required:
            self._faults.append(path.required("claim or expression is required"))
        return None

    def _claims_expression(self, source: str, path: Path) -> Program | None:
        return self._compile(lambda: compiled(source), source, path)

    def _uid(self, mappings: ClaimMappings, path: Path) -> Program | None:
        if mappings.uid.claim and mappings.uid.expression:
            self._faults.append(path.invalid("", _BOTH))
        elif mappings.uid.expression:
            return self._claims_expression(mappings.uid.expression, path.expression)
        return None

    def _extra(self, mappings: ClaimMappings, root: Path) -> Iterator[tuple[str, Program]]:
        seen: set[str] = set()
        for index, mapping in enumerate(mappings.extra):
            path, key = root[index], mapping.key
            self._faults += _extra_key(key, path.key)
            if key in seen:
                self._faults.append(path.key.duplicate(key))
                continue
            seen.add(key)
            if not mapping.value_expression:
                self._faults.append(path.valueExpression.required())
                continue
            program = self._claims_expression(mapping.value_expression, path.valueExpression)
            if program is not None:
                yield key, program

    def _user_rules(self, rules: Sequence[UserValidationRule], root: Path) -> Iterator[Rule]:
        seen: set[str] = set()
        for index, rule in enumerate(rules):
            path, source = root[index].expression, rule.expression
            if not source:
                self._faults.append(path.required())
                continue
            if source in seen:
                self._faults.append(path.duplicate(source))
                continue
            seen.add(source)
            program = self._compile(lambda source=source: condition(source, USER), source, path)  # type: ignore[misc]
            if program is not None:
                yield Rule(program, rule.message)


def _issuer(issuer: Issuer, disallowed: Sequence[str], path: Path) -> Iterator[FieldError]:
    if issuer.url:
        yield from _url(issuer.url, disallowed, path.url)
    else:
        yield path.url.required()
    if issuer.discovery_url:
        if issuer.url and issuer.url.rstrip("/") == issuer.discovery_url.rstrip("/"):
            yield path.discoveryURL.invalid(issuer.discovery_url, "discoveryURL must be different from URL")
        yield from _url(issuer.discovery_url, (), path.discoveryURL)
    yield from _audiences(issuer, path.audiences, path.audienceMatchPolicy)
    if issuer.certificate_authority:
        try:
            trusting(issuer.certificate_authority)
        except ValueError as error:
            yield path.certificateAuthority.invalid("<omitted>", str(error))
    if issuer.egress_selector_type:
        yield path.egressSelectorType.invalid(
            issuer.egress_selector_type,
            "egress selector is not supported when StructuredAuthenticationConfigurationEgressSelector"
            " feature gate is disabled",
        )


def _url(text: str, disallowed: Sequence[str], path: Path) -> Iterator[FieldError]:
    if text in disallowed:
        listed = " ".join(sorted(disallowed))
        yield path.invalid(text, f"URL must not overlap with disallowed issuers: [{listed}]")
    try:
        parts = urlsplit(text)
        _ = parts.port
    except ValueError as error:
        yield path.invalid(text, f'parse "{text}": {error}')
        return
    if parts.scheme != "https":
        yield path.invalid(text, "URL scheme must be https")
    if "@" in parts.netloc:
        yield path.invalid(text, "URL must not contain a username or password")
    if parts.query:
        yield path.invalid(text, "URL must not contain a query")
    if parts.fragment:
        yield path.invalid(text, "URL must not contain a fragment")


def _audiences(issuer: Issuer, path: Path, policy: Path) -> Iterator[FieldError]:
    if not issuer.audiences:
        yield path.required(f"at least one {path} is required")
        return
    seen: set[str] = set()
    for index, audience in enumerate(issuer.audiences):
        if not audience:
            yield path[index].required()
        if audience in seen:
            yield path[index].duplicate(audience)
        seen.add(audience)
    said = issuer.audience_match_policy
    if len(issuer.audiences) > 1 and said != MATCH_ANY:
        yield policy.invalid(said, "audienceMatchPolicy must be MatchAny for multiple audiences")
    if len(issuer.audiences) == 1 and said not in ("", MATCH_ANY):
        yield policy.invalid(said, "audienceMatchPolicy must be empty or MatchAny for single audience")


def _extra_key(key: str, path: Path) -> Iterator[FieldError]:
    yield from domain_prefixed(key, path)
    if key != key.lower():
        yield path.invalid(key, "must be lowercase")
    domain = key.split("/", 1)[0] if "/" in key else ""
    if any(domain == name or domain.endswith(f".{name}") for name in ("kubernetes.io", "k8s.io")):
        yield path.invalid(key, "k8s.io, kubernetes.io and their subdomains are reserved for Kubernetes use")
