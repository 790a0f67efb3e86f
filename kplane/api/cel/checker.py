"""The type of every node, by unification, as cel-go's checker: overloads are chosen here, and faults
reported.

A fault gives its node the type `error`, which fits everywhere, so that one mistake is reported once.

Invariant: after `check` returns, every node has a type without variables, every call its overloads.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from .ast import Bind, Call, Expr, Fold, Ident, ListExpr, Literal, MapExpr, Select, StructExpr
from .conversions import parse_duration, parse_timestamp
from .errors import EvaluationError, Issue
from .macros import dotted_name
from .overload import Overload
from .regular import compiled
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DYN,
    INT,
    NULL,
    STRING,
    UINT,
    Type,
    call_signature,
    list_of,
    map_of,
    optional_of,
    same,
    type_of_type,
    variable,
)
from .values import UInt

ERROR = Type("error")
_ANY = frozenset({"dyn", "error"})
_ORDERED = frozenset({"int", "uint", "double", "bool", "duration", "timestamp", "string", "bytes", *_ANY})
_NULLABLE = frozenset({"null", "timestamp", "duration", "object", "opaque", "optional_type"})
_LITERALS: dict[type, Type] = {
    bool: BOOL,
    int: INT,
    UInt: UINT,
    float: DOUBLE,
    str: STRING,
    bytes: BYTES,
    type(None): NULL,
}
_CHECKED_ARGUMENTS: dict[str, Callable[[str], object]] = {
    "duration": parse_duration,
    "timestamp": parse_timestamp,
    "matches": compiled,
}
"""Functions whose literal arguments are tried while compiling."""
Bound = dict[str, Type]


class Checker:
    def __init__(
        self,
        variables: Mapping[str, Type],
        types: Callable[[str], Type | None],
        functions: Mapping[str, Sequence[Overload]],
        issues: list[Issue],
    ) -> None:
        self.references: set[str] = set()
        """Declared variables that the expression reads."""
        self._variables = variables
        self._types = types
        self._functions = functions
        self._issues = issues
        self._scopes: list[tuple[str, Type]] = []
        self._bound: Bound = {}
        self._fresh = 0
        self._nodes: list[Expr] = []

    def check(self, tree: Expr) -> Type:
        """Annotate the whole tree; the type of its value."""
        self._visit(tree)
        for node in self._nodes:
            node.type = self._final(node.type)
        return tree.type

    def _visit(self, node: Expr) -> Type:
        match node:
            case Literal():
                node.type = _LITERALS[type(node.value)]
            case Ident():
                node.type = self._ident(node)
            case Select():
                node.type = self._select(node)
            case Call():
                node.type = self._call(node)
            case ListExpr():
                node.type = self._list(node)
            case MapExpr():
                node.type = self._map(node)
            case StructExpr():
                node.type = self._struct(node)
            case Fold():
                node.type = self._fold(node)
            case Bind():
                value = self._visit(node.value)
                self._scopes.append((node.name, value))
                node.type = self._visit(node.body)
                self._scopes.pop()
        self._nodes.append(node)
        return node.type

    def _fault(self, at: int, message: str) -> Type:
        self._issues.append(Issue(at, message))
        return ERROR

    def _undeclared(self, at: int, name: str) -> Type:
        return self._fault(at, f"undeclared reference to '{name}' (in container '')")

    # Names and fields

    def _local(self, name: str) -> Type | None:
        return next((kind for local, kind in reversed(self._scopes) if local == name), None)

    def _ident(self, node: Ident) -> Type:
        if local := self._local(node.name):
            return local
        if declared := self._variables.get(node.name):
            self.references.add(node.name)
            return declared
        if named := self._types(node.name):
            node.denotes = named
            return type_of_type(named)
        return self._undeclared(node.at, node.name)

    def _dotted(self, node: Select) -> Type | None:
        """The type of a chain that is one dotted name altogether."""
        name = "" if node.test else dotted_name(node)
        if not name or self._local(name.partition(".")[0]):
            return None
        if name in self._variables or (name.partition(".")[0] not in self._variables and self._types(name)):
            node.resolved = Ident(node.at, name)
            return self._visit(node.resolved)
        return None

    def _select(self, node: Select) -> Type:
        if dotted := self._dotted(node):
            return dotted
        found = self._field(self._visit(node.operand), node.field, node.at)
        return BOOL if node.test and found is not ERROR else found

    def _field(self, operand: Type, name: str, at: int) -> Type:
        operand = self._find(operand)
        match operand.kind:
            case "dyn" | "error" | "var":
                return DYN
            case "object":
                field = operand.structure.field(name) if operand.structure else None
                return field.type if field else self._fault(at, f"undefined field '{name}'")
            case "map":
                return operand.params[1]
            case "optional_type":
                inner = self._field(operand.params[0], name, at)
                return inner if inner is ERROR else optional_of(inner)
        return self._fault(at, f"type '{self._final(operand)}' does not support field selection")

    # Calls

    def _call(self, node: Call) -> Type:
        if node.target is not None:
            prefix = dotted_name(node.target)
            if prefix and f"{prefix}.{node.function}" in self._functions:
                node.function, node.target = f"{prefix}.{node.function}", None
        if node.function == "_?._":
            return self._optional_select(node)
        declared = self._functions.get(node.function)
        args = [self._visit(operand) for operand in node.operands()]
        if declared is None:
            return self._undeclared(node.at, node.function)
        if any(self._find(arg) is ERROR for arg in args):
            return ERROR
        self._try_literal(node)
        return self._resolve(node, declared, args)

    def _optional_select(self, node: Call) -> Type:
        operand = self._find(self._visit(node.args[0]))
        self._visit(node.args[1])
        inner = operand.params[0] if operand.kind == "optional_type" else operand
        name = node.args[1]
        assert isinstance(name, Literal)
        found = self._field(inner, name.value, node.at)
        return found if found is ERROR else optional_of(found)

    def _resolve(self, node: Call, declared: Sequence[Overload], args: list[Type]) -> Type:
        """Every overload that may fit; where several do, the result is dynamic unless they agree."""
        method = node.target is not None
        result: Type | None = None
        for overload in declared:
            if overload.method is not method or len(overload.params) != len(args):
                continue
            fresh: dict[str, Type] = {}
            params = [self._instance(param, fresh) for param in overload.params]
            bound = dict(self._bound)
            if not all(self._fits(bound, arg, param) for arg, param in zip(args, params, strict=True)):
                continue
            self._bound = bound
            node.overloads.append(overload)
            one = self._final(self._instance(overload.result, fresh), keep=True)
            result = one if result is None or same(result, one) else DYN
        if result is None:
            shown = call_signature([self._final(arg) for arg in args], method)
            return self._fault(
                node.at, f"found no matching overload for '{node.function}' applied to '{shown}'"
            )
        return result

    def _try_literal(self, node: Call) -> None:
        attempt = _CHECKED_ARGUMENTS.get(node.function)
        if attempt is None or not node.args or not isinstance(node.args[-1], Literal):
            return
        value = node.args[-1].value
        try:
            if isinstance(value, str):
                attempt(value)
        except EvaluationError:
            self._fault(node.args[-1].at, f"invalid {node.function} argument")

    # Literals

    def _unwrapped(self, kind: Type, at: int, optional: bool) -> Type:
        """The type inside the optional that a `?value` must be."""
        kind = self._find(kind)
        if not optional or kind.kind in _ANY:
            return kind
        if kind.kind == "optional_type":
            return kind.params[0]
        return self._mismatch(at, optional_of(kind), kind)

    def _mismatch(self, at: int, wanted: Type, found: Type) -> Type:
        return self._fault(at, f"expected type '{self._final(wanted)}' but found '{self._final(found)}'")

    def _joined(self, previous: Type | None, following: Type, at: int) -> Type:
        """Items of one literal are of one type; null and a nullable type are that type."""
        if previous is None:
            return following
        bound = dict(self._bound)
        if self._fits(bound, following, previous):
            self._bound = bound
            # One dynamic item makes the list dynamic; null takes the type of what stands beside it.
            return following if previous.kind == "null" else DYN if following.kind in _ANY else previous
        bound = dict(self._bound)
        if self._fits(bound, previous, following):
            self._bound = bound
            return following
        return self._mismatch(at, previous, following)

    def _list(self, node: ListExpr) -> Type:
        item: Type | None = None
        for index, entry in enumerate(node.items):
            found = self._unwrapped(self._visit(entry), entry.at, index in node.optional)
            item = self._joined(item, found, entry.at)
        return list_of(item if item is not None else self._variable())

    def _map(self, node: MapExpr) -> Type:
        key: Type | None = None
        value: Type | None = None
        for entry in node.entries:
            key = self._joined(key, self._visit(entry.key), entry.key.at)
            found = self._unwrapped(self._visit(entry.value), entry.value.at, entry.optional)
            value = self._joined(value, found, entry.value.at)
        return map_of(key or self._variable(), value or self._variable())

    def _struct(self, node: StructExpr) -> Type:
        kind = self._types(node.name)
        for field in node.fields:
            self._visit(field.value)
        if kind is None:
            return self._undeclared(node.at, node.name)
        if kind.kind != "object" or kind.structure is None:
            return self._fault(node.at, f"'{node.name}' is not a message type")
        for field in node.fields:
            wanted = kind.structure.field(field.name)
            found = self._unwrapped(field.value.type, field.at, field.optional)
            if wanted is None:
                self._fault(field.at, f"undefined field '{field.name}'")
            elif not self._fits(self._bound, found, wanted.type):
                shown = f"is '{wanted.type}' but provided type is '{self._final(found)}'"
                self._fault(field.at, f"expected type of field '{field.name}' {shown}")
        return kind

    # Comprehensions

    def _fold(self, node: Fold) -> Type:
        over = self._find(self._visit(node.over))
        names = self._loop_types(over, len(node.names))
        if names is None:
            shown = f"expression of type '{self._final(over)}' cannot be range of a comprehension"
            self._fault(node.over.at, f"{shown} (must be list, map, or dynamic)")
            names = (ERROR, ERROR)
        self._scopes += zip(node.names, names, strict=False)
        where = self._visit(node.where) if node.where is not None else BOOL
        body = self._visit(node.body)
        del self._scopes[-len(node.names) :]
        return self._fold_result(node, names, where, body)

    def _loop_types(self, over: Type, count: int) -> tuple[Type, ...] | None:
        match over.kind:
            case "list":
                return (over.params[0],) if count == 1 else (INT, over.params[0])
            case "map":
                return over.params[:count]
            case "dyn" | "error" | "var":
                return (DYN, DYN)
        return None

    def _fold_result(self, node: Fold, names: Sequence[Type], where: Type, body: Type) -> Type:
        item = names[0]
        match node.kind:
            case "all":
                return self._condition(node.at, body, "_&&_", BOOL, BOOL)
            case "exists":
                return self._condition(node.at, body, "_||_", BOOL, BOOL)
            case "exists_one":
                return self._choice(node.at, body, INT, BOOL)
            case "filter":
                return self._choice(node.at, body, list_of(item), list_of(item))
            case "map":
                return self._choice(node.at, where, list_of(body), list_of(body))
            case "transformMap":
                return self._choice(node.at, where, map_of(names[0], body), map_of(names[0], body))
            case "sortBy":
                return self._sorted(node, body)
        entry = self._find(body)
        if entry.kind not in ("map", *_ANY):
            return self._mismatch(node.at, map_of(DYN, DYN), entry)
        return self._choice(node.at, where, entry, entry)

    def _sorted(self, node: Fold, key: Type) -> Type:
        over, found = self._find(node.over.type), self._find(key)
        if found.kind in _ORDERED and over.kind in ("list", *_ANY):
            return over
        shown = call_signature([self._final(over), list_of(self._final(found))], True)
        function = "@sortByAssociatedKeys"
        return self._fault(node.at, f"found no matching overload for '{function}' applied to '{shown}'")

    def _condition(self, at: int, body: Type, function: str, accumulated: Type, result: Type) -> Type:
        if self._fits(self._bound, body, BOOL):
            return result
        shown = call_signature([accumulated, self._final(body)], False)
        return self._fault(at, f"found no matching overload for '{function}' applied to '{shown}'")

    def _choice(self, at: int, condition: Type, accumulated: Type, result: Type) -> Type:
        if self._fits(self._bound, condition, BOOL):
            return result
        shown = call_signature([self._final(kind) for kind in (condition, accumulated, accumulated)], False)
        return self._fault(at, f"found no matching overload for '_?_:_' applied to '{shown}'")

    # Unification

    def _variable(self) -> Type:
        self._fresh += 1
        return variable(f"_var{self._fresh}")

    def _instance(self, kind: Type, fresh: dict[str, Type]) -> Type:
        """A signature's type with variables of its own for this call."""
        if kind.kind == "var":
            if kind.name not in fresh:
                fresh[kind.name] = self._variable()
            return fresh[kind.name]
        if not kind.params:
            return kind
        return Type(kind.kind, tuple(self._instance(param, fresh) for param in kind.params), kind.name)

    def _find(self, kind: Type, bound: Bound | None = None) -> Type:
        bound = self._bound if bound is None else bound
        while kind.kind == "var" and kind.name in bound:
            kind = bound[kind.name]
        return kind

    def _final(self, kind: Type, *, keep: bool = False) -> Type:
        """Without variables: what is bound is put in, what is not is dynamic, unless it is to be kept."""
        kind = self._find(kind)
        if kind.kind == "var":
            return kind if keep else DYN
        if not kind.params:
            return kind
        params = tuple(self._final(param, keep=keep) for param in kind.params)
        if all(old is new for old, new in zip(kind.params, params, strict=True)):
            return kind
        return Type(kind.kind, params, kind.name, kind.most, kind.least, kind.view, kind.structure)

    def _occurs(self, name: str, kind: Type, bound: Bound) -> bool:
        kind = self._find(kind, bound)
        return (
            kind.name == name
            if kind.kind == "var"
            else any(self._occurs(name, p, bound) for p in kind.params)
        )

    def _fits(self, bound: Bound, found: Type, wanted: Type) -> bool:
        """Whether a value of type `found` may stand where `wanted` is; binds variables."""
        found, wanted = self._find(found, bound), self._find(wanted, bound)
        for one, other in ((wanted, found), (found, wanted)):
            if one.kind == "var":
                if other.kind == "var" and other.name == one.name:
                    return True
                if self._occurs(one.name, other, bound):
                    return False
                bound[one.name] = other
                return True
        if found.kind in _ANY or wanted.kind in _ANY:
            return True
        if found.kind == "null" or wanted.kind == "null":
            return found.kind in _NULLABLE and wanted.kind in _NULLABLE
        if found.kind != wanted.kind or found.name != wanted.name:
            return False
        if found.kind == "type":
            return True
        if len(found.params) != len(wanted.params):
            return False
        return all(
            self._fits(bound, one, other) for one, other in zip(found.params, wanted.params, strict=True)
        )
