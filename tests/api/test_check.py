"""Objects against their schema, as Go's decoder judges them."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api import schema
from kplane.api.check import cannot_handle, check, strict_faults

DEPLOYMENT = schema.node("io.k8s.api.apps.v1.Deployment")
POD = schema.node("io.k8s.api.core.v1.Pod")
SECRET = schema.node("io.k8s.api.core.v1.Secret")
LEASE = schema.node("io.k8s.api.coordination.v1.Lease")
SERVICE = schema.node("io.k8s.api.core.v1.Service")


@pytest.mark.parametrize(
    ("node", "obj", "message"),
    [
        (
            DEPLOYMENT,
            {"spec": {"replicas": "3"}},
            "json: cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": 3_000_000_000}},
            "json: cannot unmarshal number 3000000000 into Go struct field DeploymentSpec.spec.replicas of"
            " type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": {"replicas": True}},
            "json: cannot unmarshal bool into Go struct field DeploymentSpec.spec.replicas of type int32",
        ),
        (
            DEPLOYMENT,
            {"spec": "x"},
            "json: cannot unmarshal string into Go struct field Deployment.spec of type v1.DeploymentSpec",
        ),
        (
            POD,
            {"spec": {"containers": {}}},
            "json: cannot unmarshal object into Go struct field PodSpec.spec.containers"
            " of type []v1.Container",
        ),
        (
            POD,
            {"spec": {"containers": [{"env": [{"name": "a", "value": 1}]}]}},
            "json: cannot unmarshal number into Go struct field EnvVar.spec.containers.env.value"
            " of type string",
        ),
        (
            POD,
            {"metadata": {"labels": {"a": 5}}},
            "json: cannot unmarshal number into Go struct field ObjectMeta.metadata.labels of type string",
        ),
        (
            POD,
            {"spec": {"containers": [{"resources": {"limits": {"cpu": "x!"}}}]}},
            "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'",
        ),
        (SECRET, {"data": {"a": "%%"}}, "illegal base64 data at input byte 0"),
        (
            SERVICE,
            {"spec": {"ports": [{"targetPort": True}]}},
            "json: cannot unmarshal bool into Go value of type int32",
        ),
        (
            POD,
            {"metadata": {"creationTimestamp": "soon"}},
            'parsing time "soon" as "2006-01-02T15:04:05Z07:00": cannot parse "soon" as "2006"',
        ),
    ],
)
def test_wrong_types_are_reported_in_gos_words(node: schema.Node, obj: dict[str, Any], message: str) -> None:
    assert check(obj, node).errors == [message]


def test_the_400_names_kind_and_version() -> None:
    assert cannot_handle("Pod", "v1", "why") == 'Pod in version "v1" cannot be handled as a Pod: why'


def test_unknown_fields_are_dropped_and_reported_with_their_paths() -> None:
    obj = {"spec": {"foo": 1, "containers": [{"name": "a", "bar": {"deep": 1}}]}, "odd": None}

    checked = check(obj, POD)

    assert checked.unknown == ["spec.foo", "spec.containers[0].bar", "odd"]
    assert obj == {"spec": {"containers": [{"name": "a"}]}}
    assert strict_faults(checked.unknown[:1], ["spec.x"]) == [
        'duplicate field "spec.x"',
        'unknown field "spec.foo"',
    ]


def test_nulls_and_empty_optional_lists_and_maps_are_dropped() -> None:
    obj: dict[str, Any] = {
        "metadata": {"creationTimestamp": None, "labels": {}, "annotations": None, "finalizers": []},
        "spec": {"containers": [], "volumes": [{"name": "a", "emptyDir": {}}], "nodeName": ""},
    }

    assert check(obj, POD).errors == []
    # Required lists stay, and so do empty objects and strings, which may mean something.
    assert obj == {
        "metadata": {},
        "spec": {"containers": [], "volumes": [{"name": "a", "emptyDir": {}}], "nodeName": ""},
    }


def test_null_items_become_zero_values() -> None:
    obj: dict[str, Any] = {"spec": {"containers": [None, {"args": ["a", None]}]}}

    assert check(obj, POD).errors == []
    assert obj == {"spec": {"containers": [{}, {"args": ["a", ""]}]}}


def test_quantities_and_times_are_made_canonical() -> None:
    pod: dict[str, Any] = {
        "metadata": {"creationTimestamp": "2024-01-01T00:00:00+02:00"},
        "spec": {"containers": [{"resources": {"limits": {"cpu": 0.5, "memory": "1024Mi"}}}]},
    }
    lease: dict[str, Any] = {"spec": {"renewTime": "2024-01-01T00:00:00.5Z"}}

    assert check(pod, POD).errors == []
    assert check(lease, LEASE).errors == []
    assert pod["metadata"]["creationTimestamp"] == "2023-12-31T22:00:00Z"
    assert pod["spec"]["containers"][0]["resources"]["limits"] == {"cpu": "500m", "memory": "1Gi"}
    assert lease["spec"]["renewTime"] == "2024-01-01T00:00:00.500000Z"


def test_managed_fields_are_nobodys_business() -> None:
    fields = {"f:spec": {"f:x": {}, ".": {}}}
    obj = {"metadata": {"managedFields": [{"manager": "m", "fieldsV1": fields}]}}

    assert check(obj, POD).unknown == []
    assert obj["metadata"]["managedFields"][0]["fieldsV1"] == fields


def test_a_schema_that_contains_itself_is_walked_to_any_depth() -> None:
    node = schema.node("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    deep: dict[str, Any] = {"odd": 1}
    for _ in range(50):
        deep = {"properties": {"a": deep}}

    assert len(check(deep, node).unknown) == 1


def test_nesting_without_end_is_an_error_not_a_crash() -> None:
    node = schema.node("io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps")
    deep: dict[str, Any] = {}
    for _ in range(5000):
        deep = {"properties": {"a": deep}}

    assert check(deep, node).errors == ["exceeded max depth"]
