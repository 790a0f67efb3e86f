"""ConfigMaps, Secrets, Namespaces, Nodes, Events, Leases."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from kplane.apiserver.registry.strategies import STRATEGIES

IMMUTABLE = "Forbidden: field is immutable when `immutable` is set"


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_configmap_keys_and_size(judge: Any) -> None:
    kind = judge("", "configmaps")

    assert kind.faults({"data": {"a.b": "x"}, "binaryData": {"c": encoded("x")}}) == []
    assert kind.faults({"data": {"..": "x"}}) == ["data[..]: Invalid value: \"..\": must not be '..'"]
    assert kind.faults({"data": {"a": "x"}, "binaryData": {"a": ""}}) == [
        'data[a]: Invalid value: "a": duplicate of key present in binaryData'
    ]
    assert kind.faults({"data": {"a": "x" * 2**20, "b": "x"}}) == [
        "<nil>: Too long: may not be more than 1048576 bytes"
    ]


@pytest.mark.parametrize("plural", ["configmaps", "secrets"])
def test_what_is_immutable_stays(judge: Any, plural: str) -> None:
    kind = judge("", plural)
    old = kind.created({"data": {"a": "eA=="}, "immutable": True})

    assert kind.update_faults(old, old) == []
    assert kind.update_faults({**old, "immutable": False, "data": {}}, old) == [
        f"immutable: {IMMUTABLE}",
        f"data: {IMMUTABLE}",
    ]


def test_plain_text_of_a_secret_becomes_data(judge: Any) -> None:
    created = judge("", "secrets").created({"stringData": {"a": "new"}, "data": {"a": "b2xk", "b": "eA=="}})

    assert created["data"] == {"a": encoded("new"), "b": "eA=="}
    assert created["type"] == "Opaque"
    assert "stringData" not in created


@pytest.mark.parametrize(
    ("obj", "faults"),
    [
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": "", "tls.key": ""}}, []),
        ({"type": "kubernetes.io/tls", "data": {"tls.crt": ""}}, ["data[tls.key]: Required value"]),
        (
            {"type": "kubernetes.io/basic-auth"},
            ["data[username]: Required value", "data[password]: Required value"],
        ),
        (
            {"type": "kubernetes.io/dockerconfigjson", "data": {".dockerconfigjson": encoded("{")}},
            [
                'data[.dockerconfigjson]: Invalid value: "<secret contents redacted>": invalid character in'
                " JSON"
            ],
        ),
        ({"type": "kubernetes.io/ssh-auth"}, ["data[ssh-privatekey]: Required value"]),
        (
            {"type": "kubernetes.io/service-account-token"},
            ["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        ),
    ],
)
def test_secrets_by_type(judge: Any, obj: dict[str, Any], faults: list[str]) -> None:
    assert judge("", "secrets").faults(obj) == faults


def test_the_type_of_a_secret_may_not_change(judge: Any) -> None:
    kind = judge("", "secrets")
    old = kind.created({})

    assert kind.update_faults({**old, "type": "x"}, old) == ['type: Invalid value: "x": field is immutable']
    assert STRATEGIES["", "secrets"].fields(old) == {"type": "Opaque"}


def test_a_namespace_begins_active_and_ends_terminating(judge: Any) -> None:
    namespaces = STRATEGIES["", "namespaces"]
    created = judge("", "namespaces").created({"metadata": {"name": "team"}, "spec": {"finalizers": ["a/b"]}})

    assert created["metadata"]["labels"] == {"kubernetes.io/metadata.name": "team"}
    assert created["spec"] == {"finalizers": ["a/b", "kubernetes"]}
    assert namespaces.blockers(created) == ["a/b", "kubernetes"]
    assert namespaces.fields(created) == {"status.phase": "Active"}
    namespaces.mark_deleting(created)
    assert created["status"] == {"phase": "Terminating"}


def test_a_namespace_has_a_label_for_a_name(judge: Any) -> None:
    assert judge("", "namespaces").faults({"metadata": {"name": "a.b"}}) == [
        'metadata.name: Invalid value: "a.b": must not contain dots'
    ]


def test_the_phase_of_a_namespace_follows_its_deletion(judge: Any) -> None:
    new = {"metadata": {}, "status": {"phase": "Terminating"}}

    assert judge("", "namespaces").status_faults(new, new) == [
        "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty"
    ]


def node(**spec: Any) -> dict[str, Any]:
    return {"metadata": {"name": "n"}, "spec": spec}


def test_a_node_may_be_created_with_its_status(judge: Any) -> None:
    obj = {**node(podCIDR="10.0.0.0/24"), "status": {"capacity": {"memory": "1024Mi"}}}

    created = judge("", "nodes").created(obj)

    assert created["status"] == {"capacity": {"memory": "1Gi"}, "allocatable": {"memory": "1Gi"}}
    assert created["spec"]["podCIDRs"] == ["10.0.0.0/24"]
    assert STRATEGIES["", "nodes"].fields(node(unschedulable=True)) == {"spec.unschedulable": "true"}


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        (
            node(taints=[{"key": "a", "effect": "Odd"}]),
            'metadata.taints[0].effect: Unsupported value: "Odd": supported values: "NoSchedule",'
            ' "PreferNoSchedule", "NoExecute"',
        ),
        (node(taints=[{"key": "a"}]), "metadata.taints[0].effect: Required value"),
        (
            node(taints=[{"key": "a", "effect": "NoExecute"}] * 2),
            'metadata.taints[1]: Duplicate value: {"key":"a","effect":"NoExecute"}: taints must be unique by'
            " key and effect pair",
        ),
        (
            node(podCIDRs=["x"]),
            'spec.podCIDRs[0]: Invalid value: "x": must be a valid CIDR value, (e.g. 10.9.8.0/24 or'
            " 2001:db8::/64)",
        ),
        (
            {**node(), "status": {"capacity": {"pods": "0.5"}, "allocatable": {"pods": "1"}}},
            'status.capacity.pods: Invalid value: "500m": must be an integer',
        ),
    ],
)
def test_node_faults_are_worded_as_upstream(judge: Any, obj: dict[str, Any], fault: str) -> None:
    assert judge("", "nodes").faults(obj) == [fault]


def test_what_a_node_was_given_stays(judge: Any) -> None:
    kind = judge("", "nodes")
    old = kind.created(node(podCIDRs=["10.0.0.0/24"], providerID="a"))
    new = kind.created(node(podCIDRs=["10.0.1.0/24"], providerID="b", externalID="c"))

    assert kind.update_faults(new, old) == [
        'spec.podCIDRs: Forbidden: node updates may not change podCIDR except from "" to valid',
        'spec.providerID: Forbidden: node updates may not change providerID except from "" to valid',
        "spec.externalID: Forbidden: may not be updated",
    ]


def test_events_are_selected_by_what_they_are_about() -> None:
    events = STRATEGIES["", "events"]
    fields = events.fields(
        {
            "involvedObject": {"kind": "Pod", "name": "p", "uid": "u"},
            "reason": "Started",
            "source": {"component": "kubelet"},
            "type": "Normal",
        }
    )

    assert set(events.selectable) <= set(fields)
    assert fields["involvedObject.name"] == "p"
    assert fields["source"] == "kubelet"
    assert events.ttl == 3600


def test_an_event_lives_where_its_object_lives(judge: Any) -> None:
    obj = {"metadata": {"name": "e", "namespace": "a"}, "involvedObject": {"namespace": "b"}}

    assert judge("", "events").faults(obj) == [
        'involvedObject.namespace: Invalid value: "b": does not match event.namespace'
    ]


def test_new_events_say_who_reports_what(judge: Any) -> None:
    obj = {"metadata": {"name": "e", "namespace": "default"}, "type": "Normal"}

    assert judge("events.k8s.io", "events").faults(obj) == ["eventTime: Required value"]
    faults = judge("events.k8s.io", "events").faults(obj | {"eventTime": "2026-01-01T00:00:00.000000Z"})
    assert [fault for fault in faults if fault.endswith("Required value")] == [
        "reportingController: Required value",
        "reportingInstance: Required value",
        "action: Required value",
        "reason: Required value",
    ]


def test_leases(judge: Any) -> None:
    kind = judge("coordination.k8s.io", "leases")

    assert kind.faults({"spec": {"leaseDurationSeconds": 15, "leaseTransitions": 0}}) == []
    assert kind.faults({"spec": {"leaseDurationSeconds": 0, "leaseTransitions": -1}}) == [
        "spec.leaseDurationSeconds: Invalid value: 0: must be greater than 0",
        "spec.leaseTransitions: Invalid value: -1: must be greater than or equal to 0",
    ]
