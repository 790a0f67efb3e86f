"""The CEL of an AuthenticationConfiguration: compiled once, evaluated for each token.

Source: apiserver `pkg/authentication/cel`. Expressions see `claims`, or for rules about users `user`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from kplane.api.cel import (
    BOOL,
    DYN,
    STRING,
    CelError,
    Environment,
    Program,
    Type,
    list_of,
    map_of,
    object_of,
)
from kplane.api.cel.ast import Call, Expr, Ident, Literal, Select, children
from kplane.api.cel.parser import parse

CLAIMS, USER = "claims", "user"

_USER_INFO = object_of(
    "kubernetes.UserInfo",
    {
        "username": STRING,
        "uid": STRING,
        "groups": list_of(STRING),
        "extra": map_of(STRING, list_of(STRING)),
    },
)
_VARIABLES = {CLAIMS: map_of(STRING, DYN), USER: _USER_INFO}


@dataclass(frozen=True)
class Rule:
    """What must be true; `message` is for whoever is refused by it."""

    program: Program
    message: str


@dataclass(frozen=True)
class Expressions:
    """What of a JwtAuthenticator is written as expressions; the rest is written as claims."""

    username: Program | None = None
    groups: Program | None = None
    uid: Program | None = None
    extra: tuple[tuple[str, Program], ...] = ()
    """By key."""
    claim_rules: tuple[Rule, ...] = ()
    user_rules: tuple[Rule, ...] = ()

    @property
    def claims(self) -> tuple[Program, ...]:
        """Those that prove an e-mail address by looking at `email_verified`, if any of them does."""
        named = (self.username,) if self.username is not None else ()
        return (*named, *(program for _, program in self.extra), *(rule.program for rule in self.claim_rules))


class ExpressionError(ValueError):
    """It does not compile, or has not the type that it must have; upstream's text."""


@cache
def _environment(variable: str) -> Environment:
    return Environment({variable: _VARIABLES[variable]})


def compiled(source: str, variable: str = CLAIMS, expected: Type | None = None) -> Program:
    """Raises ExpressionError."""
    try:
        return _environment(variable).compile(source, expected=expected)
    except CelError as error:
        if error.wrong_result and expected is not None:
            raise ExpressionError(f"must evaluate to {expected}") from error
        raise ExpressionError(f"compilation failed: {error}") from error


def condition(source: str, variable: str = CLAIMS) -> Program:
    return compiled(source, variable, BOOL)


def reads_claim(program: Program, claim: str) -> bool:
    """Whether `claims.NAME`, `has(claims.NAME)` or `claims.?NAME` occurs in an expression."""
    pending: list[Expr] = [parse(program.source)]
    while pending:
        node = pending.pop()
        if _reads(node, claim):
            return True
        pending += children(node)
    return False


def _reads(node: Expr, claim: str) -> bool:
    match node:
        case Select(operand=Ident(name="claims"), field=field):
            return field == claim
        case Call(function="_?._", args=[Ident(name="claims"), Literal(value=value)]):
            return bool(value == claim)
    return False
