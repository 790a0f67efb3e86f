"""What a CustomResourceDefinition says of one served version: the part of its row that built-in rows lack.

Made from the definition by the API server (`apiserver/extensions/rows.py`). Compared by identity: a changed
definition makes new values.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from kplane.api.resource import Object
from kplane.api.schema import Schema
from kplane.api.structural import Structural


@dataclass(frozen=True)
class ScalePaths:
    """Where a custom resource keeps what its Scale shows: fields from the root downwards."""

    spec_replicas: tuple[str, ...]
    status_replicas: tuple[str, ...]
    selector: tuple[str, ...] = ()


@dataclass(frozen=True, eq=False)
class CustomVersion:
    """One version of a custom resource."""

    schema: Structural
    source: Schema
    """The `openAPIV3Schema` that `schema` was compiled from."""
    schemas: Mapping[str, Structural]
    """Those of every version by its name: objects may be stored in any of them."""
    storage: str
    """Name of the version in which new objects are stored."""
    conversion: Object
    """The definition's `spec.conversion`."""
    status: bool = False
    """Whether `status` is a subresource."""
    scale: ScalePaths | None = None
    scales: Mapping[str, ScalePaths] = field(default_factory=dict)
    """Those of every version that has a Scale, by its name."""
    columns: tuple[Object, ...] = ()
    """`additionalPrinterColumns`."""
    selectable: tuple[str, ...] = ()
    """Selectable fields of this version, without a leading dot."""
    all_selectable: tuple[str, ...] = ()
    """Those of all versions."""
    warning: str = ""
    """What every request to a deprecated version is told."""
    terminating: bool = False
    """Whether the definition is being deleted: then nothing can be created."""

    @property
    def single(self) -> bool:
        """Whether this is the only version: what is stored is what is served."""
        return len(self.schemas) == 1
