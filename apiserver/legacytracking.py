"""Since when the API server notes the use of service account tokens out of Secrets: one ConfigMap.

Without it nobody could tell a token that nobody uses from one whose use nobody has noted. A server that takes
such tokens makes it at the start, and makes it again, or mends it, when it looks the next time.

Source: pkg/controlplane/controller/legacytokentracking. Elsewhere: the notes themselves
(`auth/serviceaccounts/uses.py`), and who reads this (the controller manager).
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime

from kplane.api.clock import Clock
from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object

from .bootstrap import SELF, FindRegistry, ensure
from .storage import codec
from .storage.store import StoreError

log = logging.getLogger(__name__)

PLACE = Key("kube-system", "kube-apiserver-legacy-service-account-token-tracking")
SINCE = "since"
LOOK_SECONDS = 30 * 60.0


class LegacyTracking:
    def __init__(self, registry: FindRegistry, clock: Clock) -> None:
        self._registry = registry
        self._clock = clock

    async def run(self) -> None:
        """For ever."""
        while True:
            await self._clock.sleep(LOOK_SECONDS)
            try:
                await self.once()
            except (ApiError, StoreError) as error:
                log.warning("cannot note since when tokens are tracked error=%s", error)

    async def once(self) -> None:
        """Raises ApiError, StoreError."""
        registry = self._registry("", "v1", "configmaps")
        today = f"{self._clock.now().astimezone(UTC):%Y-%m-%d}"
        item = await registry.cache.get(PLACE.namespace, PLACE.name, at_least=0)
        if item is None:
            body = {"metadata": {"name": PLACE.name}, "data": {SINCE: today}}
            await ensure(registry, body, PLACE.namespace)
            return
        if _is_day((codec.decode(item.wire).get("data") or {}).get(SINCE, "")):
            return

        def mend(found: Object) -> Object:
            found["data"] = (found.get("data") or {}) | {SINCE: today}
            return found

        try:
            await registry.modify(PLACE, mend, SELF)
        except (NotFound, Conflict):
            return  # It is somebody's at this moment: the next look finds it.


def _is_day(text: str) -> bool:
    try:
        datetime.strptime(text, "%Y-%m-%d")  # noqa: DTZ007 a day has no zone
    except ValueError:
        return False
    return True
