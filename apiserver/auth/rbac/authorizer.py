"""The RBAC authoriser: allows what a role that is bound to the user allows, and never denies."""

from __future__ import annotations

from kplane.api.errors import ApiError

from ...storage.store import StoreError
from ..authorizer import NO_OPINION, Attributes, Decision, Rules, Verdict, aggregate
from ..user import User
from .index import PolicyIndex


class RBAC:
    def __init__(self, index: PolicyIndex) -> None:
        self._index = index

    async def authorize(self, attributes: Attributes) -> Verdict:
        await self._index.refresh()
        errors: list[ApiError] = []
        for holding in self._index.held(attributes.user, attributes.namespace):
            verdict = holding.decide(attributes)
            if verdict is not None:
                return verdict
            errors += holding.errors
        if not errors:
            return NO_OPINION
        return Verdict(Decision.NO_OPINION, f"RBAC: {aggregate([error.message for error in errors])}")

    async def rules(self, user: User, namespace: str) -> Rules:
        await self._index.refresh()
        found = Rules([], [], False, [])
        for holding in self._index.held(user, namespace):
            found.errors += [error.message for error in holding.errors]
            for rule in holding.rules:
                if rule.resources:
                    what = rule.json()
                    what.pop("nonResourceURLs", None)
                    found.resources.append(what)
                if rule.paths:
                    found.paths.append({"verbs": list(rule.verbs), "nonResourceURLs": list(rule.paths)})
        return found

    async def catch_up(self) -> bool:
        try:
            return await self._index.catch_up()
        except (ApiError, StoreError):
            return False  # Whoever is refused stays refused: what we know says so.
