"""What a definition may say."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import pytest

from ..conftest import Api
from .conftest import CRDS, crd, version

NAME = "widgets.example.com"
TYPES = "boolean,date,integer,number,string"
SERVICE = {"namespace": "default", "name": "hook"}


def scale(**paths: str) -> Any:
    good = {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"}
    return [version(subresources={"scale": good | paths})]


def columns(**more: Any) -> Any:
    good = {"name": "Color", "type": "string", "jsonPath": ".spec.color"} | more
    return [version(additionalPrinterColumns=[{k: v for k, v in good.items() if v is not None}])]


def converted(config: Any, *reviews: str) -> Any:
    return {"strategy": "Webhook", "webhook": {"clientConfig": config, "conversionReviewVersions": reviews}}


@pytest.mark.parametrize(
    ("more", "field", "message"),
    [
        pytest.param(
            {"metadata": {"name": "other"}},
            "metadata.name",
            'Invalid value: "other": must be spec.names.plural+"."+spec.group',
            id="name",
        ),
        pytest.param(
            {"group": "nodots", "metadata": {"name": "widgets.nodots"}},
            "spec.group",
            'Invalid value: "nodots": should be a domain with at least one dot',
            id="group",
        ),
        pytest.param(
            {"scope": "Galaxy"},
            "spec.scope",
            'Unsupported value: "Galaxy": supported values: "Cluster", "Namespaced"',
            id="scope",
        ),
        pytest.param({"scope": ""}, "spec.scope", "Required value", id="no-scope"),
        pytest.param(
            {"names": {"kind": "Wid.get"}}, "spec.names.kind", "may have mixed case, but should", id="kind"
        ),
        pytest.param(
            {"names": {"listKind": "Widget"}},
            "spec.names.listKind",
            "kind and listKind may not be the same",
            id="same-kinds",
        ),
        pytest.param(
            {"names": {"shortNames": ["WD"]}}, "spec.names.shortNames[0]", 'Invalid value: "WD"', id="short"
        ),
        pytest.param(
            {"versions": [version(storage=False)]},
            "spec.versions",
            "must have exactly one version marked as storage version",
            id="no-storage",
        ),
        pytest.param(
            {"versions": [version(), version()]},
            "spec.versions",
            "must contain unique version names",
            id="same-versions",
        ),
        pytest.param(
            {"versions": [version(schema=None)]},
            "spec.versions[0].schema.openAPIV3Schema",
            "Required value: schemas are required",
            id="no-schema",
        ),
        pytest.param(
            {"versions": [version(spec={"properties": {}, "type": ""})]},
            "spec.validation.openAPIV3Schema.properties[spec].type",
            "Required value: must not be empty for specified object fields",
            id="not-structural",
        ),
        pytest.param(
            {"versions": [version(spec={"type": ""}), version("v2", storage=False)]},
            "spec.versions[0].schema.openAPIV3Schema.properties[spec].type",
            "Required value",
            id="one-of-several",
        ),
        pytest.param(
            {"versions": [version(deprecationWarning="old")]},
            "spec.versions[0].deprecationWarning",
            "can only be set for deprecated versions",
            id="warning",
        ),
        pytest.param(
            {"preserveUnknownFields": True},
            "spec.preserveUnknownFields",
            "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema"
            " instead",
            id="preserve",
        ),
        pytest.param(
            {"versions": scale(specReplicasPath="spec.replicas")},
            "spec.subresources.scale.specReplicasPath",
            "must be a simple json path starting with .",
            id="scale-path",
        ),
        pytest.param(
            {"versions": scale(specReplicasPath=".status.replicas")},
            "spec.subresources.scale.specReplicasPath",
            "should be a json path under .spec",
            id="scale-spec",
        ),
        pytest.param(
            {"versions": scale(labelSelectorPath=".metadata.labels")},
            "spec.subresources.scale.labelSelectorPath",
            "should be a json path under either .spec or .status",
            id="scale-selector",
        ),
        pytest.param(
            {"versions": columns(type="list")},
            "spec.additionalPrinterColumns[0].type",
            f'Invalid value: "list": must be one of {TYPES}',
            id="column-type",
        ),
        pytest.param(
            {"versions": columns(jsonPath=None)},
            "spec.additionalPrinterColumns[0].JSONPath",
            "Required value",
            id="column-path",
        ),
        pytest.param(
            {"versions": [version(selectableFields=[{"jsonPath": ".spec.anything"}])]},
            "spec.selectableFields[0]",
            "must point to a field of type string, boolean or integer. Enum string fields and strings with"
            " formats are allowed.",
            id="selectable-type",
        ),
        pytest.param(
            {"versions": [version(selectableFields=[{"jsonPath": ".spec.nothing"}])]},
            "spec.selectableFields[0].jsonPath",
            "is an invalid path: does not refer to a valid field",
            id="selectable-path",
        ),
        pytest.param(
            {"versions": [version(selectableFields=[{"jsonPath": ".spec.color"}] * 2)]},
            "spec.selectableFields[1]",
            'Duplicate value: ".spec.color"',
            id="selectable-twice",
        ),
        pytest.param(
            {"conversion": {"strategy": "Magic"}},
            "spec.conversion.strategy",
            'Unsupported value: "Magic": supported values: "None", "Webhook"',
            id="conversion",
        ),
        pytest.param(
            {"conversion": {"strategy": "Webhook"}},
            "spec.conversion.webhookClientConfig",
            "Required value: required when strategy is set to Webhook",
            id="no-webhook",
        ),
        pytest.param(
            {"conversion": converted({"service": SERVICE, "url": "https://x"}, "v1")},
            "spec.conversion.webhookClientConfig",
            "exactly one of url or service is required",
            id="two-webhooks",
        ),
        pytest.param(
            {"conversion": converted({"url": "http://hook.example.com"}, "v1")},
            "spec.conversion.webhookClientConfig.url",
            "'https' is the only allowed URL scheme; desired format: https://host[/path]",
            id="http",
        ),
        pytest.param(
            {"conversion": converted({"service": SERVICE}, "v7")},
            "spec.conversion.conversionReviewVersions",
            "must include at least one of v1, v1beta1",
            id="reviews",
        ),
        pytest.param(
            {"conversion": converted({"service": SERVICE}, "v1") | {"strategy": "None"}},
            "spec.conversion.webhookClientConfig",
            "Forbidden: should not be set when strategy is not set to Webhook",
            id="unwanted-webhook",
        ),
    ],
)
async def test_a_faulty_definition_is_refused(
    api: Api, more: dict[str, Any], field: str, message: str
) -> None:
    answer = await api("POST", CRDS, crd(**copy.deepcopy(more)))

    assert answer.code == 422, answer.body
    causes = [cause["message"] for cause in answer.body["details"]["causes"] if cause["field"] == field]
    assert any(message in text for text in causes), answer.body["details"]["causes"]


@pytest.mark.parametrize(
    ("path", "value", "field"),
    [
        ("/spec/scope", "Cluster", "spec.scope"),
        ("/spec/names/kind", "Gadget", "spec.names.kind"),
        ("/spec/names/plural", "gadgets", "spec.names.plural"),
        ("/spec/group", "example.org", "spec.group"),
    ],
)
async def test_what_is_stored_by_it_cannot_change(
    api: Api, define: Callable[..., Any], path: str, value: str, field: str
) -> None:
    await define()
    patch = [{"op": "replace", "path": path, "value": value}]

    answer = await api("PATCH", f"{CRDS}/{NAME}", patch, content_type="application/json-patch+json")

    assert answer.code == 422
    fault = {
        "reason": "FieldValueInvalid",
        "message": f'Invalid value: "{value}": field is immutable',
        "field": field,
    }
    assert fault in answer.body["details"]["causes"]


async def test_an_update_must_name_the_revision(api: Api, define: Callable[..., Any]) -> None:
    body = await define()
    del body["metadata"]["resourceVersion"]

    answer = await api("PUT", f"{CRDS}/{NAME}", body)

    assert answer.code == 422
    assert answer.body["details"]["causes"][0]["field"] == "metadata.resourceVersion"


async def test_dry_run_serves_nothing(api: Api) -> None:
    made = await api("POST", CRDS, crd(), dryRun="All")

    assert made.code == 201
    assert (await api("GET", f"{CRDS}/{NAME}")).code == 404
