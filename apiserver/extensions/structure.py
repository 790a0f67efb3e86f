"""The NonStructuralSchema condition: definitions from before schemas had to be structural. Pure.

The API takes no such definition any more; a store may hold some. Wording: apiextensions
`pkg/controller/nonstructuralschema`.
"""

from __future__ import annotations

from collections.abc import Iterator

from kplane.api.field import FieldError, Path
from kplane.api.resource import Object
from kplane.api.structural import SchemaError
from kplane.api.structural.invariants import check_invariants
from kplane.api.structural.spec import parse

from .conditions import NON_STRUCTURAL, Condition


def condition(crd: Object) -> Condition | None:
    """None where every schema is structural."""
    faults = list(dict.fromkeys(map(str, _faults(crd["spec"]))))
    if not faults:
        return None
    text = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    return Condition(NON_STRUCTURAL, "True", "Violations", text)


def _faults(spec: Object) -> Iterator[FieldError]:
    path = Path("spec")
    if spec.get("preserveUnknownFields"):
        yield path.preserveUnknownFields.invalid(True, "must be false")
    for index, version in enumerate(spec.get("versions") or ()):
        here = path.versions[index].schema.openAPIV3Schema
        source = (version.get("schema") or {}).get("openAPIV3Schema")
        if not source:
            continue
        try:
            yield from sorted(check_invariants(parse(source), here), key=str)
        except SchemaError as error:
            yield here.invalid("", str(error))
