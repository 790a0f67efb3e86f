"""The base of strategies for kinds whose status is a subresource.

Creation resets the status to what upstream's empty struct prints; the generic registry keeps it from writes
to the resource itself.
"""

from __future__ import annotations

import copy
from typing import ClassVar

from kplane.api.resource import Object

from .strategy import STATUS, Strategy, Subresource


class StatusStrategy(Strategy):
    """A kind with `status`."""

    subresources: tuple[Subresource, ...] = (STATUS,)

    empty_status: ClassVar[Object] = {}
    """The status of a new object."""

    def prepare_create(self, obj: Object) -> None:
        obj["status"] = copy.deepcopy(self.empty_status)
