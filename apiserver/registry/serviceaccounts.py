"""ServiceAccounts: identities of pods."""

from __future__ import annotations

from kplane.api.resource import Object

from .strategy import Strategy


class ServiceAccountStrategy(Strategy):
    immutable_spec_generation = True

    def default(self, obj: Object) -> None:
        # References without a name mean nothing.
        if "secrets" in obj:
            obj["secrets"] = [reference for reference in obj["secrets"] if reference]
