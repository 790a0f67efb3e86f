"""ImagePolicyWebhook: a server of the operator's decides which images pods may use.

An `ImageReview` (imagepolicy.k8s.io/v1alpha1) is posted to the server of a kubeconfig; answers are kept.
Source: `plugin/pkg/admission/imagepolicy`.
"""

from __future__ import annotations

import logging
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from kplane.api.resource import Object
from kplane.client.kubeconfig import ConfigError, load
from kplane.client.tls import tls_context
from kplane.runtime.process import Fatal

from ..auth.remote import TIMEOUT, Remote, RemoteError, json_headers, trusting
from .chain import Attributes, Operation, on
from .context import AdmissionContext, refused

VERSION = "imagepolicy.k8s.io/v1alpha1"
KEPT = 1024
ATTEMPTS, FACTOR = 5, 1.5
FAILED_OPEN = "alpha.image-policy.k8s.io/failed-open"
"""Annotation of pods that were let in because the server could not be asked."""
AUDIT = "imagepolicywebhook.image-policy.k8s.io/"
_SHOWN = ".image-policy.k8s.io/"
_RETRIED = frozenset({429, 500, 504})

log = logging.getLogger(__name__)


class _Status(msgspec.Struct, frozen=True, rename="camel"):
    allowed: bool = False
    reason: str = ""
    audit_annotations: dict[str, str] | None = None


class _Review(msgspec.Struct, frozen=True):
    status: _Status = _Status()


_reviews = msgspec.json.Decoder(_Review)


@dataclass(frozen=True)
class Settings:
    """Times are seconds."""

    kubeconfig: Path
    allow_ttl: float
    deny_ttl: float
    backoff: float
    default_allow: bool


class ImagePolicyWebhook:
    name = "ImagePolicyWebhook"
    handles = on(Operation.CREATE, Operation.UPDATE, to=("pods", "pods/ephemeralcontainers"))

    def __init__(self, context: AdmissionContext) -> None:
        """Raises Fatal for a configuration that cannot be used, or none."""
        self._settings = settings_of(context.configuration(self.name) or {})
        try:
            self._credentials = load(self._settings.kubeconfig)
            server = self._credentials.server
            tls = tls_context(self._credentials) if server.startswith("https:") else trusting("")
        except ConfigError as error:
            raise Fatal(f"ImagePolicyWebhook configuration: {error}") from error
        self._url = f"{server}?timeout={TIMEOUT:.0f}s"
        self._remote = Remote(tls, server_name=self._credentials.tls_server_name)
        self._clock = context.clock
        self._answers: OrderedDict[bytes, tuple[float, _Status]] = OrderedDict()
        context.closing.append(self._remote.close)

    async def validate(self, attributes: Attributes) -> None:
        pod = attributes.object
        assert pod is not None
        spec = {
            "containers": [{"image": image} for image in _images(pod, attributes.subresource)],
            "annotations": _shown(pod),
            "namespace": attributes.namespace,
        }
        try:
            status = await self._status({key: value for key, value in spec.items() if value})
        except RemoteError as error:
            log.warning("image policy webhook failed error=%s", error)
            if not self._settings.default_allow:
                raise refused(attributes, str(error)) from error
            attributes.annotate(f"{AUDIT}failed-open", "true")
            _mark(pod)
            return
        for key, value in (status.audit_annotations or {}).items():
            attributes.annotate(AUDIT + key, value)
        if not status.allowed:
            why = "one or more images rejected by webhook backend"
            if status.reason:
                why = f"image policy webhook backend denied one or more images: {status.reason}"
            raise refused(attributes, why)

    async def _status(self, spec: Object) -> _Status:
        """A kept answer, or a new one. Raises RemoteError."""
        key, now = msgspec.json.encode(spec), self._clock.monotonic()
        kept = self._answers.get(key)
        if kept is not None and now < kept[0]:
            return kept[1]
        status = await self._ask(spec)
        ttl = self._settings.allow_ttl if status.allowed else self._settings.deny_ttl
        self._answers[key] = (self._clock.monotonic() + ttl, status)
        self._answers.move_to_end(key)
        if len(self._answers) > KEPT:
            self._answers.popitem(last=False)
        return status

    async def _ask(self, spec: Object) -> _Status:
        review = {"kind": "ImageReview", "apiVersion": VERSION, "metadata": {}, "spec": spec}
        body = msgspec.json.encode(review | {"status": {"allowed": False}})
        pause = self._settings.backoff
        for attempt in range(ATTEMPTS):
            last = attempt == ATTEMPTS - 1
            try:
                answer = await self._remote.post(self._url, body, json_headers(self._credentials))
            except RemoteError as error:
                if last or not error.transient:
                    raise
            else:
                if 200 <= answer.status <= 206:
                    return _read(answer.body)
                if last or answer.status not in _RETRIED:
                    raise RemoteError(f"Error contacting webhook: {answer.status}")
            await self._clock.sleep(pause)
            pause *= FACTOR
        raise AssertionError("unreachable")


def _read(body: bytes) -> _Status:
    try:
        return _reviews.decode(body).status
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise RemoteError("the image policy webhook did not answer with an ImageReview") from error


def _images(pod: Object, subresource: str) -> Iterator[str]:
    fields = ("ephemeralContainers",) if subresource else ("containers", "initContainers")
    for field in fields:
        for container in pod["spec"].get(field) or []:
            yield container.get("image", "")


def _shown(pod: Object) -> Mapping[str, str]:
    """The annotations that are meant for the server; no other is sent."""
    annotations = pod["metadata"].get("annotations") or {}
    return {key: value for key, value in annotations.items() if _SHOWN in key}


def _mark(pod: Object) -> None:
    annotations = pod["metadata"].get("annotations") or {}
    pod["metadata"]["annotations"] = annotations | {FAILED_OPEN: "true"}


def settings_of(configured: Object) -> Settings:
    """Raises Fatal."""
    said = configured.get("imagePolicy") or {}
    path = said.get("kubeConfigFile")
    if not isinstance(path, str) or not path:
        raise Fatal("ImagePolicyWebhook configuration: imagePolicy.kubeConfigFile is missing")
    return Settings(
        Path(path),
        _duration(said, "allowTTL", "allow cache", 1.0, (1.0, 1800.0), 300.0),
        _duration(said, "denyTTL", "deny cache", 1.0, (1.0, 1800.0), 30.0),
        _duration(said, "retryBackoff", "backoff", 0.001, (0.001, 300.0), 0.5),
        bool(said.get("defaultAllow")),
    )


def _duration(
    said: Mapping[str, Any], field: str, name: str, unit: float, bounds: tuple[float, float], default: float
) -> float:
    """Seconds of a number of `unit`s: 0 means the default, -1 none."""
    value = said.get(field) or 0
    if not isinstance(value, int) or isinstance(value, bool):
        raise Fatal(f"ImagePolicyWebhook configuration: {field} is no whole number")
    if value == 0:
        return default
    if value == -1:
        return 0.0
    low, high = bounds
    if not low <= value * unit <= high:
        raise Fatal(
            f"ImagePolicyWebhook configuration: valid value is between {low:g}s and {high:g}s for {name}, "
            f"got {value * unit:g}s"
        )
    return value * unit
