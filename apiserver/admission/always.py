"""AlwaysAdmit and AlwaysDeny: everything, or nothing."""

from __future__ import annotations

from .chain import Attributes, on
from .context import AdmissionContext, refused


class AlwaysAdmit:
    name = "AlwaysAdmit"
    handles = on()

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""


class AlwaysDeny:
    name = "AlwaysDeny"
    handles = on()

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        raise refused(attributes, "admission control is denying all modifications")

    async def validate(self, attributes: Attributes) -> None:
        raise refused(attributes, "admission control is denying all modifications")
