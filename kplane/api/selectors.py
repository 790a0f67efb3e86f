"""Label and field selectors: parsing, matching, printing.

Rules and messages: apimachinery `labels` and `fields`. Selectors are values; matching never fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplane.api import names
from kplane.api.field import Path
from kplane.api.types.meta import LabelSelector as LabelSelectorView
from kplane.api.types.meta import LabelSelectorRequirement


class SelectorError(ValueError):
    """A selector cannot be parsed; the text is upstream's."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One condition on one label. `operator` is one of =, ==, !=, in, notin, exists, !, gt, lt."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.key)
        match self.operator:
            case "=" | "==" | "in":
                return value is not None and value in self.values
            case "!=" | "notin":
                return value is None or value not in self.values
            case "exists":
                return value is not None
            case "!":
                return value is None
        return value is not None and self._compares(value)

    def _compares(self, value: str) -> bool:
        if not _INTEGER(value):
            return False
        difference = int(value) - int(self.values[0])
        return difference > 0 if self.operator == "gt" else difference < 0

    def __str__(self) -> str:
        match self.operator:
            case "exists":
                return self.key
            case "!":
                return f"!{self.key}"
            case "in" | "notin":
                return f"{self.key} {self.operator} ({','.join(self.values)})"
        return f"{self.key}{_SYMBOLS.get(self.operator, self.operator)}{self.values[0]}"


_INTEGER = re.compile(r"[-+]?[0-9]{1,19}").fullmatch
_SYMBOLS = {"gt": ">", "lt": "<"}
_BINARY = ("in", "notin", "=", "==", "!=", "gt", "lt")


@dataclass(frozen=True, slots=True)
class Selector:
    """A conjunction of requirements over labels; with none it matches everything."""

    requirements: tuple[Requirement, ...] = ()
    nothing: bool = False

    @property
    def empty(self) -> bool:
        """Whether it matches everything."""
        return not self.requirements and not self.nothing

    def matches(self, labels: Mapping[str, str]) -> bool:
        return not self.nothing and all(term.matches(labels) for term in self.requirements)

    def __str__(self) -> str:
        """The form that `parse_labels` reads."""
        return ",".join(str(term) for term in self.requirements)


EVERYTHING = Selector()
NOTHING = Selector(nothing=True)


def parse_labels(text: str) -> Selector:
    """A `labelSelector` parameter: `app=web,tier in (a,b),!legacy`. Raises SelectorError."""
    terms = list(_LabelParser(text).terms())
    return Selector(tuple(sorted(terms, key=lambda term: term.key)))


def from_map(labels: Mapping[str, str] | None) -> Selector:
    """Exact matches, as in `Service.spec.selector`; none at all matches nothing."""
    if not labels:
        return NOTHING
    return Selector(tuple(Requirement(key, "=", (value,)) for key, value in sorted(labels.items())))


def from_label_selector(selector: LabelSelectorView | Mapping[str, Any] | None) -> Selector:
    """A `LabelSelector` object: None matches nothing, an empty one everything. Raises SelectorError."""
    if selector is None:
        return NOTHING
    labels, expressions = _parts(selector)
    terms = [Requirement(key, "=", (value,)) for key, value in labels.items()]
    terms += [_expression(*expression) for expression in expressions]
    return Selector(tuple(sorted(terms, key=lambda term: term.key)))


def _parts(
    selector: LabelSelectorView | Mapping[str, Any],
) -> tuple[Mapping[str, str], Sequence[tuple[str, str, Sequence[str]]]]:
    if isinstance(selector, LabelSelectorView):
        entries: Sequence[LabelSelectorRequirement] = selector.match_expressions or ()
        found = [(entry.key, entry.operator, entry.values or ()) for entry in entries]
        return selector.match_labels or {}, found
    listed = selector.get("matchExpressions") or ()
    return selector.get("matchLabels") or {}, [
        (entry.get("key", ""), entry.get("operator", ""), entry.get("values") or ()) for entry in listed
    ]


_EXPRESSION_OPERATORS = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "!"}


def _expression(key: str, operator: str, values: Sequence[str]) -> Requirement:
    if operator not in _EXPRESSION_OPERATORS:
        raise SelectorError(f'"{operator}" is not a valid label selector operator')
    return _requirement(key, _EXPRESSION_OPERATORS[operator], values)


def _requirement(key: str, operator: str, values: Sequence[str]) -> Requirement:
    """A requirement whose key, number of values and values are sound."""
    if faults := names.qualified_name(key):
        raise SelectorError(str(Path("key").invalid(key, "; ".join(faults))))
    if problem := _count_problem(operator, values):
        raise SelectorError(str(Path("values").invalid(list(values), problem)))
    for index, value in enumerate(values):
        if faults := names.label_value(value):
            raise SelectorError(str(Path("values")[index][key].invalid(value, "; ".join(faults))))
    return Requirement(key, operator, tuple(sorted(set(values))))


def _count_problem(operator: str, values: Sequence[str]) -> str:
    match operator:
        case "in" | "notin":
            return "" if values else "for 'in', 'notin' operators, values set can't be empty"
        case "=" | "==" | "!=":
            return "" if len(values) == 1 else "exact-match compatibility requires one single value"
        case "exists" | "!":
            return "values set must be empty for exists and does not exist" if values else ""
    if len(values) != 1:
        return "for 'Gt', 'Lt' operators, exactly one value is required"
    return "" if _INTEGER(values[0]) else "for 'Gt', 'Lt' operators, the value must be an integer"


_LEXEME = re.compile(r"[ \t\r\n]*(?:(==|!=|[=!(),<>])|([^=!(),<>\s]+))")
_OPERATORS = {"=": "=", "==": "==", "!=": "!=", ">": "gt", "<": "lt", "in": "in", "notin": "notin"}


class _LabelParser:
    """A cursor over the lexemes of a selector; the empty one is its end."""

    def __init__(self, text: str) -> None:
        self._lexemes = [match[1] or match[2] for match in _LEXEME.finditer(text)] + [""]
        self._position = 0

    def terms(self) -> Iterator[Requirement]:
        if self._peek() and not self._identifier(self._peek()) and self._peek() != "!":
            raise SelectorError(f"found '{self._peek()}', expected: !, identifier, or 'end of string'")
        while self._peek():
            yield self._term()
            lexeme = self._take()
            if lexeme not in ("", ","):
                raise SelectorError(f"found '{lexeme}', expected: ',' or 'end of string'")
            following = self._peek() if lexeme else ""
            if lexeme and not self._identifier(following) and following != "!":
                raise SelectorError(f"found '{following}', expected: identifier after ','")
            if not lexeme:
                return

    def _term(self) -> Requirement:
        try:
            return self._parse_term()
        except SelectorError as error:
            raise SelectorError(f"unable to parse requirement: {error}") from error

    def _parse_term(self) -> Requirement:
        key = self._take()
        negated = key == "!"
        if negated:
            key = self._take()
        if not self._identifier(key):
            raise SelectorError(f"found '{key}', expected: identifier")
        if faults := names.qualified_name(key):
            raise SelectorError(str(Path().invalid(key, "; ".join(faults))))
        if negated or self._peek() in ("", ","):
            return Requirement(key, "!" if negated else "exists")
        lexeme = self._take()
        operator = _OPERATORS.get(lexeme)
        if operator is None:
            raise SelectorError(f"found '{lexeme}', expected: {', '.join(_BINARY)}")
        return _requirement(key, operator, self._set() if operator in ("in", "notin") else self._exact())

    def _exact(self) -> Sequence[str]:
        if self._peek() in ("", ","):
            return ("",)
        lexeme = self._take()
        if not self._identifier(lexeme):
            raise SelectorError(f"found '{lexeme}', expected: identifier")
        return (lexeme,)

    def _set(self) -> Sequence[str]:
        """`(a,b)`; an empty place between commas is the empty value."""
        lexeme = self._take()
        if lexeme != "(":
            raise SelectorError(f"found '{lexeme}' expected: '('")
        values: list[str] = []
        while True:
            values.append(self._take() if self._identifier(self._peek()) else "")
            lexeme = self._take()
            if lexeme == ")":
                return values
            if lexeme != ",":
                raise SelectorError(f"found '{lexeme}', expected: ',' or ')'")

    def _peek(self) -> str:
        return self._lexemes[self._position]

    def _take(self) -> str:
        lexeme = self._lexemes[self._position]
        # The end is never left behind.
        self._position = min(self._position + 1, len(self._lexemes) - 1)
        return lexeme

    @staticmethod
    def _identifier(lexeme: str) -> bool:
        return bool(lexeme) and lexeme[0] not in "=!(),<>"


@dataclass(frozen=True, slots=True)
class FieldRequirement:
    field: str
    equal: bool
    value: str


@dataclass(frozen=True, slots=True)
class FieldSelector:
    """A conjunction of comparisons over named fields."""

    requirements: tuple[FieldRequirement, ...] = ()

    @property
    def empty(self) -> bool:
        return not self.requirements

    def matches(self, fields: Mapping[str, str]) -> bool:
        return all((fields.get(term.field, "") == term.value) is term.equal for term in self.requirements)

    def exact(self, field: str) -> str | None:
        """The one value that `field` must have, if the selector demands one (`metadata.name=x`)."""
        return next((term.value for term in self.requirements if term.equal and term.field == field), None)

    def __str__(self) -> str:
        """The form that `parse_fields` reads."""
        return ",".join(
            f"{term.field}{'=' if term.equal else '!='}{_escape(term.value)}" for term in self.requirements
        )


_FIELD_TERMS = re.compile(r"(?:\\.|[^\\,])+", re.DOTALL)
_FIELD_OPERATOR = re.compile(r"!=|==|=")


def parse_fields(text: str) -> FieldSelector:
    """A `fieldSelector` parameter: `status.phase!=Failed,spec.nodeName=n1`. Raises SelectorError."""
    return FieldSelector(tuple(_field_term(text, term) for term in sorted(_FIELD_TERMS.findall(text))))


def _field_term(text: str, term: str) -> FieldRequirement:
    operator = _FIELD_OPERATOR.search(term)
    if operator is None:
        raise SelectorError(f"invalid selector: '{text}'; can't understand '{term}'")
    value = _unescape(term[operator.end() :])
    return FieldRequirement(term[: operator.start()], operator[0] != "!=", value)


def _escape(value: str) -> str:
    return re.sub(r"([\\,=])", r"\\\1", value)


def _unescape(value: str) -> str:
    plain, escaped = [], False
    for char in value:
        if escaped and char not in "\\,=":
            raise SelectorError(f"invalid field selector: invalid escape sequence: \\{char}")
        if not escaped and char in ",=":
            raise SelectorError(f"invalid field selector: unescaped character in value: {char}")
        if escaped or char != "\\":
            plain.append(char)
            escaped = False
        else:
            escaped = True
    if escaped:
        raise SelectorError("invalid field selector: invalid escape sequence: \\")
    return "".join(plain)
