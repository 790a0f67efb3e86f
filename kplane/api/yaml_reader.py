"""YAML bodies: libyaml's parser, with scalars resolved as go-yaml resolves them for upstream.

Times stay strings, `yes` and `on` are booleans, numbers have no base 60. Aliases are expanded, within limits.
"""

from __future__ import annotations

import re
from typing import Any, Final

import yaml

from kplane.api.decode_error import MAX_CONTAINERS, DecodeError, too_complex

_ALIAS_LIMIT = 1_000_000
"""Nodes that a document may have once its aliases are expanded."""


MAX_DEPTH = 10_000
"""Collections within each other; go-yaml's number."""
_SUSPECT = 2000


class _YamlLoader(yaml.CSafeLoader):
    """libyaml's parser; which scalar means what is decided here, as go-yaml decides it."""

    yaml_implicit_resolvers: dict[str, Any] = {}  # noqa: RUF012  (PyYAML's own declaration)
    DEFAULT_SCALAR_TAG: Final = ""  # type: ignore[misc]


_TAG = "tag:yaml.org,2002:"
_WORDS: dict[str, Any] = {"": None, "~": None, "null": None, "Null": None, "NULL": None}
_WORDS |= dict.fromkeys(("y", "Y", "yes", "Yes", "YES", "true", "True", "TRUE", "on", "On", "ON"), True)
_WORDS |= dict.fromkeys(("n", "N", "no", "No", "NO", "false", "False", "FALSE", "off", "Off", "OFF"), False)
_INTEGER = re.compile(r"[-+]?(?:0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)", re.ASCII).fullmatch
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?", re.ASCII).fullmatch


class YamlReader:
    """One document, from parser nodes to JSON values."""

    def __init__(self, body: bytes) -> None:
        self._nodes = 0
        self._containers = 0
        self._open: set[int] = set()
        self.duplicates: list[str] = []
        """What strict decoding says of repeated keys; complete once the value was read."""
        self._root: yaml.Node | None = None
        try:
            _check_depth(body)
            loader = _YamlLoader(body)
            try:
                if loader.check_node():
                    self._root = loader.get_node()
            finally:
                loader.dispose()
        except yaml.YAMLError as error:
            raise DecodeError(_yaml_fault(error)) from error
        except RecursionError as error:
            raise DecodeError("yaml: exceeded max depth") from error

    def value(self) -> Any:
        if self._root is None:
            return None
        try:
            return self._convert(self._root)
        except RecursionError as error:
            raise DecodeError("yaml: exceeded max depth") from error

    def _convert(self, node: yaml.Node) -> Any:
        self._nodes += 1
        if self._nodes > _ALIAS_LIMIT:
            raise DecodeError("yaml: document contains excessive aliasing")
        if isinstance(node, yaml.ScalarNode):
            return _yaml_scalar(node)
        if id(node) in self._open:
            raise DecodeError("yaml: anchor contains itself")
        self._containers += 1
        if self._containers > MAX_CONTAINERS:
            raise too_complex()
        self._open.add(id(node))
        try:
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node)
            return [self._convert(item) for item in node.value]
        finally:
            self._open.discard(id(node))

    def _mapping(self, node: yaml.MappingNode) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.value == "<<" and isinstance(key_node, yaml.ScalarNode) and not key_node.style:
                merged = self._merged(value_node) | merged
                continue
            key = _yaml_key(self._convert(key_node))
            if key in result:
                line = key_node.start_mark.line + 1
                self.duplicates.append(f'line {line}: key "{key}" already set in map')
            result[key] = self._convert(value_node)
        return merged | result

    def _merged(self, node: yaml.Node) -> dict[str, Any]:
        """What a `<<` key brings in: a mapping, or a list of them of which the first wins."""
        brought = self._convert(node)
        result: dict[str, Any] = {}
        for entry in reversed(brought if isinstance(brought, list) else [brought]):
            if not isinstance(entry, dict):
                raise DecodeError("yaml: map merge requires map or sequence of maps as the value")
            result |= entry
        return result


def _check_depth(body: bytes) -> None:
    """Raises DecodeError for nesting that would overflow the C stack, on which libyaml's composer recurses.

    Reading events is slow and does not recurse: only bodies that may nest deeply are read so. One level of a
    block takes a column more on each of its lines, so 3 MiB hold few of them, unless they open on one line.
    """
    if body.count(b"[") + body.count(b"{") <= _SUSPECT and not any(map(_opens_many, body.splitlines())):
        return
    depth = containers = 0
    for event in yaml.parse(body, Loader=_YamlLoader):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            containers += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if depth > MAX_DEPTH:
            raise DecodeError("yaml: exceeded max depth")
        if containers > MAX_CONTAINERS:
            raise too_complex()


def _opens_many(line: bytes) -> bool:
    return len(line) > _SUSPECT and sum(line.count(mark) for mark in (b"-", b"?", b":")) > _SUSPECT


def _yaml_scalar(node: yaml.ScalarNode) -> Any:
    text: str = node.value
    if node.tag == f"{_TAG}binary":
        raise DecodeError("yaml: !!binary is not supported")
    if node.style or node.tag in (f"{_TAG}str", "!"):
        return text
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER(text) and len(text) <= 100:
        plain = text.replace("_", "")
        sign, digits = (plain[0], plain[1:]) if plain[0] in "+-" else ("", plain)
        octal = len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()
        value = int(digits, 8) if octal else int(digits, 0)
        return -value if sign == "-" else value
    if _FLOAT(text):
        number = float(text)
        # YAML has one kind of number to the JSON that it becomes: 3.0 is 3.
        return int(number) if number.is_integer() and abs(number) < 2**53 else number
    return text


def _yaml_key(key: Any) -> str:
    match key:
        case str():
            return key
        case bool():
            return "true" if key else "false"
        case int() | float():
            return str(key)
        case None:
            return "null"
    raise DecodeError("yaml: invalid map key")


def _yaml_fault(error: yaml.YAMLError) -> str:
    if isinstance(error, yaml.MarkedYAMLError) and error.problem_mark is not None:
        return f"yaml: line {error.problem_mark.line + 1}: {error.problem}"
    if isinstance(error, yaml.reader.ReaderError):
        return f"yaml: {error.reason}"
    return f"yaml: {error}"
