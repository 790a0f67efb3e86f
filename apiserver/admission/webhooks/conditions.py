"""`matchConditions` of webhooks: CEL expressions that must all be true for a webhook to be called."""

from __future__ import annotations

from kplane.api.resource import Object

from .configuration import Conditions


def no_conditions(webhook: Object, type: str) -> Conditions | None:
    """For webhooks without conditions."""
    return None
