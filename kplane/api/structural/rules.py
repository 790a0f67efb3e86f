"""CEL rules of a schema (`x-kubernetes-validations`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeAlias

from kplane.api.field import FieldError
from kplane.api.structural.spec import Spec

Rules: TypeAlias = Callable[[Any, Any], list[FieldError]]


def compile_rules(spec: Spec, root: bool = False) -> Rules | None:
    return None
