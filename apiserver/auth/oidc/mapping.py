"""From a verified token's claims to a User, by the rules of the configuration.

Order, and so which fault is told: user name, groups, uid, extra, rules about claims, rules about the user.
Source: apiserver `plugin/pkg/authenticator/token/oidc`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplane.api.cel import Budget, BudgetExceeded, EvaluationError, Program

from ..identity import Refused
from ..user import User, authenticated
from .configuration import PrefixedClaimOrExpression
from .expressions import CLAIMS, USER, Rule
from .validation import Sound
from .verifying import Claims

_TEXTS = "expression must return a string or a list of strings"
_MISSING = "claim not present"


class ClaimMapper:
    """The rules of one issuer."""

    def __init__(self, sound: Sound) -> None:
        self._mappings = sound.authenticator.claim_mappings
        self._rules = sound.authenticator.claim_validation_rules
        self._expressions = sound.expressions

    def user(self, claims: Claims) -> User:
        """Raises Refused."""
        evaluation = _Evaluation({CLAIMS: claims})
        name = self._username(claims, evaluation)
        if not name:
            raise Refused("oidc: the token names no user")
        groups = self._groups(claims, evaluation)
        uid = self._uid(claims, evaluation)
        extra = self._extra(evaluation)
        self._check_claims(claims, evaluation)
        self._check_user(name, groups, uid, extra)
        return authenticated(name, uid, groups, extra)

    def _username(self, claims: Claims, evaluation: _Evaluation) -> str:
        if self._expressions.username is not None:
            what = "username claim expression"
            return evaluation.text(self._expressions.username, what)
        mapping = self._mappings.username
        name = _text(claims, mapping.claim, f'parse username claims "{mapping.claim}"')
        if mapping.claim == "email":
            _check_email(claims)
        return (mapping.prefix or "") + name

    def _groups(self, claims: Claims, evaluation: _Evaluation) -> tuple[str, ...]:
        mapping = self._mappings.groups
        if mapping.claim and mapping.claim in claims:
            return _claimed_groups(claims, mapping)
        if self._expressions.groups is None:
            return ()
        return evaluation.texts(self._expressions.groups, "oidc: error evaluating group claim expression")

    def _uid(self, claims: Claims, evaluation: _Evaluation) -> str:
        claim = self._mappings.uid.claim
        if claim:
            return _text(claims, claim, f'parse uid claim "{claim}"')
        if self._expressions.uid is None:
            return ""
        return evaluation.text(self._expressions.uid, "uid claim expression")

    def _extra(self, evaluation: _Evaluation) -> dict[str, tuple[str, ...]]:
        extra: dict[str, tuple[str, ...]] = {}
        for key, program in self._expressions.extra:
            fault = f"oidc: error evaluating extra claim expression: {program.source}"
            if values := evaluation.texts(program, fault):
                extra[key] = values
        return extra

    def _check_claims(self, claims: Claims, evaluation: _Evaluation) -> None:
        for rule in self._rules:
            if not rule.claim:
                continue
            if rule.claim not in claims:
                raise Refused(f"oidc: required claim {rule.claim} not present in ID token")
            found = _text(claims, rule.claim, f"parse claim {rule.claim}")
            if found != rule.required_value:
                raise Refused(
                    f"oidc: required claim {rule.claim} value does not match. Got = {found}, want ="
                    f" {rule.required_value}"
                )
        evaluation.check(self._expressions.claim_rules, "oidc: error evaluating claim validation expression")

    def _check_user(
        self, name: str, groups: Sequence[str], uid: str, extra: Mapping[str, Sequence[str]]
    ) -> None:
        if self._expressions.user_rules:
            values = {key: list(texts) for key, texts in extra.items()}
            user = {"username": name, "uid": uid, "groups": list(groups), "extra": values}
            rules = self._expressions.user_rules
            _Evaluation({USER: user}).check(rules, "oidc: error evaluating user info validation rule")


class _Evaluation:
    """Expressions about one token, which share a budget. A `fault` is what goes before the
    reason."""

    def __init__(self, bindings: Mapping[str, Any]) -> None:
        self._bindings = bindings
        self._budget = Budget()

    def text(self, program: Program, what: str) -> str:
        fault = f"oidc: error evaluating {what}"
        value = self._value(program, fault)
        if not isinstance(value, str):
            raise Refused(f"{fault}: {what} must return a string")
        return value

    def texts(self, program: Program, fault: str) -> tuple[str, ...]:
        """Empty ones are left out."""
        value = self._value(program, fault)
        if value is None:
            return ()
        listed = [value] if isinstance(value, str) else value
        # Lists of expressions are Python's, or views that can be walked as such; maps and numbers are not.
        if not isinstance(listed, Sequence) or isinstance(listed, (bytes, bytearray)):
            raise Refused(f"{fault}: {_TEXTS}")
        found = list(listed)
        if not all(isinstance(item, str) for item in found):
            raise Refused(f"{fault}: {_TEXTS}")
        return tuple(item for item in found if item)

    def check(self, rules: Sequence[Rule], fault: str) -> None:
        for rule in rules:
            if self._value(rule.program, fault) is not True:
                said = f"validation expression '{rule.program.source}' failed: {rule.message}"
                raise Refused(f"{fault}: {said}")

    def _value(self, program: Program, fault: str) -> Any:
        try:
            return program.evaluate(self._bindings, self._budget)
        except (EvaluationError, BudgetExceeded) as error:
            said = f"expression '{program.source}' resulted in error: {error}"
            raise Refused(f"{fault}: {said}") from error


def _claimed_groups(claims: Claims, mapping: PrefixedClaimOrExpression) -> tuple[str, ...]:
    value = claims[mapping.claim]
    listed = [value] if isinstance(value, str) else value
    if listed is None:
        listed = []
    if not isinstance(listed, list) or not all(isinstance(name, str) for name in listed):
        raise Refused(f'oidc: parse groups claim "{mapping.claim}": {_cannot(value, "string")}')
    return tuple((mapping.prefix or "") + name for name in listed)


def _check_email(claims: Claims) -> None:
    if "email_verified" not in claims:
        return
    verified = claims["email_verified"]
    if not isinstance(verified, bool):
        raise Refused(f"oidc: parse 'email_verified' claim: {_cannot(verified, 'bool')}")
    if not verified:
        raise Refused("oidc: email not verified")


def _text(claims: Claims, claim: str, what: str) -> str:
    if claim not in claims:
        raise Refused(f"oidc: {what}: {_MISSING}")
    value = claims[claim]
    if not isinstance(value, str):
        raise Refused(f"oidc: {what}: {_cannot(value, 'string')}")
    return value


def _cannot(value: Any, kind: str) -> str:
    return f"json: cannot unmarshal {_json_kind(value)} into Go value of type {kind}"


def _json_kind(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case int() | float():
            return "number"
        case list():
            return "array"
        case dict():
            return "object"
    return "string" if isinstance(value, str) else "null"
