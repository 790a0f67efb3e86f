"""A printer: the columns of a kind, and the cells of an object of that kind. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import Any, TypeAlias

from kplane.api.resource import Object
from kplane.api.schema import META, definition

Cells: TypeAlias = list[Any]


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `priority` 0 is always shown, 1 only by `-o wide`."""

    name: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""
    field: str = ""
    """In place of a description: the field whose description it is, as `core.v1.PodStatus.podIP`."""

    def render(self) -> Object:
        return {
            "name": self.name,
            "type": self.type,
            "format": self.format,
            "description": self.description or (_described(self.field) if self.field else ""),
            "priority": self.priority,
        }


def _described(field: str) -> str:
    owner, _, name = field.rpartition(".")
    full = (
        f"{META}{owner.removeprefix('meta.v1.')}" if owner.startswith("meta.v1.") else f"io.k8s.api.{owner}"
    )
    text: str = definition(full)["properties"][name].get("description", "")
    return text


NAME = Column("Name", format="name", field="meta.v1.ObjectMeta.name")
AGE = Column("Age", field="meta.v1.ObjectMeta.creationTimestamp")
CREATED_AT = Column("Created At", type="date", field="meta.v1.ObjectMeta.creationTimestamp")
CONTAINERS = Column("Containers", priority=1, description="Names of each container in the template.")
IMAGES = Column("Images", priority=1, description="Images referenced by each container in the template.")


def wide(name: str, field: str = "", description: str = "") -> Column:
    """A column that only `-o wide` shows."""
    return Column(name, priority=1, field=field, description=description)


@dataclass(frozen=True)
class Printer:
    """How a kind is shown. `cells` receives the object and the time, and returns one cell per column."""

    columns: tuple[Column, ...]
    cells: Callable[[Object, datetime], Cells]
    conditions: Callable[[Object], list[Object]] | None = None
    """Conditions of an object's row, such as Completed for pods that have run to their end."""

    @cached_property
    def column_definitions(self) -> list[Object]:
        return [column.render() for column in self.columns]


def at(obj: Any, *path: str, default: Any = None) -> Any:
    """The value at a path of fields; the default where one of them is missing or null."""
    for name in path:
        obj = obj.get(name) if obj else None
    return default if obj is None else obj


def some_of(items: Iterable[str], limit: int) -> str:
    """The first items, and how many more there are: `a,b,c + 2 more...`."""
    items = list(items)
    text = ",".join(items[:limit])
    return f"{text} + {len(items) - limit} more..." if len(items) > limit else text
