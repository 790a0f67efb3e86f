"""Source text into a tree, by precedence climbing; macros are expanded on the way (macros.py).

Bounded: MOST_CHARACTERS of text, MOST_NESTING, MOST_DEPTH; chains of `&&` and `||` become balanced trees, so
that a thousand conditions in a row are no deeper than ten.

Faults: messages and places are those of cel-go's parser as far as a parser that stops at the first fault can.
"""

from __future__ import annotations

from collections.abc import Sequence

from . import macros
from .ast import Call, Entry, Expr, FieldInit, Ident, ListExpr, Literal, MapExpr, Select, StructExpr, children
from .errors import CelError, Issue
from .lexer import RESERVED, Token, tokens

MOST_CHARACTERS = 100_000
MOST_DEPTH = 250
"""Of the tree; keeps the recursion of all stages within Python's limit."""
MOST_NESTING = 150
"""Of parentheses, brackets and arguments, in which the parser recurses most."""

_STARTS = (
    "{'[', '{', '(', '.', '-', '!', 'true', 'false', 'null',"
    " NUM_FLOAT, NUM_INT, NUM_UINT, STRING, BYTES, IDENTIFIER}"
)
_LEVELS = {
    **{"||": 1, "&&": 2, "+": 4, "-": 4, "*": 5, "/": 5, "%": 5},
    **dict.fromkeys(("==", "!=", "<", "<=", ">", ">=", "in"), 3),
}
"""Binary operators by how tightly they bind."""
_CONSTANTS = {"true": True, "false": False, "null": None}
_INT_LIMIT = 2**63


class _Stop(Exception):
    """The text cannot be read any further; the issue is noted."""


def parse(source: str) -> Expr:
    """The tree of a text. Raises CelError."""
    if len(source) > MOST_CHARACTERS:
        size = f"size: {len(source)}, limit: {MOST_CHARACTERS}"
        raise CelError("", [Issue(0, f"expression code point size exceeds limit: {size}")])
    issues: list[Issue] = []
    parser = _Parser(tokens(source, issues), issues)
    try:
        tree = parser.whole()
    except _Stop:
        raise CelError(source, issues) from None
    except RecursionError:
        raise CelError(source, [too_deep()]) from None
    if not issues and _height_exceeds(tree, MOST_DEPTH):
        issues.append(too_deep())
    if issues:
        raise CelError(source, issues)
    return tree


def too_deep() -> Issue:
    return Issue(0, f"expression recursion limit exceeded: {MOST_DEPTH}")


def _height_exceeds(tree: Expr, limit: int) -> bool:
    level = [tree]
    for _ in range(limit):
        level = [child for node in level for child in children(node)]
        if not level:
            return False
    return True


class _Parser:
    def __init__(self, found: Sequence[Token], issues: list[Issue]) -> None:
        self._tokens = found
        self._issues = issues
        self._next = 0
        self._depth = 0

    def whole(self) -> Expr:
        tree = self._expression()
        token = self._tokens[self._next]
        if token.kind != "end":
            raise self._fault(token, f"extraneous input '{token.text}' expecting <EOF>")
        return tree

    def _fault(self, token: Token, message: str) -> _Stop:
        self._issues.append(Issue(token.at, f"Syntax error: {message}"))
        return _Stop()

    def _take(self) -> Token:
        token = self._tokens[self._next]
        self._next += token.kind != "end"
        return token

    def _at(self, text: str) -> bool:
        token = self._tokens[self._next]
        return token.text == text and token.kind in ("op", "name")

    def _accept(self, text: str) -> Token | None:
        return self._take() if self._at(text) else None

    def _expect(self, text: str) -> Token:
        if token := self._accept(text):
            return token
        token = self._tokens[self._next]
        raise self._fault(token, f"mismatched input '{token.text}' expecting '{text}'")

    def _expression(self) -> Expr:
        """A ternary, or what is simpler."""
        self._depth += 1
        if self._depth > MOST_NESTING:
            self._issues.append(too_deep())
            raise _Stop
        condition = self._operators(1)
        if question := self._accept("?"):
            positive = self._expression()
            self._expect(":")
            condition = Call(question.at, "_?_:_", [condition, positive, self._expression()])
        self._depth -= 1
        return condition

    def _operators(self, level: int) -> Expr:
        """Binary operators of this level and tighter ones, from the left."""
        left = self._unary()
        while True:
            token = self._tokens[self._next]
            tightness = _LEVELS.get(token.text, 0) if token.kind in ("op", "name") else 0
            if tightness < level or not tightness:
                return left
            if token.text in ("&&", "||"):
                left = self._chain(left, token.text, tightness + 1)
                continue
            self._next += 1
            right = self._operators(tightness + 1)
            left = Call(token.at, "@in" if token.text == "in" else f"_{token.text}_", [left, right])

    def _chain(self, first: Expr, operator: str, level: int) -> Expr:
        terms, places = [first], []
        while token := self._accept(operator):
            places.append(token.at)
            terms.append(self._operators(level))
        return _balanced(f"_{operator}_", terms, places)

    def _unary(self) -> Expr:
        """`!!x` and `--x` are x; the minus of a number belongs to the number."""
        first = self._tokens[self._next]
        count = 0
        while first.kind == "op" and first.text in "!-" and self._accept(first.text):
            count += 1
            following = self._tokens[self._next]
            if first.text == "-" and following.kind == "literal" and type(following.value) in (int, float):
                count -= 1
                number = self._postfix(self._number(self._take(), -1, first.at))
                return Call(first.at, "-_", [number]) if count % 2 else number
        if not count:
            return self._postfix(self._primary())
        operand = self._postfix(self._primary())
        return Call(first.at, "!_" if first.text == "!" else "-_", [operand]) if count % 2 else operand

    def _number(self, token: Token, sign: int, at: int) -> Literal:
        value = token.value * sign
        if type(value) is int and not -_INT_LIMIT <= value < _INT_LIMIT:
            self._issues.append(Issue(at, "invalid int literal"))
        elif type(value) is float and value in (float("inf"), float("-inf")):
            self._issues.append(Issue(at, "invalid double literal"))
        return Literal(at, value)

    def _primary(self) -> Expr:
        token = self._take()
        if token.kind == "literal":
            return (
                self._number(token, 1, token.at)
                if type(token.value) in (int, float)
                else Literal(token.at, token.value)
            )
        if token.kind == "name":
            return self._name(token)
        match token.text if token.kind == "op" else "":
            case "(":
                inner = self._expression()
                self._expect(")")
                return inner
            case "[":
                return self._list(token)
            case "{":
                return self._map(token)
            case ".":
                name = self._take()
                if name.kind == "name" and name.text not in _CONSTANTS:
                    return self._name(name)
                raise self._fault(name, f"mismatched input '{name.text}' expecting IDENTIFIER")
        raise self._fault(token, f"mismatched input '{token.text}' expecting {_STARTS}")

    def _name(self, token: Token) -> Expr:
        if token.text in _CONSTANTS:
            return Literal(token.at, _CONSTANTS[token.text])
        if token.text == "in":
            raise self._fault(token, f"extraneous input 'in' expecting {_STARTS}")
        if token.text in RESERVED:
            self._issues.append(Issue(token.at, f"reserved identifier: {token.text}"))
        if opening := self._accept("("):
            args = self._arguments()
            return macros.expand(opening.at, token.text, None, args, self._issues)
        return Ident(token.at, token.text)

    def _arguments(self) -> list[Expr]:
        """What stands between parentheses; the first is taken already."""
        args: list[Expr] = []
        while not self._accept(")"):
            if args:
                self._expect(",")
            args.append(self._expression())
        return args

    def _postfix(self, operand: Expr) -> Expr:
        """Selections, calls, indexes and struct fields after a value."""
        while (token := self._tokens[self._next]).kind == "op":
            if token.text == ".":
                operand = self._member(operand, self._take())
            elif token.text == "[":
                self._next += 1
                function = "_[?_]" if self._accept("?") else "_[_]"
                operand = Call(token.at, function, [operand, self._expression()])
                self._expect("]")
            elif token.text == "{" and (name := macros.dotted_name(operand)):
                self._next += 1
                operand = StructExpr(token.at, name, self._fields())
            else:
                break
        return operand

    def _member(self, operand: Expr, dot: Token) -> Expr:
        optional = self._accept("?")
        name = self._take()
        if name.kind not in ("name", "quoted") or name.text in (*_CONSTANTS, "in"):
            if name.kind == "end":
                raise self._fault(name, "no viable alternative at input '.'")
            raise self._fault(name, f"no viable alternative at input '.{name.text}'")
        if optional:
            return Call(dot.at, "_?._", [operand, Literal(name.at, name.text)])
        if name.kind == "name" and (opening := self._accept("(")):
            return macros.expand(opening.at, name.text, operand, self._arguments(), self._issues)
        return Select(dot.at, operand, name.text)

    def _list(self, opening: Token) -> Expr:
        items: list[Expr] = []
        optional: set[int] = set()
        while not self._accept("]"):
            if items:
                self._expect(",")
                if self._accept("]"):
                    break
            if self._accept("?"):
                optional.add(len(items))
            items.append(self._expression())
        return ListExpr(opening.at, items, frozenset(optional))

    def _map(self, opening: Token) -> Expr:
        entries: list[Entry] = []
        while not self._accept("}"):
            if entries:
                self._expect(",")
                if self._accept("}"):
                    break
            optional = self._accept("?") is not None
            key = self._expression()
            colon = self._expect(":")
            entries.append(Entry(colon.at, key, self._expression(), optional))
        return MapExpr(opening.at, entries)

    def _fields(self) -> list[FieldInit]:
        fields: list[FieldInit] = []
        while not self._accept("}"):
            if fields:
                self._expect(",")
                if self._accept("}"):
                    break
            optional = self._accept("?") is not None
            name = self._take()
            if name.kind not in ("name", "quoted"):
                raise self._fault(name, f"mismatched input '{name.text}' expecting IDENTIFIER")
            colon = self._expect(":")
            fields.append(FieldInit(colon.at, name.text, self._expression(), optional))
        return fields


def _balanced(function: str, terms: list[Expr], places: list[int]) -> Expr:
    """One tree of all the terms, as low as can be; `places[i]` stands between the terms i and i + 1."""
    if len(terms) == 1:
        return terms[0]
    middle = len(places) // 2
    left = _balanced(function, terms[: middle + 1], places[:middle])
    right = _balanced(function, terms[middle + 1 :], places[middle + 1 :])
    return Call(places[middle], function, [left, right])
