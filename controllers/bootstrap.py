"""Bootstrap tokens: signatures of the ConfigMap `cluster-info`, and removal of tokens that have expired.

Reads: Secrets of the token type, the ConfigMap kube-public/cluster-info, from informer caches.
Writes: the ConfigMap's signatures; deletion of Secrets.
Elsewhere: what a token is (`kplane/api/bootstraptokens.py`).

Source: pkg/controller/bootstrap.
"""

from __future__ import annotations

import logging

from kplane.api import bootstraptokens as tokens
from kplane.api.errors import NotFound
from kplane.api.resource import Key
from kplane.api.types import ConfigMap, Secret
from kplane.client.controller import Context
from kplane.client.informer import Informer
from kplane.client.workqueue import Requeue

log = logging.getLogger(__name__)

CLUSTER_INFO = Key(tokens.CLUSTER_INFO_NAMESPACE, tokens.CLUSTER_INFO)


def token_secrets(ctx: Context) -> Informer[Secret]:
    """Of the token type alone, wherever they are; only those in kube-system count."""
    return ctx.informer(Secret, field_selector=f"type={tokens.SECRET_TYPE}")


class BootstrapSigner:
    name = "bootstrap-signer-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._queue = ctx.queue
        self._secrets = token_secrets(ctx)
        self._maps = ctx.informer(ConfigMap, field_selector=f"metadata.name={CLUSTER_INFO.name}")
        self._secrets.on_change(lambda old, new: self._queue.add(CLUSTER_INFO))
        self._maps.on_change(self._map_changed)

    def _map_changed(self, old: ConfigMap | None, new: ConfigMap | None) -> None:
        if new is not None and new.key == CLUSTER_INFO:
            self._queue.add(CLUSTER_INFO)

    async def reconcile(self, key: Key) -> Requeue | None:
        """One signature for each token that may sign, and no other. Safe to repeat at any time."""
        current = self._maps.get(key)
        content = current.data.get(tokens.KUBECONFIG_KEY) if current is not None else None
        if current is None or content is None:
            return None
        wanted = self._signatures(content)
        found = {
            name: text for name, text in current.data.items() if name.startswith(tokens.SIGNATURE_PREFIX)
        }
        if wanted == found:
            return None
        meta = current.metadata
        body = {
            "metadata": {"uid": meta.uid, "resourceVersion": meta.resource_version},
            "data": dict.fromkeys(found) | wanted,
        }
        try:
            await self._client.patch(ConfigMap, key.name, key.namespace, body)
        except NotFound:
            return None
        log.info("signed cluster-info tokens=%d", len(wanted))
        return None

    def _signatures(self, content: str) -> dict[str, str]:
        signatures = {}
        for secret in self._secrets.list():
            token = tokens.read_secret(secret.metadata.name, secret.data)
            if token is None or secret.metadata.namespace != tokens.NAMESPACE:
                continue
            if "signing" in token.usages and not token.expired(self._clock.now()):
                signed = tokens.signature(content, tokens.Token(token.id, token.secret))
                signatures[f"{tokens.SIGNATURE_PREFIX}{token.id}"] = signed
        return signatures


class TokenCleaner:
    name = "token-cleaner-controller"

    def __init__(self, ctx: Context) -> None:
        self._client = ctx.client
        self._clock = ctx.clock
        self._secrets = token_secrets(ctx)
        self._secrets.on_change(ctx.queue.wake)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Delete the token if it has expired. Safe to repeat at any time."""
        secret = self._secrets.get(key)
        if secret is None or key.namespace != tokens.NAMESPACE:
            return None
        left = self._left(secret)
        if left is None or left > 0:
            return None if left is None else Requeue(left)
        meta = secret.metadata
        try:
            await self._client.delete(Secret, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return None  # Gone already.
        log.info("deleted expired bootstrap token secret=%s", key)
        return None

    def _left(self, secret: Secret) -> float | None:
        """Seconds until it expires; None: never."""
        text = tokens.decoded(secret.data.get("expiration", ""))
        if not text:
            return None
        moment = tokens.read_time(text)
        return 0.0 if moment is None else (moment - self._clock.now()).total_seconds()
