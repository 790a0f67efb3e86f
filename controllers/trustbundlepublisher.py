"""Publisher of the ClusterTrustBundle by which Pods verify the API server: the authorities in the file of
`--root-ca-file`, under a name that their hash is part of.

Reads: the signer's bundles, from an informer cache; the file, once. Writes: the bundle; deletes former ones.

Source: pkg/controller/certificates/clustertrustbundlepublisher
"""

from __future__ import annotations

import logging
from hashlib import sha256

from kplane.api.errors import AlreadyExists, NotFound
from kplane.api.resource import Key, Resource
from kplane.api.types import PartialObjectMetadata
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .config import Config
from .publishing import Attempts

log = logging.getLogger(__name__)

SIGNER = "kubernetes.io/kube-apiserver-serving"
BUNDLES = Resource(
    "certificates.k8s.io", "v1", "clustertrustbundles", "ClusterTrustBundle", False, PartialObjectMetadata
)
ALL = Key("", "all")
ATTEMPTS = Attempts(
    "clustertrustbundle_publisher", "Number of syncs that occurred in cluster trust bundle publisher."
)


def bundle_name(signer: str, bundle: bytes) -> str:
    return f"{signer.replace('/', ':')}:{sha256(bundle).digest()[:12].hex()}"


class TrustBundlePublisher:
    name = "kube-apiserver-serving-clustertrustbundle-publisher-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options
        self._client, self._clock = ctx.client, ctx.clock
        self._bundle = options.root_ca_file.read_bytes() if options.root_ca_file is not None else b""
        self._name = bundle_name(SIGNER, self._bundle)
        self._bundles = ctx.informer(BUNDLES, field_selector=f"spec.signerName={SIGNER}")
        self._bundles.on_change(lambda old, new: ctx.queue.add(ALL))
        ctx.queue.add(ALL)

    async def reconcile(self, key: Key) -> Requeue | None:
        """The present bundle, then no other. Safe to repeat at any time."""
        if self._bundle:
            with ATTEMPTS.attempt(self._clock):
                await self._replace()
        return None

    async def _replace(self) -> None:
        present = [found.metadata.name for found in self._bundles.list()]
        if self._name not in present:
            await self._publish()
        for name in present:
            if name != self._name:
                await self._remove(name)

    async def _publish(self) -> None:
        body = {
            "apiVersion": BUNDLES.api_version,
            "kind": BUNDLES.kind,
            "metadata": {"name": self._name},
            "spec": {"signerName": SIGNER, "trustBundle": self._bundle.decode()},
        }
        try:
            await self._client.create(BUNDLES, body)
        except AlreadyExists:
            return  # The cache lagged behind.
        log.info("published trust bundle name=%s", self._name)

    async def _remove(self, name: str) -> None:
        try:
            await self._client.delete(BUNDLES, name)
        except NotFound:
            return
        log.info("removed former trust bundle name=%s", name)
