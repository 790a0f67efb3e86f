"""Questions about lists that are narrowed down, of which the Node authoriser makes a difference."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import Nodes

REVIEWS = "/apis/authorization.k8s.io/v1/subjectaccessreviews"
OWN = {"key": "spec.nodeName", "operator": "In", "values": ["n1"]}
IGNORED = "spec.resourceAttributes.{} ignored due to parse error".format
PARTIALLY = "spec.resourceAttributes.{} partially ignored due to parse error".format


async def ask(nodes: Nodes, **selectors: Any) -> Any:
    """Whether n1 may list Pods."""
    what = {"verb": "list", "resource": "pods", "version": "v1"} | selectors
    spec = {"user": "system:node:n1", "groups": ["system:nodes"], "resourceAttributes": what}
    answer = await nodes.admin("POST", REVIEWS, {"spec": spec})
    assert answer.code == 201, answer.body
    return answer.body["status"]


@pytest.mark.parametrize(
    "selector",
    [
        pytest.param({"requirements": [OWN]}, id="requirements"),
        pytest.param({"rawSelector": "spec.nodeName=n1"}, id="raw"),
        pytest.param({"rawSelector": "status.phase!=Failed,spec.nodeName==n1"}, id="raw, among others"),
    ],
)
async def test_a_list_of_its_own_pods_is_a_nodes(nodes: Nodes, selector: dict[str, Any]) -> None:
    status = await ask(nodes, fieldSelector=selector)

    assert (status["allowed"], status.get("evaluationError")) == (True, None)


@pytest.mark.parametrize(
    ("selector", "error"),
    [
        pytest.param({"rawSelector": "spec.nodeName=n2"}, None, id="another's"),
        pytest.param({"rawSelector": "spec.nodeName in n1"}, IGNORED("fieldSelector"), id="no selector"),
        pytest.param(
            {"requirements": [OWN | {"values": ["n1", "n2"]}]}, IGNORED("fieldSelector"), id="two values"
        ),
        pytest.param(
            {"requirements": [OWN | {"operator": "Exists", "values": []}]},
            IGNORED("fieldSelector"),
            id="exists",
        ),
        pytest.param({"requirements": [OWN | {"operator": "Like"}]}, IGNORED("fieldSelector"), id="operator"),
    ],
)
async def test_other_lists_are_not(nodes: Nodes, selector: dict[str, Any], error: str | None) -> None:
    status = await ask(nodes, fieldSelector=selector)

    assert (status["allowed"], status.get("evaluationError")) == (False, error)


async def test_what_is_understood_counts_beside_what_is_not(nodes: Nodes) -> None:
    status = await ask(
        nodes,
        fieldSelector={"requirements": [OWN, OWN | {"operator": "Like"}]},
        labelSelector={"rawSelector": "&"},
    )

    assert status["allowed"] is True
    assert status["evaluationError"] == f"{PARTIALLY('fieldSelector')}; {IGNORED('labelSelector')}"
