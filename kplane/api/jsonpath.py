"""kubectl's JSONPath templates: text around `{…}`, `range` and `end`, paths that take anything missing for
nothing.

Not RFC 9535: no JSONPath library speaks this dialect (client-go `util/jsonpath`), in which `$` and `@` both
mean the current object and results are joined by spaces.

    template = parse('{range .items[*]}{.metadata.name}{"\\n"}{end}')
    text = template.render(obj)
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

import msgspec

Lookup: TypeAlias = "Callable[[Any], Iterable[Any]]"
"""From one value to those that it leads to."""

Step: TypeAlias = "Callable[[Sequence[Any]], Sequence[Any]]"
"""The same for all values at once: a union takes its first choice of every value, then its second."""


class JSONPathError(ValueError):
    """The template is malformed, or cannot be applied to this object."""


class Part(Protocol):
    def render(self, current: Any) -> str: ...


@dataclass(frozen=True, slots=True)
class Text:
    text: str

    def render(self, current: Any) -> str:
        return self.text


@dataclass(frozen=True, slots=True)
class Path:
    steps: Sequence[Step]

    def follow(self, values: Sequence[Any]) -> Sequence[Any]:
        for step in self.steps:
            values = step(values)
        return values

    def values(self, current: Any) -> Sequence[Any]:
        return self.follow([current])

    def render(self, current: Any) -> str:
        return " ".join(_text(value) for value in self.values(current))


@dataclass(frozen=True, slots=True)
class Template:
    parts: list[Part] = field(default_factory=list)

    def render(self, current: Any) -> str:
        return "".join(part.render(current) for part in self.parts)

    def find(self, current: Any) -> Sequence[Any]:
        """The values that the first path leads to."""
        return next((part.values(current) for part in self.parts if isinstance(part, Path)), ())


@dataclass(frozen=True, slots=True)
class Range:
    """What stands between `range` and `end`, once for each value."""

    path: Path
    body: Template

    def render(self, current: Any) -> str:
        return "".join(self.body.render(value) for value in self.path.values(current))


def parse(text: str) -> Template:
    """Raises JSONPathError."""
    root = Template()
    open_templates = [root]
    for literal, action in _split(text):
        if literal:
            open_templates[-1].parts.append(Text(literal))
        word, _, rest = action.strip().partition(" ")
        if word == "range":
            body = Template()
            open_templates[-1].parts.append(Range(_PathParser(rest.strip()).path(), body))
            open_templates.append(body)
        elif word == "end":
            if len(open_templates) == 1:
                raise JSONPathError("not in range, nothing to end")
            open_templates.pop()
        elif action.strip():
            open_templates[-1].parts.extend(_PathParser(action.strip()).sequence())
    if len(open_templates) > 1:
        raise JSONPathError("unterminated range")
    return root


_ACTION = re.compile(r"""\{((?:"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|\\.|[^{}"'\\])*)\}""", re.DOTALL)


def _split(text: str) -> Iterator[tuple[str, str]]:
    """The text before each action, and the action."""
    position = 0
    for match in _ACTION.finditer(text):
        yield _literal(text[position : match.start()]), match[1]
        position = match.end()
    yield _literal(text[position:]), ""


def _literal(text: str) -> str:
    if "{" in text:
        raise JSONPathError("unclosed action")
    return text


_FIELD = re.compile(r"(?:\\.|[^\s.\[\]()'\"=<>!|,{}\\])+")
_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""")
_SLICE = re.compile(r"(-?\d*)(?::(-?\d*))?(?::(-?\d*))?")
_FILTER = re.compile(r"\s*(.+?)\s*(?:(==|!=|<=|>=|<|>)\s*(.+?)\s*)?", re.DOTALL)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "0": "\0"}


class _PathParser:
    """One action: paths and quoted texts."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def sequence(self) -> list[Part]:
        """Every path and text, side by side."""
        parts: list[Part] = []
        while self._at < len(self._text):
            if quoted := self._take(_QUOTED):
                parts.append(Text(_unquoted(quoted)))
            else:
                parts.append(self.path())
            self._at += len(self._rest()) - len(self._rest().lstrip())
        return parts

    def path(self) -> Path:
        if self._rest()[:1] in ("$", "@"):
            self._at += 1
        steps: list[Step] = []
        begun = self._at
        while self._rest() and not self._rest()[0].isspace():
            steps.append(self._step(first=self._at == begun))
        return Path(steps)

    def _step(self, *, first: bool) -> Step:
        rest = self._rest()
        if rest.startswith(".."):
            self._at += 1 if rest[2:3] not in ("[", "") else 2
            return _each(_descendants)
        if rest[0] == "[":
            return self._bracket()
        if rest[0] == ".":
            self._at += 1
            if not self._rest() or self._rest()[0].isspace() or self._rest()[0] == "[":
                return _each(lambda value: (value,))
        elif not first:
            raise JSONPathError(f"unrecognized character in action: {rest[0]!r}")
        name = self._take(_FIELD)
        if not name:
            raise JSONPathError(f"unrecognized character in action: {rest[0]!r}")
        return _each(_wildcard if name == "*" else _member(re.sub(r"\\(.)", r"\1", name)))

    def _bracket(self) -> Step:
        inner = self._inside_brackets()
        if inner == "*":
            return _each(_wildcard)
        if inner.startswith("?(") and inner.endswith(")"):
            return _each(_filter(inner[2:-1]))
        choices = [choice.strip() for choice in re.findall(rf"{_QUOTED.pattern}|[^,]+", inner)]
        if not choices:
            raise JSONPathError(f"invalid array index {inner}")
        steps = [_choice(choice) for choice in choices]
        return lambda values: [found for step in steps for found in step(values)]

    def _inside_brackets(self) -> str:
        """What stands between this bracket and its partner, which moves on behind it."""
        depth, start = 0, self._at + 1
        while self._at < len(self._text):
            if self._take(_QUOTED):
                continue
            depth += {"[": 1, "]": -1}.get(self._text[self._at], 0)
            self._at += 1
            if not depth:
                return self._text[start : self._at - 1].strip()
        raise JSONPathError("unterminated array")

    def _rest(self) -> str:
        return self._text[self._at :]

    def _take(self, pattern: re.Pattern[str]) -> str:
        match = pattern.match(self._text, self._at)
        self._at = match.end() if match else self._at
        return match[0] if match else ""


def _each(lookup: Lookup) -> Step:
    return lambda values: [found for value in values for found in lookup(value)]


def _member(name: str) -> Lookup:
    def step(value: Any) -> Iterable[Any]:
        if isinstance(value, dict):
            return (value[name],) if name in value else ()
        return ()

    return step


def _wildcard(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return [value[key] for key in sorted(value)]
    return value if isinstance(value, list) else ()


def _descendants(value: Any) -> Iterable[Any]:
    yield value
    for child in _wildcard(value):
        if isinstance(child, dict | list):
            yield from _descendants(child)


def _choice(text: str) -> Step:
    """A path in quotes (`'metadata.name'`), an index, or a slice."""
    if _QUOTED.fullmatch(text):
        return _PathParser(f".{text[1:-1]}").path().follow
    match = _SLICE.fullmatch(text)
    if match is None:
        raise JSONPathError(f"invalid array index {text}")
    if match[2] is None:
        return _each(_index(match[1]))
    low, high, step = (int(group) if group else None for group in match.groups())
    if step is not None and step <= 0:
        raise JSONPathError("step must be > 0")
    return _each(lambda value: value[low:high:step] if isinstance(value, list) else ())


def _index(text: str) -> Lookup:
    if not text.lstrip("-"):
        raise JSONPathError(f"invalid array index {text}")
    index = int(text)

    def step(value: Any) -> Iterable[Any]:
        if not isinstance(value, list):
            raise JSONPathError(f"{_text(value)} is not array or slice")
        if not -len(value) <= index < len(value):
            raise JSONPathError(f"array index out of bounds: index {index}, length {len(value)}")
        return (value[index],)

    return step


_COMPARE: dict[str, Callable[[Any, Any], bool]] = {
    "==": lambda left, right: left == right,
    "!=": lambda left, right: left != right,
    "<": lambda left, right: left < right,
    "<=": lambda left, right: left <= right,
    ">": lambda left, right: left > right,
    ">=": lambda left, right: left >= right,
}


def _filter(text: str) -> Lookup:
    """The items for which `@.path`, or a comparison of two operands, holds."""
    match = _FILTER.fullmatch(text)
    if match is None:
        raise JSONPathError(f"invalid filter {text}")
    left = _operand(match[1])
    if match[2] is None:
        return lambda value: [item for item in _wildcard(value) if left(item)]
    right, compare = _operand(match[3]), _COMPARE[match[2]]

    def holds(item: Any) -> bool:
        one, other = left(item), right(item)
        if len(one) > 1 or len(other) > 1:
            raise JSONPathError("can only compare one element at a time")
        if not one or not other:
            return False
        try:
            return compare(one[0], other[0])
        except TypeError as error:
            raise JSONPathError("incompatible types for comparison") from error

    return lambda value: [item for item in _wildcard(value) if holds(item)]


def _operand(text: str) -> Callable[[Any], Sequence[Any]]:
    if _QUOTED.fullmatch(text):
        return lambda _: [_unquoted(text)]
    try:
        literal = msgspec.json.decode(text)
    except msgspec.DecodeError:
        path = _PathParser(text).path()
        return path.values
    return lambda _: [literal]


def _unquoted(text: str) -> str:
    return re.sub(r"\\(.)", lambda match: _ESCAPES.get(match[1], match[1]), text[1:-1], flags=re.DOTALL)


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case None:
            return ""
        case _:
            return msgspec.json.encode(value, order="sorted").decode()
