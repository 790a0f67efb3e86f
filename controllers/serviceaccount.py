"""ServiceAccount controller: a ServiceAccount named `default` in every namespace.

Reads: Namespaces and ServiceAccounts, from informer caches. Writes: ServiceAccounts.
"""

from __future__ import annotations

import logging

from kplane.api.errors import AlreadyExists, ApiError
from kplane.api.resource import Key, Resource
from kplane.api.types import Namespace, PartialObjectMetadata
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .batches import namespace_is_terminating

log = logging.getLogger(__name__)

ACCOUNTS = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, PartialObjectMetadata)
DEFAULT = "default"


class ServiceAccountController:
    name = "serviceaccount-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._queue = ctx.queue
        self._namespaces = ctx.informer(Namespace)
        self._accounts = ctx.informer(ACCOUNTS)
        self._namespaces.on_change(ctx.queue.wake)
        self._accounts.on_change(self._account_changed)

    def _account_changed(self, old: PartialObjectMetadata | None, new: PartialObjectMetadata | None) -> None:
        if old is not None and new is None and old.metadata.name == DEFAULT:
            self._queue.add(Key("", old.metadata.namespace))

    async def reconcile(self, key: Key) -> Requeue | None:
        """`key` is a namespace's. Safe to repeat at any time."""
        namespace = self._namespaces.get(key)
        if namespace is None or namespace.metadata.deletion_timestamp:
            return None
        if self._accounts.get(Key(key.name, DEFAULT)):
            return None
        body = {
            "apiVersion": "v1",
            "kind": "ServiceAccount",
            "metadata": {"name": DEFAULT, "namespace": key.name},
        }
        try:
            await self._client.create(ACCOUNTS, body)
        except AlreadyExists:
            return None  # The cache lagged behind.
        except ApiError as error:
            if namespace_is_terminating(error):
                return None
            raise
        log.info("created default service account namespace=%s", key.name)
        return None
