"""Macros: calls that stand for something else, recognised by name and number of arguments while parsing.

`has`, the comprehensions of one and two variables, `cel.bind`, `optMap` and `optFlatMap`. A call that no
macro fits stays a call.
"""

from __future__ import annotations

from .ast import Bind, Call, Expr, Fold, Ident, Select
from .errors import Issue

_ONE_VARIABLE = {"all", "exists", "exists_one", "existsOne", "filter", "map", "sortBy"}
_TWO_VARIABLES = {
    "all",
    "exists",
    "exists_one",
    "existsOne",
    "transformList",
    "transformMap",
    "transformMapEntry",
}
_FILTERED = {"transformList", "transformMap", "transformMapEntry"}
_KIND = {"existsOne": "exists_one", "transformList": "map"}


def expand(at: int, name: str, target: Expr | None, args: list[Expr], issues: list[Issue]) -> Expr:
    """The call `target.name(args)`, or what the macro of that name makes of it."""
    if target is None:
        if name == "has" and len(args) == 1:
            return _has(at, args[0], issues)
        return Call(at, name, args)
    if name == "bind" and len(args) == 3 and isinstance(target, Ident) and target.name == "cel":
        variable = _variable(args[0], issues, "cel.bind() variable names must be simple identifiers")
        return Bind(at, variable, args[1], args[2])
    if name in ("optMap", "optFlatMap") and len(args) == 2:
        return _optional(at, name, target, args, issues)
    if name in _ONE_VARIABLE and len(args) == 2:
        return Fold(at, _KIND.get(name, name), (_variable(args[0], issues),), target, args[1])
    if name == "map" and len(args) == 3:
        return Fold(at, "map", (_variable(args[0], issues),), target, args[2], where=args[1])
    if name in _TWO_VARIABLES and len(args) in ((3, 4) if name in _FILTERED else (3,)):
        names = (_variable(args[0], issues), _variable(args[1], issues))
        if names[0] == names[1]:
            issues.append(Issue(args[1].at, "duplicate variable name: " + names[1]))
        where = args[2] if len(args) == 4 else None
        return Fold(at, _KIND.get(name, name), names, target, args[-1], where=where)
    return Call(at, name, args, target)


def dotted_name(expr: Expr) -> str:
    """`a.b.c` of a chain of plain selections; empty for anything else."""
    parts: list[str] = []
    while isinstance(expr, Select) and not expr.test:
        parts.append(expr.field)
        expr = expr.operand
    return ".".join([expr.name, *reversed(parts)]) if isinstance(expr, Ident) else ""


def _has(at: int, arg: Expr, issues: list[Issue]) -> Expr:
    if isinstance(arg, Select) and not arg.test:
        return Select(at, arg.operand, arg.field, test=True)
    issues.append(Issue(arg.at, "invalid argument to has() macro"))
    return arg


def _variable(arg: Expr, issues: list[Issue], message: str = "argument must be a simple name") -> str:
    if isinstance(arg, Ident):
        if arg.name == "__result__":
            issues.append(Issue(arg.at, "iteration variable overwrites accumulator variable"))
        return arg.name
    issues.append(Issue(arg.at, message))
    return "_"


def _optional(at: int, name: str, target: Expr, args: list[Expr], issues: list[Issue]) -> Expr:
    """`target.hasValue() ? optional.of(body with target's value) : optional.none()`; target is evaluated
    once.
    """
    held = "@target"
    variable = _variable(args[0], issues, f"{name}() variable name must be a simple identifier")
    body = Bind(at, variable, Call(at, "value", [], Ident(at, held)), args[1])
    positive: Expr = Call(at, "optional.of", [body]) if name == "optMap" else body
    has = Call(at, "hasValue", [], Ident(at, held))
    return Bind(at, held, target, Call(at, "_?_:_", [has, positive, Call(at, "optional.none", [])]))
