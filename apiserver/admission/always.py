"""AlwaysAdmit and AlwaysDeny: everything, or nothing."""

from __future__ import annotations

from .chain import Attributes
from .context import AdmissionContext, refused


class AlwaysAdmit:
    name = "AlwaysAdmit"

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        """Everything passes."""

    async def validate(self, attributes: Attributes) -> None:
        """Everything passes."""


class AlwaysDeny:
    name = "AlwaysDeny"

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        raise refused(attributes, "admission control is denying all modifications")

    async def validate(self, attributes: Attributes) -> None:
        raise refused(attributes, "admission control is denying all modifications")
