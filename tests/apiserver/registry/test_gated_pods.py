"""Pods that wait for their gates, over HTTP: where they may run can still be narrowed."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api
from .rules import FORBIDDEN, INVALID, merged, refused_updates

PODS = "/api/v1/namespaces/default/pods"
REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
AFFINITY = "spec.affinity.nodeAffinity"


def need(*keys: str) -> dict[str, Any]:
    return {"matchExpressions": [{"key": key, "operator": "Exists"} for key in keys]}


def affine(*terms: dict[str, Any], **rest: Any) -> dict[str, Any]:
    return {"spec": {"affinity": {"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": list(terms)}}, **rest}}}


POD: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {
        "containers": [{"name": "c", "image": "web:1"}],
        "schedulingGates": [{"name": "a.example/one"}, {"name": "a.example/two"}],
        "nodeSelector": {"disk": "fast"},
        **affine(need("zone"))["spec"],
    },
}


async def test_where_a_gated_pod_may_run_is_only_narrowed(api: Api) -> None:
    changes = {
        "more selected": {"spec": {"nodeSelector": {"zone": "a"}}},
        "other selected": {"spec": {"nodeSelector": {"disk": "slow"}}},
        "less selected": {"spec": {"nodeSelector": None}},
        "more needed": affine(need("zone", "rack")),
        "other needed": affine(need("rack")),
        "term more": affine(need("zone"), need("rack")),
        "none": {"spec": {"affinity": None}},
        "preferred": {"spec": {"affinity": {"nodeAffinity": {
            PREFERRED: [{"weight": 1, "preference": need("rack")}]}}}},
        "near pods": affine(need("zone"), podAffinity={
            PREFERRED: [{"weight": 1, "podAffinityTerm": {"topologyKey": "zone", "labelSelector": {}}}]}),
        "gate less": {"spec": {"schedulingGates": [{"name": "a.example/two"}]}},
        "gate more": {"spec": {"schedulingGates": [{"name": "a.example/three"}]}},
        "toleration": {"spec": {"tolerations": [{"key": "a", "operator": "Exists"}]}},
    }  # fmt: skip

    found = await refused_updates(api, PODS, POD, changes)

    terms = f"{AFFINITY}.{REQUIRED}.nodeSelectorTerms"
    assert {name: [cause[:2] for cause in causes] for name, causes in found.items()} == {
        "more selected": [],
        "other selected": [("spec.nodeSelector", INVALID)],
        "less selected": [("spec.nodeSelector", INVALID)],
        "more needed": [],
        "other needed": [(f"{terms}[0]", INVALID)],
        "term more": [(terms, INVALID)],
        "none": [(terms, INVALID)],
        "preferred": [],
        "near pods": [("spec", FORBIDDEN)],
        "gate less": [],
        "gate more": [("spec.schedulingGates[0].name", FORBIDDEN)],
        # Admission puts back what every Pod tolerates.
        "toleration": [],
    }
    assert found["other selected"][0][2].endswith(
        ": only additions to spec.nodeSelector are allowed (no mutations or deletions)"
    )
    assert found["other needed"][0][2].endswith(": only additions are allowed (no mutations or deletions)")
    assert found["none"][0][2] == (
        "Invalid value: []: no additions/deletions to non-empty NodeSelectorTerms list are allowed"
    )


@pytest.mark.parametrize(
    ("change", "refused"),
    [
        pytest.param({"spec": {"nodeSelector": {"zone": "a"}}}, True, id="selector"),
        pytest.param(affine(need("zone", "rack")), True, id="affinity"),
        pytest.param({"metadata": {"labels": {"a": "b"}}}, False, id="labels"),
    ],
)
async def test_a_pod_without_gates_stays_where_it_may_run(
    api: Api, change: dict[str, Any], refused: bool
) -> None:
    free = merged(POD, {"spec": {"schedulingGates": None}})

    found = await refused_updates(api, PODS, free, {"change": change})

    assert [cause[:2] for cause in found["change"]] == ([("spec", FORBIDDEN)] if refused else [])
