"""Conversion between the versions of a custom resource: by renaming the version, or by its webhook.

Wording of failures: apiextensions `pkg/apiserver/conversion/webhook_converter.go`.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kplane.api.clock import Clock, Entropy
from kplane.api.errors import InternalError
from kplane.api.field import Path
from kplane.api.resource import Object
from kplane.api.scheme import ResourceInfo

from ..registry.labels import validate_annotations, validate_labels
from ..registry.versions import Converter
from ..webhooks.client import WebhookClient
from ..webhooks.errors import CallError
from .metrics import ConversionMetrics, Failure

REVIEW_VERSIONS = ("v1", "v1beta1")
TIMEOUT = 30.0
_GROUP = "apiextensions.k8s.io"


class _Refused(Exception):
    """The answer cannot be used; the text says why."""


class _Failed(Exception):
    """Nothing was converted: why, and what that is counted as."""

    def __init__(self, text: str, kind: Failure) -> None:
        super().__init__(text)
        self.kind = kind


@dataclass(frozen=True)
class Surroundings:
    """What webhooks that convert are called with."""

    client: WebhookClient
    entropy: Entropy
    clock: Clock
    metrics: ConversionMetrics


def converter_for(row: ResourceInfo, surroundings: Surroundings) -> Converter:
    """The converter that the definition of this row asks for."""
    assert row.custom is not None
    conversion = row.custom.conversion
    if conversion.get("strategy") != "Webhook":
        return rename
    return WebhookConverter(row, conversion.get("webhook") or {}, surroundings)


async def rename(objects: Sequence[Object], api_version: str) -> list[Object]:
    """Strategy None: another version, the same content."""
    for obj in objects:
        obj["apiVersion"] = api_version
    return list(objects)


class WebhookConverter:
    def __init__(self, row: ResourceInfo, webhook: Object, surroundings: Surroundings) -> None:
        self._crd = f"{row.plural}.{row.group}"
        self._config: Object = webhook.get("clientConfig") or {}
        self._versions: Sequence[str] = webhook.get("conversionReviewVersions") or ()
        self._around = surroundings

    async def __call__(self, objects: Sequence[Object], api_version: str) -> list[Object]:
        was = str(objects[0]["apiVersion"])
        versions = (was.rpartition("/")[2], api_version.rpartition("/")[2])
        around, kind = self._around, Failure.CALL
        began = around.clock.monotonic()
        try:
            converted = await self._convert(objects, api_version)
            kind = Failure.NONE
        except _Failed as error:
            kind = error.kind
            name = f"{was}, Kind={objects[0].get('kind', '')}"
            text = f"Internal error occurred: conversion webhook for {name} {error}"
            raise InternalError(text) from error
        finally:
            around.metrics.converted(self._crd, versions, around.clock.monotonic() - began, kind)
        return converted

    async def _convert(self, objects: Sequence[Object], api_version: str) -> list[Any]:
        converted = await self._ask(objects, api_version)
        if len(converted) != len(objects):
            text = f"returned {len(converted)} objects, expected {len(objects)}"
            raise _Failed(text, Failure.PARTIAL)
        for index, (before, after) in enumerate(zip(objects, converted, strict=True)):
            try:
                _accept(before, after, api_version)
            except _Refused as error:
                text = f"returned invalid converted object at index {index}: {error}"
                raise _Failed(text, Failure.INVALID) from error
        return converted

    async def _ask(self, objects: Sequence[Object], api_version: str) -> list[Any]:
        """What the webhook makes of them, as it says. Raises _Failed."""
        uid = self._around.entropy.uid()
        review = next((known for known in self._versions if known in REVIEW_VERSIONS), None)
        if review is None:
            raise InternalError("Internal error occurred: no supported conversion review versions")
        body = {
            "kind": "ConversionReview",
            "apiVersion": f"{_GROUP}/{review}",
            "request": {"uid": uid, "desiredAPIVersion": api_version, "objects": list(objects)},
        }
        try:
            return _converted(await self._around.client.call(self._config, body, TIMEOUT), review, uid)
        except CallError as error:
            raise _Failed(f"failed: {error}", Failure.CALL) from error
        except _Refused as error:
            raise _Failed(f"failed: {error}", Failure.MALFORMED) from error


def _converted(answer: Object, version: str, uid: str) -> list[Any]:
    """The objects of a review's answer. Raises _Refused."""
    if version == "v1":
        wanted = f"{_GROUP}/v1, Kind=ConversionReview"
        got = f"{answer.get('apiVersion', '')}, Kind={answer.get('kind', '')}"
        if got != wanted:
            raise _Refused(f"expected webhook response of {wanted}, got {got}")
    response = answer.get("response")
    if not isinstance(response, dict):
        raise _Refused("no response provided")
    if version == "v1" and response.get("uid", "") != uid:
        raise _Refused(f'expected response.uid="{uid}", got "{response.get("uid", "")}"')
    result = response.get("result")
    result = result if isinstance(result, dict) else {}
    if result.get("status") != "Success":
        status = result.get("status", "")
        raise _Refused(result.get("message") or f"response.result.status was '{status}', not 'Success'")
    objects = response.get("convertedObjects") or []
    if not isinstance(objects, list):
        raise _Refused("response.convertedObjects is no list")
    return objects


def _accept(before: Object, after: Any, api_version: str) -> None:
    """Check a converted object; all its metadata but labels and annotations become again what they were."""
    if not isinstance(after, dict):
        raise _Refused("it is no object")
    if after.get("apiVersion") != api_version:
        raise _Refused(
            f"invalid groupVersion (expected {api_version}, received {after.get('apiVersion', '')})"
        )
    if after.get("kind") != before.get("kind"):
        raise _Refused(f"invalid kind (expected {before.get('kind')}, received {after.get('kind', '')})")
    theirs, ours = after.get("metadata"), before["metadata"]
    if not isinstance(theirs, dict):
        raise _Refused("missing metadata in converted object")
    for key, shown in (("name", "name"), ("namespace", "namespace"), ("uid", "UID")):
        if theirs.get(key, "") != ours.get(key, ""):
            raise _Refused(f"must have the same {shown}: {ours.get(key, '')} != {theirs.get(key, '')}")
    metadata = copy.deepcopy(ours)
    for key in ("labels", "annotations"):
        _take_texts(key, theirs.get(key), metadata)
    after["metadata"] = metadata


def _take_texts(key: str, theirs: Any, metadata: Object) -> None:
    """Labels or annotations from the webhook, which may change them."""
    was = metadata.pop(key, None)
    if theirs is None:
        return
    if not isinstance(theirs, dict):
        raise _Refused(f"invalid metadata.{key} of type {type(theirs).__name__} in converted object")
    for name, value in theirs.items():
        if not isinstance(value, str):
            raise _Refused(
                f"metadata.{key}[{name}] must be a string, but is {type(value).__name__} in converted object"
            )
    if theirs != was:
        rule = validate_labels if key == "labels" else validate_annotations
        faults = [str(fault) for fault in rule(theirs, Path("metadata").child(key))]
        if faults:
            raise _Refused(", ".join(faults))
    metadata[key] = theirs
