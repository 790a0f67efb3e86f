"""Objects against their schema: JSON types, unknown fields, quantities, the way Go's decoder does it.

`check` walks an object once, in place. It drops nulls, unknown fields and empty optional lists and maps,
all of which a typed decoder would not carry over, and writes quantities and times in their canonical form;
everything else it only reports. Which values a field may have is the strategies' business.

Invariant: a sound object costs no path and no message; both are put together on the way back from a fault.
"""

from __future__ import annotations

import binascii
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from kplane.api import quantity
from kplane.api.clock import rfc3339, rfc3339_micro
from kplane.api.field import quoted
from kplane.api.resource import Object
from kplane.api.schema import Node

MAX_UNKNOWN = 100
"""Unknown fields that are reported, as many as upstream's decoder reports."""


@dataclass(slots=True)
class Checked:
    """What one walk found."""

    errors: list[str] = field(default_factory=list)
    """The first type error, which is the one that upstream reports. Empty for a sound object."""
    unknown: list[str] = field(default_factory=list)
    """Paths of the unknown fields that were dropped, e.g. `spec.foo`; the first MAX_UNKNOWN of them."""


@dataclass(slots=True)
class _Finding:
    """One fault on its way up: `steps` grows from the innermost outwards."""

    text: str
    """For a type error, what follows `json: cannot unmarshal `, with the place left open; for a value that
    parses itself, its whole message; empty for an unknown field."""
    type: str = ""
    struct: str = ""
    steps: list[str] = field(default_factory=list)

    def path(self) -> str:
        """`spec.containers[0].foo`."""
        return "".join(reversed(self.steps)).removeprefix(".")

    def message(self) -> str:
        if not self.type:
            return self.text
        # Go's error names the fields on the way, neither indexes nor map keys.
        names = "".join(step for step in reversed(self.steps) if step[0] == ".")
        place = f"struct field {self.struct}{names}" if names else "value"
        return f"json: cannot unmarshal {self.text} into Go {place} of type {self.type}"


_Found = list[_Finding] | None
_Check = Callable[[Any, Any, Any], _Found]
"""(container, key, value): checks `value`, may replace `container[key]`."""


class _Rule(NamedTuple):
    plain: type | None
    """A value of exactly this type is sound as it is."""
    check: _Check
    container: type | None = None
    """The type whose empty value means the same as absence: list or dict."""
    zero: Callable[[], Any] = lambda: None
    """Makes what null stands for in a list or a map."""
    keeps_null: bool = False
    """Whether null is a value like any other."""


def check(obj: Object, node: Node) -> Checked:
    """Check and prune `obj` in place."""
    rule = _rule(node)
    checked = Checked()
    try:
        findings = rule.check([obj], 0, obj) if rule.plain is not dict else None
    except RecursionError:
        checked.errors.append("exceeded max depth")
        return checked
    for finding in findings or ():
        if finding.text:
            checked.errors = checked.errors or [finding.message()]
        elif len(checked.unknown) < MAX_UNKNOWN:
            checked.unknown.append(finding.path())
    return checked


def mended(value: Any, node: Node) -> Any:
    """A value by itself, as `check` would leave it. Raises ValueError where it would report a fault."""
    kept = [value]
    if _rule(node).check(kept, 0, value):
        raise ValueError(value)
    return kept[0]


def cannot_handle(kind: str, version: str, error: str) -> str:
    """The message of the 400 for a type error: `Pod in version "v1" cannot be handled as a Pod: …`."""
    return f'{kind} in version "{version}" cannot be handled as a {kind}: {error}'


def strict_faults(unknown: list[str], duplicates: list[str]) -> list[str]:
    """One text per fault: `Warning:` headers of `fieldValidation=Warn`, parts of the 400 of `Strict`."""
    repeated = [f'duplicate field "{path}"' for path in duplicates]
    return repeated + [f'unknown field "{path}"' for path in unknown]


_KEPT_RULES = 20_000
_rules: dict[int, tuple[Node, _Rule]] = {}
"""By identity, with the node so that its identity stays taken."""


def _rule(node: Node) -> _Rule:
    """The compiled rule of a node."""
    kept = _rules.get(id(node))
    if kept is None:
        if len(_rules) >= _KEPT_RULES:
            _rules.clear()
        kept = _rules[id(node)] = (node, _compile(node))
    return kept[1]


def _compile(node: Node) -> _Rule:
    match node.kind:
        case "object" if node.preserve_unknown and not node.fields:
            return _Rule(dict, _expect(f"v1.{node.go_type}"), zero=dict)
        case "object":
            return _Rule(None, _object(node), zero=dict)
        case "map":
            return _Rule(None, _map(node), container=dict, zero=dict)
        case "list":
            return _Rule(None, _list(node), container=list, zero=list)
        case "string":
            return _Rule(str, _expect("string"), zero=str)
        case "boolean":
            return _Rule(bool, _expect("bool"), zero=bool)
        case "integer":
            return _Rule(None, _integer(node.format), zero=int)
        case "number":
            return _Rule(float, _number, zero=float)
        case "quantity":
            return _Rule(None, _quantity, zero=lambda: "0")
        case "int-or-string":
            return _Rule(str, _int_or_string, zero=int)
        case "date-time":
            return _Rule(None, _micro_time if node.go_type == "MicroTime" else _time)
        case "bytes":
            return _Rule(None, _bytes, zero=str)
    return _Rule(None, lambda container, key, value: None, keeps_null=True)


def _object(node: Node) -> _Check:
    go_type = f"v1.{node.go_type}" if node.go_type else "map[string]interface {}"
    rules: dict[str, _Rule] = {}

    def load() -> None:
        # On first use, not while compiling: a definition may contain itself.
        for name, child in (node.fields or {}).items():
            rule = _rule(child)
            rules[name] = rule._replace(container=None) if name in node.required else rule

    def check_object(container: Any, key: Any, value: Any) -> _Found:
        if type(value) is not dict:
            return [_Finding(_json_type(value), go_type)]
        if not rules:
            load()
        found: _Found = None
        dropped: list[str] | None = None
        for name, item in value.items():
            rule = rules.get(name)
            if rule is None:
                if not node.preserve_unknown:
                    found = _extend(found, [_Finding("")], f".{name}", node.go_type)
                    dropped = dropped or []
                    dropped.append(name)
                continue
            kind = type(item)
            if kind is rule.plain:
                continue
            if item is None or (not item and kind is rule.container):
                if not rule.keeps_null:
                    dropped = dropped or []
                    dropped.append(name)
                continue
            inner = rule.check(value, name, item)
            if inner:
                found = _extend(found, inner, f".{name}", node.go_type)
        if dropped:
            for name in dropped:
                del value[name]
        return found

    return check_object


def _map(node: Node) -> _Check:
    assert node.item is not None
    item_node = node.item
    go_type = _go_name(node)

    def check_map(container: Any, key: Any, value: Any) -> _Found:
        if type(value) is not dict:
            return [_Finding(_json_type(value), go_type)]
        rule = _rule(item_node)
        found: _Found = None
        for name, item in value.items():
            if type(item) is rule.plain:
                continue
            if item is None:
                value[name] = rule.zero()
                continue
            inner = rule.check(value, name, item)
            if inner:
                found = _extend(found, inner, f"[{name}]" if inner[0].text else f".{name}", "")
        return found

    return check_map


def _list(node: Node) -> _Check:
    assert node.item is not None
    item_node = node.item
    go_type = _go_name(node)

    def check_list(container: Any, key: Any, value: Any) -> _Found:
        if type(value) is not list:
            return [_Finding(_json_type(value), go_type)]
        rule = _rule(item_node)
        found: _Found = None
        for index, item in enumerate(value):
            if type(item) is rule.plain:
                continue
            if item is None:
                value[index] = rule.zero()
                continue
            inner = rule.check(value, index, item)
            if inner:
                found = _extend(found, inner, f"[{index}]", "")
        return found

    return check_list


def _extend(found: _Found, inner: list[_Finding], step: str, struct: str) -> list[_Finding]:
    for finding in inner:
        finding.steps.append(step)
        finding.struct = finding.struct or struct
    if not found:
        return inner
    found += inner
    return found


def _expect(go_type: str) -> _Check:
    """Only values of the plain type are sound."""

    def refuse(container: Any, key: Any, value: Any) -> _Found:
        return [_Finding(_json_type(value), go_type)]

    return refuse


def _integer(form: str) -> _Check:
    go_type = form if form in ("int32", "int64") else "int64"
    limit = 2**31 if form == "int32" else 2**63

    def check_integer(container: Any, key: Any, value: Any) -> _Found:
        if type(value) is int and -limit <= value < limit:
            return None
        return [_Finding(_literal(value), go_type)]

    return check_integer


def _number(container: Any, key: Any, value: Any) -> _Found:
    return None if type(value) is int else [_Finding(_json_type(value), "float64")]


def _quantity(container: Any, key: Any, value: Any) -> _Found:
    try:
        if isinstance(value, (str, int, float)):
            container[key] = quantity.canonical(value)
            return None
    except quantity.QuantityError as error:
        return [_Finding(str(error))]
    return [_Finding("quantities must match the regular expression '" + quantity.FORM + "'")]


def _int_or_string(container: Any, key: Any, value: Any) -> _Found:
    if type(value) is int and -(2**31) <= value < 2**31:
        return None
    return [_Finding(f"json: cannot unmarshal {_literal(value)} into Go value of type int32")]


_CANONICAL_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", re.ASCII).fullmatch
_CANONICAL_MICRO_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII).fullmatch
_ANY_TIME = re.compile(
    r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:[.,](\d{1,9}))?(Z|[-+]\d\d:\d\d)", re.ASCII
).fullmatch


def _time(container: Any, key: Any, value: Any) -> _Found:
    return _moment(container, key, value, _CANONICAL_TIME, rfc3339, "2006-01-02T15:04:05Z07:00")


def _micro_time(container: Any, key: Any, value: Any) -> _Found:
    layout = "2006-01-02T15:04:05.000000Z07:00"
    return _moment(container, key, value, _CANONICAL_MICRO_TIME, rfc3339_micro, layout)


def _moment(
    container: Any,
    key: Any,
    value: Any,
    canonical: Callable[[str], object],
    show: Callable[[datetime], str],
    layout: str,
) -> _Found:
    if type(value) is not str:
        return [_Finding(f"json: cannot unmarshal {_json_type(value)} into Go value of type string")]
    match = _ANY_TIME(value)
    if match is None:
        text = f'parsing time {quoted(value)} as "{layout}": cannot parse {quoted(value)} as "2006"'
        return [_Finding(text)]
    try:
        moment = datetime.fromisoformat(f"{match[1]}.{(match[2] or '0')[:6]:0<6}{match[3]}")
    except ValueError:
        return [_Finding(f"parsing time {quoted(value)}: out of range")]
    if not canonical(value):
        container[key] = show(moment)
    return None


def _bytes(container: Any, key: Any, value: Any) -> _Found:
    if type(value) is not str:
        return [_Finding(_json_type(value), "[]uint8")]
    try:
        binascii.a2b_base64(value.replace("\n", "").replace("\r", ""), strict_mode=True)
    except (binascii.Error, ValueError):
        return [_Finding(f"illegal base64 data at input byte {_base64_fault(value)}")]
    return None


def _base64_fault(value: str) -> int:
    """Where Go's decoder stops: the first foreign character, else the last whole group."""
    foreign = re.search(r"[^A-Za-z0-9+/\r\n]", value)
    return foreign.start() if foreign and value[foreign.start()] != "=" else len(value) // 4 * 4


def _json_type(value: Any) -> str:
    match value:
        case bool():
            return "bool"
        case str():
            return "string"
        case int() | float():
            return "number"
        case dict():
            return "object"
    return "array"


def _literal(value: Any) -> str:
    """The type, and for a number that does not fit, the number."""
    kind = _json_type(value)
    if kind != "number":
        return kind
    return f"number {value}" if isinstance(value, int) or math.isfinite(value) else kind


def _go_name(node: Node) -> str:
    """The Go type of a node, for messages."""
    match node.kind:
        case "list" if node.item is not None:
            return f"[]{_go_name(node.item)}"
        case "map" if node.item is not None:
            return f"map[string]{_go_name(node.item)}"
        case "object":
            return f"v1.{node.go_type}"
        case "integer":
            return node.format or "int64"
        case "boolean":
            return "bool"
        case "bytes":
            return "[]uint8"
        case "quantity":
            return "resource.Quantity"
    return "string"
