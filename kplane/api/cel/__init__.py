"""Common Expression Language, as Kubernetes speaks it: compile once, evaluate often, at a bounded cost.

    environment = Environment({"self": type_of(schema), "oldSelf": type_of(schema)})
    program = environment.compile("self.minReplicas <= self.replicas")   # CelError: str() is upstream's text
    program.evaluate({"self": spec}, budget)                             # EvaluationError, BudgetExceeded
    program.estimate().most                                              # against PER_EXPRESSION_ESTIMATE

Stages: lexer and parser (parser.py, macros.py) make a tree (ast.py); the checker (checker.py) gives it types
(types.py) and overloads (library/); the compiler (compiler.py, folds.py) makes closures that count costs
(charges.py); estimate.py says beforehand what they can cost. Values are Python's own and decoded JSON
(values.py).

Pure: reads no clock, no file, no network. Callers give in what an expression may ask, e.g. the authorizer.
"""

from __future__ import annotations

from .environment import (
    MATCH_CONDITIONS_BUDGET,
    PER_CALL_LIMIT,
    PER_CRD_ESTIMATE,
    PER_EXPRESSION_ESTIMATE,
    RUNTIME_BUDGET,
    Budget,
    Environment,
    Program,
)
from .errors import BudgetExceeded, CelError, EvaluationError
from .escaping import escape, unescape
from .overload import Range
from .schema_types import type_of
from .types import (
    BOOL,
    BYTES,
    DOUBLE,
    DURATION,
    DYN,
    INT,
    NULL,
    STRING,
    TIMESTAMP,
    UINT,
    Field,
    Type,
    list_of,
    map_of,
    object_of,
    optional_of,
)
from .values import NONE, Optional, to_json

__all__ = [
    "BOOL",
    "BYTES",
    "DOUBLE",
    "DURATION",
    "DYN",
    "INT",
    "MATCH_CONDITIONS_BUDGET",
    "NONE",
    "NULL",
    "PER_CALL_LIMIT",
    "PER_CRD_ESTIMATE",
    "PER_EXPRESSION_ESTIMATE",
    "RUNTIME_BUDGET",
    "STRING",
    "TIMESTAMP",
    "UINT",
    "Budget",
    "BudgetExceeded",
    "CelError",
    "Environment",
    "EvaluationError",
    "Field",
    "Optional",
    "Program",
    "Range",
    "Type",
    "escape",
    "list_of",
    "map_of",
    "object_of",
    "optional_of",
    "to_json",
    "type_of",
    "unescape",
]
