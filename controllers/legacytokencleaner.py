"""Legacy service account token cleaner: a token in a Secret that was made automatically, and that nobody has
used for a year, is marked invalid, and a year later deleted.

Reads: Secrets of the token type, ServiceAccounts and Pods, from informer caches; since when uses are noted,
from the ConfigMap that the API server keeps. Writes: the mark on Secrets; deletes them.
Elsewhere: noting uses, and refusing tokens that are marked (the API server).

Invariant: a Secret that a person made, or that a Pod mounts, is left alone.
Source: pkg/controller/serviceaccount/legacy_serviceaccount_token_cleaner.go
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any, ClassVar

from kplane.api.errors import ApiError, Conflict, NotFound
from kplane.api.resource import Key, Object, Resource
from kplane.api.types import ConfigMap, Pod, Secret
from kplane.api.types.meta import Part, View
from kplane.client.controller import Context
from kplane.client.workqueue import Requeue

from .config import Config
from .serviceaccounttoken import TYPE, holder

log = logging.getLogger(__name__)

TRACKING = Key("kube-system", "kube-apiserver-legacy-service-account-token-tracking")
SINCE = "since"
LAST_USED = "kubernetes.io/legacy-token-last-used"
INVALID_SINCE = "kubernetes.io/legacy-token-invalid-since"
LOOK_SECONDS = 24 * 3600.0
ALL = Key("", "all")


class Named(Part, frozen=True):
    name: str = ""


class Account(View, frozen=True):
    API: ClassVar[Resource[Any]]

    secrets: tuple[Named, ...] = ()


Account.API = Resource("", "v1", "serviceaccounts", "ServiceAccount", True, Account)


class Mounting(View, frozen=True):
    """A Pod, with its spec as a plain object: names of Secrets are all over it."""

    API: ClassVar[Resource[Any]]

    spec: Object = {}  # noqa: RUF012 msgspec copies it


Mounting.API = Pod.API.as_type(Mounting)


class LegacyTokenCleaner:
    name = "legacy-serviceaccount-token-cleaner-controller"

    def __init__(self, ctx: Context) -> None:
        options: Config = ctx.options
        self._client, self._clock = ctx.client, ctx.clock
        self._reader = ctx.informers.client
        self._unused = timedelta(seconds=options.legacy_token_clean_up_period)
        self._secrets = ctx.informer(Secret, field_selector=f"type={TYPE}")
        self._accounts = ctx.informer(Account)
        ctx.queue.add(ALL)

    async def reconcile(self, key: Key) -> Requeue | None:
        """Look at all tokens, once a day. Safe to repeat at any time."""
        now = self._clock.now().astimezone(UTC)
        since = await self._tracked_since()
        if since is None or now < since + self._unused:
            return Requeue(LOOK_SECONDS)
        mounted: dict[str, frozenset[str]] = {}
        for secret in self._secrets.list():
            if not self._is_stale(secret, now) or not self._is_generated(secret):
                continue
            namespace = secret.key.namespace
            if namespace not in mounted:
                mounted[namespace] = await self._mounted(namespace)
            if secret.key.name not in mounted[namespace]:
                await self._step(secret, now)
        return Requeue(LOOK_SECONDS)

    async def _tracked_since(self) -> datetime | None:
        """Midnight after the day on which uses began to be noted; None while that is not known."""
        try:
            found = await self._client.get(ConfigMap, TRACKING.name, TRACKING.namespace)
        except NotFound:
            return None
        began = _day(found.data.get(SINCE, ""))
        if began is None:
            return None
        return datetime(began.year, began.month, began.day, tzinfo=UTC) + timedelta(days=1)

    def _is_stale(self, secret: Secret, now: datetime) -> bool:
        meta, limit = secret.metadata, now - self._unused
        made = meta.creation_timestamp
        if made is None or made >= limit or meta.deletion_timestamp is not None:
            return False
        used = meta.labels.get(LAST_USED)
        if used is None:
            return True
        day = _day(used)
        return day is not None and day < limit.date()

    def _is_generated(self, secret: Secret) -> bool:
        """Whether its account names it: only those that were made automatically are named."""
        of = holder(secret.metadata.annotations)
        account = self._accounts.get(Key(secret.key.namespace, of.name)) if of else None
        if of is None or account is None or not of.is_it(account.metadata.uid):
            return False
        return any(entry.name == secret.key.name for entry in account.secrets)

    async def _mounted(self, namespace: str) -> frozenset[str]:
        """Secrets that the namespace's Pods use. Looked up only for a token that is to go."""
        pods = await self._reader.list(Mounting, namespace)
        return frozenset(name for pod in pods.items for name in secret_names(pod.spec))

    async def _step(self, secret: Secret, now: datetime) -> None:
        meta = secret.metadata
        marked = _day(meta.labels.get(INVALID_SINCE, ""))
        try:
            if marked is None:
                labels = {INVALID_SINCE: f"{now:%Y-%m-%d}"}
                patch = {"metadata": {"uid": meta.uid, "labels": labels}}
                await self._client.patch(Secret, meta.name, meta.namespace, patch)
                log.info("marked an unused token invalid secret=%s", secret.key)
            elif marked < (now - self._unused).date():
                await self._client.delete(
                    Secret, meta.name, meta.namespace, resource_version=meta.resource_version
                )
                log.info("deleted an unused token secret=%s", secret.key)
        except (Conflict, NotFound):
            return  # It has changed: tomorrow is early enough.
        except ApiError as error:
            log.error("cannot clean up a token secret=%s error=%s", secret.key, error)


def secret_names(spec: Any) -> Iterator[str]:
    """Every Secret that a Pod's spec names, wherever."""
    if isinstance(spec, list):
        for item in spec:
            yield from secret_names(item)
        return
    if not isinstance(spec, dict):
        return
    for field, value in spec.items():
        if field in ("secretName", "secretRef", "secretKeyRef", "secret", "nodePublishSecretRef"):
            yield from _names(value)
        elif field == "imagePullSecrets":
            yield from (entry.get("name", "") for entry in value or ())
        yield from secret_names(value)


def _names(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from (value[name] for name in ("name", "secretName") if value.get(name))


def _day(text: str) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        return None
