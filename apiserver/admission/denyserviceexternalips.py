"""DenyServiceExternalIPs: no Service claims an address that nobody gave to it (CVE-2020-8554)."""

from __future__ import annotations

from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused


class DenyServiceExternalIPs:
    name = "DenyServiceExternalIPs"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("services",))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def validate(self, attributes: Attributes) -> None:
        """Addresses that are there may stay, and go."""
        assert attributes.object is not None
        old = ((attributes.old or {}).get("spec") or {}).get("externalIPs") or []
        new = attributes.object["spec"].get("externalIPs") or []
        if set(new) - set(old):
            raise refused(attributes, "Use of external IPs is denied by admission control")
