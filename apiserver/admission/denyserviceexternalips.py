"""DenyServiceExternalIPs: no Service claims an address that nobody gave to it (CVE-2020-8554)."""

from __future__ import annotations

from .chain import Attributes, Operation
from .context import AdmissionContext, concerns, refused


class DenyServiceExternalIPs:
    name = "DenyServiceExternalIPs"

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def admit(self, attributes: Attributes) -> None:
        """Decides in `validate`."""

    async def validate(self, attributes: Attributes) -> None:
        """Addresses that are there may stay, and go."""
        if attributes.object is None or not concerns(attributes, "services"):
            return
        if attributes.operation not in (Operation.CREATE, Operation.UPDATE):
            return
        old = ((attributes.old or {}).get("spec") or {}).get("externalIPs") or []
        new = attributes.object["spec"].get("externalIPs") or []
        if set(new) - set(old):
            raise refused(attributes, "Use of external IPs is denied by admission control")
