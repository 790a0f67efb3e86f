"""What an expression can cost, from the sizes that its types admit; for a look before it is ever evaluated.

Source: cel-go `checker/cost.go`. Sizes come from the types (schema_types.py), of literals and results of
calls from themselves.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from .ast import Bind, Call, Expr, Fold, Ident, ListExpr, Literal, MapExpr, Select, StructExpr
from .folds import KEPT, ONCE
from .overload import LARGEST, ONE, UNKNOWN, ZERO, Estimated, Operand, Range
from .types import SCALARS, Type

_LIST, _MAP, _STRUCT = Range(10, 10), Range(30, 30), Range(40, 40)


class _Known(NamedTuple):
    cost: Range
    size: Range | None = None
    item: Range | None = None


def estimate(tree: Expr, sizes: Mapping[str, int]) -> Range:
    """The least and the most that evaluating can cost; `sizes` of variables whose types do not say."""
    return _Estimator(sizes).visit(tree).cost


class _Estimator:
    def __init__(self, sizes: Mapping[str, int]) -> None:
        self._sizes = sizes
        self._scopes: list[tuple[str, _Known]] = []

    def visit(self, node: Expr) -> _Known:
        match node:
            case Literal():
                length = len(node.value) if isinstance(node.value, (str, bytes)) else 1
                return _Known(ZERO, Range(length, length))
            case Ident():
                return self._ident(node)
            case Select():
                operand = self.visit(node.operand)
                paid = not node.test and node.operand.type.kind in ("object", "map")
                cost = operand.cost.plus(ONE) if paid else operand.cost
                # Upstream looks up sizes by the names of fields, which a map's keys are not, unless its type
                # says that they are.
                unnamed = node.operand.type.kind == "map" and node.operand.type.structure is None
                return _Known(cost, (ONE if node.type.kind in SCALARS else UNKNOWN) if unnamed else None)
            case Call():
                return self._call(node)
            case ListExpr():
                items = [self.visit(item) for item in node.items]
                return _Known(_total(items).plus(_LIST), _exactly(len(items)), _widest(node.items, items))
            case MapExpr():
                keys = [self.visit(entry.key) for entry in node.entries]
                values = [self.visit(entry.value) for entry in node.entries]
                widest = _widest([entry.value for entry in node.entries], values)
                return _Known(_total(keys).plus(_total(values)).plus(_MAP), _exactly(len(keys)), widest)
            case StructExpr():
                return _Known(_total([self.visit(field.value) for field in node.fields]).plus(_STRUCT))
            case Fold():
                return self._fold(node)
            case Bind():
                value = self.visit(node.value)
                self._scopes.append((node.name, value))
                body = self.visit(node.body)
                self._scopes.pop()
                return _Known(value.cost.plus(body.cost).plus(_LIST), body.size, body.item)

    def _ident(self, node: Ident) -> _Known:
        for name, known in reversed(self._scopes):
            if name == node.name:
                return known._replace(cost=ONE)
        most = self._sizes.get(node.name)
        return _Known(ONE, Range(0, most) if most is not None else None)

    def _call(self, node: Call) -> _Known:
        operands = node.operands()
        found = [self.visit(operand) for operand in operands]
        match node.function:
            case "_&&_" | "_||_":
                left, right = found
                return _Known(Range(left.cost.least, left.cost.plus(right.cost).most))
            case "_?_:_":
                condition, yes, no = found
                size = _size(operands[1].type, yes).union(_size(operands[2].type, no))
                item = yes.item.union(no.item) if yes.item and no.item else None
                return _Known(condition.cost.plus(yes.cost.union(no.cost)), size, item)
            case "dyn":
                return _Known(found[0].cost.plus(ONE), found[0].size, found[0].item)
            case "_[_]":
                return _Known(_total(found).plus(ONE), found[0].item)
        return self._priced(node, operands, found)

    def _priced(self, node: Call, operands: list[Expr], found: list[_Known]) -> _Known:
        arguments = [
            Operand(operand.type, _size(operand.type, known), _item(operand.type, known), _literal(operand))
            for operand, known in zip(operands, found, strict=True)
        ]
        cost = Range(LARGEST, 0) if node.overloads else ONE
        size: Range | None = None
        for overload in node.overloads:
            one = overload.charge.estimate(arguments) if overload.charge else Estimated(ONE)
            cost = cost.union(one.cost)
            if one.size is not None:
                size = size.union(one.size) if size else one.size
        item = found[0].item if found and node.function == "_+_" else None
        return _Known(_total(found).plus(cost), size, item)

    def _fold(self, node: Fold) -> _Known:
        over = self.visit(node.over)
        rounds = _size(node.over.type, over)
        loop = _Known(ONE, over.item)
        first = loop if len(node.names) == 1 and node.over.type.kind == "list" else _Known(ONE)
        self._scopes += [(name, first if i == 0 else loop) for i, name in enumerate(node.names)]
        where = self.visit(node.where).cost if node.where is not None else None
        body = self.visit(node.body)
        del self._scopes[-len(node.names) :]
        once = _exactly(ONCE[node.kind])
        cost = over.cost.plus(once).plus(rounds.times(_round(node.kind, where, body.cost)))
        if node.kind in ("all", "exists", "exists_one"):
            return _Known(cost)
        return _Known(cost, rounds, over.item if node.kind in ("filter", "sortBy") else body.size)


def _round(kind: str, where: Range | None, body: Range) -> Range:
    """One round of a loop: the condition that goes on, and the step."""
    match kind:
        case "all" | "exists":
            condition = 2 if kind == "all" else 3
            return Range(condition + 1, min(condition + 1 + body.most, LARGEST))
        case "exists_one":
            return body.plus(Range(1, 2))
        case "filter":
            return body.plus(Range(1, 13))
    step = body.plus(_exactly(KEPT[kind]))
    return step if where is None else where.plus(step.union(ONE))


def _exactly(value: int) -> Range:
    return Range(value, value)


def _total(parts: list[_Known]) -> Range:
    cost = ZERO
    for part in parts:
        cost = cost.plus(part.cost)
    return cost


def _widest(nodes: list[Expr], parts: list[_Known]) -> Range:
    widest: Range | None = None
    for node, part in zip(nodes, parts, strict=True):
        size = _size(node.type, part)
        widest = widest.union(size) if widest else size
    return widest or ZERO


def _size(kind: Type, known: _Known) -> Range:
    if known.size is not None:
        return known.size
    return _type_size(kind)


def _type_size(kind: Type) -> Range:
    if kind.most is not None:
        return Range(0, kind.most)
    return ONE if kind.kind in SCALARS else UNKNOWN


def _item(kind: Type, known: _Known) -> Range:
    if known.item is not None:
        return known.item
    return _type_size(kind.params[-1]) if kind.params else UNKNOWN


def _literal(node: Expr) -> object:
    return node.value if isinstance(node, Literal) else None
