"""Root CA publisher: the ConfigMap `kube-root-ca.crt` in every namespace, with which Pods verify the server.

Reads: Namespaces and ConfigMaps, from informer caches; the file given as `--root-ca-file`, once.
Writes: those ConfigMaps. Runs only where a file was given.
"""

from __future__ import annotations

import logging

from kplane.api.errors import AlreadyExists, ApiError
from kplane.api.resource import Key, Object
from kplane.api.types import ConfigMap, Namespace
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .batches import namespace_is_terminating
from .config import Config
from .publishing import Attempts
from .status import guarded

log = logging.getLogger(__name__)

CONFIG_MAP = "kube-root-ca.crt"
ATTEMPTS = Attempts("root_ca_cert_publisher", "Number of namespace syncs happened in root ca cert publisher.")
DESCRIPTION = {
    "kubernetes.io/description": "Contains a CA bundle that can be used to verify the kube-apiserver when "
    "using internal endpoints such as the internal service IP or kubernetes.default.svc. "
    "No other usage is guaranteed across distributions of Kubernetes clusters."
}


class RootCAPublisher:
    name = "root-ca-certificate-publisher-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options or Config()
        self._client = ctx.client
        self._clock = ctx.clock
        self._queue = ctx.queue
        self._data = {"ca.crt": options.root_ca_file.read_text()} if options.root_ca_file else None
        self._namespaces = ctx.informer(Namespace)
        self._maps = ctx.informer(ConfigMap, field_selector=f"metadata.name={CONFIG_MAP}")
        self._namespaces.on_change(ctx.queue.wake)
        self._maps.on_change(self._map_changed)

    def _map_changed(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        changed = new or old
        if old is not None and changed is not None:
            self._queue.add(Key("", changed.metadata.namespace))

    async def reconcile(self, key: Key) -> Requeue | None:
        """`key` is a namespace's. Safe to repeat at any time."""
        with ATTEMPTS.attempt(self._clock):
            await self._publish(key)
        return None

    async def _publish(self, key: Key) -> None:
        namespace = self._namespaces.get(key)
        if self._data is None or namespace is None or namespace.metadata.deletion_timestamp:
            return
        current = self._maps.get(Key(key.name, CONFIG_MAP))
        if current is None:
            await self._create(key.name)
        elif current.data != self._data or not DESCRIPTION.items() <= current.metadata.annotations.items():
            data: Object = dict.fromkeys(current.data) | self._data
            body = {"metadata": {"annotations": DESCRIPTION}, "data": data}
            await self._client.patch(ConfigMap, CONFIG_MAP, key.name, guarded(current.metadata, body))

    async def _create(self, namespace: str) -> None:
        metadata = {"name": CONFIG_MAP, "namespace": namespace, "annotations": DESCRIPTION}
        body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": self._data}
        try:
            await self._client.create(ConfigMap, body)
        except AlreadyExists:
            return  # The cache lagged behind.
        except ApiError as error:
            if not namespace_is_terminating(error):
                raise
