"""Plug-ins of features that are off by default in 1.37, and that this server does not have: they are known by
name and see nothing, as upstream's do while their feature gates are off."""

from __future__ import annotations

from .chain import Attributes, Handles, Operation
from .context import AdmissionContext


class Inactive:
    """`handles` names a resource that does not exist, so that no request pays for it."""

    name = ""
    handles = Handles(frozenset(Operation), frozenset({("", "", "none")}))

    def __init__(self, context: AdmissionContext) -> None:
        """Needs nothing."""

    async def validate(self, attributes: Attributes) -> None:
        """Nothing comes here."""


class PodGroupProtection(Inactive):
    """Feature gate GenericWorkload, beta. Would keep PodGroups, which are in no API here, until nothing is in
    them."""

    name = "PodGroupProtection"


class PodGroupWorkloadExists(Inactive):
    """Feature gate GenericWorkload, beta. Would refuse PodGroups made from what is in no Workload."""

    name = "PodGroupWorkloadExists"


class JobValidation(Inactive):
    """Feature gate WorkloadWithJob, alpha. Upstream's checks nothing yet."""

    name = "JobValidation"
