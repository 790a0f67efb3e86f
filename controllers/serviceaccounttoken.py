"""Service account token controller: Secrets of the type kubernetes.io/service-account-token are given their
token, and go with their account.

Reads: those Secrets and the names of ServiceAccounts, from informer caches. Writes: the Secrets, and the list
of Secrets of an account that has lost one. Runs only where `--service-account-private-key-file` names a key,
and as the manager itself, as upstream's does: no other controller may write Secrets of every kind.
Elsewhere: who is let in with such a token (the API server), tokens that nobody uses (legacytokencleaner.py).

Source: pkg/controller/serviceaccount/tokens_controller.go
"""

from __future__ import annotations

import base64
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from kplane.api.errors import NotFound
from kplane.api.resource import Key, Object, Resource
from kplane.api.types import PartialObjectMetadata, Secret
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue
from kplane.runtime.tokenkeys import SigningKey, load_signing, sign

from .config import Config
from .serviceaccount import ACCOUNTS

log = logging.getLogger(__name__)

TYPE = "kubernetes.io/service-account-token"
ACCOUNT_NAME = "kubernetes.io/service-account.name"
ACCOUNT_UID = "kubernetes.io/service-account.uid"
ISSUER = "kubernetes/serviceaccount"
TOKEN, AUTHORITY, NAMESPACE = "token", "ca.crt", "namespace"

SECRETS: Resource[dict[str, Any]] = Resource("", "v1", "secrets", "Secret", True, dict)
WHOLE_ACCOUNTS: Resource[dict[str, Any]] = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, dict)


@dataclass(frozen=True)
class Holder:
    """The account that a Secret says it is for. Without a uid, whichever has the name."""

    name: str
    uid: str

    def is_it(self, uid: str) -> bool:
        return self.uid in ("", uid)


def holder(annotations: Mapping[str, str]) -> Holder | None:
    """None for a Secret that names no account."""
    name = annotations.get(ACCOUNT_NAME, "")
    return Holder(name, annotations.get(ACCOUNT_UID, "")) if name else None


def claims(namespace: str, secret: str, account: str, uid: str) -> Object:
    prefix = "kubernetes.io/serviceaccount"
    return {
        "iss": ISSUER,
        "sub": f"system:serviceaccount:{namespace}:{account}",
        f"{prefix}/namespace": namespace,
        f"{prefix}/secret.name": secret,
        f"{prefix}/service-account.name": account,
        f"{prefix}/service-account.uid": uid,
    }


class ServiceAccountTokenController:
    name = "serviceaccount-token-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options
        self._client = ctx.client
        self._queue = ctx.queue
        file, authority = options.service_account_private_key_file, options.root_ca_file
        self._key = load_signing(file) if file is not None else None
        self._authority = _encoded(authority.read_bytes()) if authority is not None else ""
        self._lost: dict[Key, Holder] = {}
        """Secrets that are gone, whose account may still name them."""
        self._secrets = ctx.informer(Secret, field_selector=f"type={TYPE}")
        self._accounts = ctx.informer(ACCOUNTS)
        self._secrets.on_change(self._secret_changed)
        self._accounts.on_change(self._account_changed)

    def _secret_changed(self, old: Secret | None, new: Secret | None) -> None:
        changed = new or old
        assert changed is not None
        if new is None and (of := holder(changed.metadata.annotations)):
            self._lost[changed.key] = of
        self._queue.add(changed.key)

    def _account_changed(self, old: PartialObjectMetadata | None, new: PartialObjectMetadata | None) -> None:
        changed = new or old
        assert changed is not None
        if old is not None and new is not None and old.metadata.uid == new.metadata.uid:
            return
        for secret in self._secrets.list():
            of = holder(secret.metadata.annotations)
            if secret.key.namespace == changed.key.namespace and of and of.name == changed.key.name:
                self._queue.add(secret.key)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Fill the Secret, or delete it with its account. Safe to repeat at any time. Raises
        Conflict where the cache lags behind, after which it is tried again."""
        secret = self._secrets.get(key)
        if secret is None:
            await self._drop_reference(key)
            return None
        self._lost.pop(key, None)
        of = holder(secret.metadata.annotations)
        if of is None or secret.metadata.deletion_timestamp is not None:
            return None
        account = await self._account(key.namespace, of)
        if account is None:
            await self._delete(secret)
        elif self._lacks(secret.data):
            await self._fill(secret, of.name, account)
        return None

    async def _account(self, namespace: str, of: Holder) -> str | None:
        """The account's uid; asked of the API before it is taken to be missing."""
        cached = self._accounts.get(Key(namespace, of.name))
        if cached is not None and of.is_it(cached.metadata.uid):
            return cached.metadata.uid
        try:
            live = await self._client.get(ACCOUNTS, of.name, namespace)
        except NotFound:
            return None
        return live.metadata.uid if of.is_it(live.metadata.uid) else None

    def _lacks(self, data: Mapping[str, str]) -> bool:
        authority = bool(self._authority) and data.get(AUTHORITY) != self._authority
        return authority or not data.get(NAMESPACE) or not data.get(TOKEN)

    async def _fill(self, secret: Secret, name: str, uid: str) -> None:
        meta = secret.metadata
        try:
            live = await self._client.get(SECRETS, meta.name, meta.namespace)
        except NotFound:
            return
        if live["metadata"]["resourceVersion"] != meta.resource_version:
            return  # The newer one is on its way, and wakes us.
        data = live["data"] = live.get("data") or {}
        if self._authority:
            data[AUTHORITY] = self._authority
        data[NAMESPACE] = data.get(NAMESPACE) or _encoded(meta.namespace.encode())
        data[TOKEN] = data.get(TOKEN) or self._token(meta.namespace, meta.name, name, uid)
        live["metadata"]["annotations"] |= {ACCOUNT_NAME: name, ACCOUNT_UID: uid}
        try:
            await self._client.update(SECRETS, live)
        except NotFound:
            return
        log.info("filled service account token secret=%s account=%s", secret.key, name)

    def _token(self, namespace: str, secret: str, account: str, uid: str) -> str:
        key: SigningKey | None = self._key
        assert key is not None, "the manager runs this controller with a key alone"
        return _encoded(sign(claims(namespace, secret, account, uid), key).encode())

    async def _delete(self, secret: Secret) -> None:
        meta = secret.metadata
        try:
            await self._client.delete(SECRETS, meta.name, meta.namespace, uid=meta.uid)
        except NotFound:
            return
        log.info("deleted service account token of no account secret=%s", secret.key)

    async def _drop_reference(self, key: Key) -> None:
        """Take a Secret that is gone out of its account's list. Raises Conflict, after which it is tried
        again."""
        of = self._lost.get(key)
        if of is None:
            return
        try:
            account = await self._client.get(WHOLE_ACCOUNTS, of.name, key.namespace)
            secrets = account.get("secrets") or []
            kept = [entry for entry in secrets if entry.get("name") != key.name]
            if of.is_it(account["metadata"]["uid"]) and len(kept) < len(secrets):
                await self._client.update(WHOLE_ACCOUNTS, account | {"secrets": kept})
        except NotFound:
            pass  # The account is gone as well.
        self._lost.pop(key, None)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
