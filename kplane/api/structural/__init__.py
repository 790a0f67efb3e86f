"""Structural schemas: what CustomResourceDefinitions need. Pure values, no I/O.

    schema = compile(version["schema"]["openAPIV3Schema"])
    unknown = schema.prune(obj)
    schema.default(obj)
    faults = list(schema.validate(obj, old))

`validate_definition` judges the schema itself. Behaviour and wording are apiextensions-apiserver's.
"""

from kplane.api.structural.compiled import Structural, compile
from kplane.api.structural.definition import validate_definition
from kplane.api.structural.spec import SchemaError

__all__ = ["SchemaError", "Structural", "compile", "validate_definition"]
