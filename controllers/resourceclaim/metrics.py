"""Metrics of claims of devices, under upstream's names. Owns nothing else."""

from __future__ import annotations

from prometheus_client import Counter, Gauge

from .plan import POD_CLAIM
from .views import ResourceClaim

EXTENDED = "resource.kubernetes.io/extended-resource-claim"

CREATES = Counter(
    "dynamic_resource_allocation_resourceclaim_creates_total",
    "Number of ResourceClaims creation requests, categorized by creation status and admin access",
    ["status", "admin_access"],
)
CLAIMS = Gauge(
    "dynamic_resource_allocation_resource_claims",
    "Number of ResourceClaims, categorized by allocation status, admin access, and source. "
    "Source can be 'resource_claim_template' (created from a template), "
    "'extended_resource' (extended resources), or empty (manually created by a user).",
    ["allocated", "admin_access", "source"],
)


def count_created(*, admin: bool, failed: bool) -> None:
    CREATES.labels("failure" if failed else "success", _flag(admin)).inc()


def count_change(old: ResourceClaim | None, new: ResourceClaim | None) -> None:
    """Informer handler."""
    if old is not None:
        CLAIMS.labels(*_labels(old)).dec()
    if new is not None:
        CLAIMS.labels(*_labels(new)).inc()


def _labels(claim: ResourceClaim) -> tuple[str, str, str]:
    annotations = claim.metadata.annotations
    source = ""
    if POD_CLAIM in annotations:
        source = "resource_claim_template"
    elif annotations.get(EXTENDED) == "true":
        source = "extended_resource"
    return _flag(claim.status.allocation is not None), _flag(claim.spec.admin_access), source


def _flag(value: bool) -> str:
    return "true" if value else "false"
