"""Policies of Jobs: what is refused, in upstream's words."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.field import Path
from kplane.apiserver.registry.jobpolicies import validate_policies

RULE = "spec.podFailurePolicy.rules[0]"
TEMPLATE = {"spec": {"containers": [{"name": "work"}]}}
EXIT = {"operator": "In", "values": [1, 2]}


def rules(*entries: dict[str, Any]) -> dict[str, Any]:
    return {"podFailurePolicy": {"rules": list(entries)}}


def faults(spec: dict[str, Any]) -> list[str]:
    return [str(fault) for fault in validate_policies({"template": TEMPLATE, **spec}, Path("spec"))]


def test_good_policies_pass() -> None:
    spec = {
        **rules(
            {"action": "FailIndex", "onExitCodes": EXIT | {"containerName": "work"}},
            {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
        ),
        "completionMode": "Indexed",
        "completions": 3,
        "backoffLimitPerIndex": 1,
        "maxFailedIndexes": 3,
        "successPolicy": {"rules": [{"succeededCount": 1}]},
    }
    assert faults(spec) == []


@pytest.mark.parametrize(
    ("spec", "field", "words"),
    [
        pytest.param(
            rules({"action": "Stop", "onExitCodes": EXIT}),
            f"{RULE}.action", 'Unsupported value: "Stop"', id="action",
        ),
        pytest.param(
            rules({"action": "FailIndex", "onExitCodes": EXIT}),
            f"{RULE}.action", "requires the backoffLimitPerIndex to be set", id="no-limit",
        ),
        pytest.param(
            rules({"action": "Count"}),
            RULE, "specifying one of OnExitCodes and OnPodConditions", id="empty",
        ),
        pytest.param(
            rules({"action": "Count", "onExitCodes": EXIT | {"containerName": "other"}}),
            f"{RULE}.onExitCodes.containerName", "must be one of the container", id="name",
        ),
        pytest.param(
            rules({"action": "Count", "onExitCodes": {"operator": "In", "values": [0]}}),
            f"{RULE}.onExitCodes.values[0]", "must not be 0 for the In operator", id="zero",
        ),
        pytest.param(
            rules({"action": "Count", "onExitCodes": {"operator": "In", "values": [3, 1]}}),
            f"{RULE}.onExitCodes.values", "must be ordered", id="order",
        ),
        pytest.param(
            {"successPolicy": {"rules": [{"succeededCount": 1}]}},
            "spec.successPolicy", "requires indexed completion mode", id="success-not-indexed",
        ),
        pytest.param(
            {"completionMode": "Indexed", "successPolicy": {"rules": [{}]}},
            "spec.successPolicy.rules[0]", "at least one of succeededCount", id="no-rule",
        ),
        pytest.param(
            {"maxFailedIndexes": 1}, "spec.backoffLimitPerIndex", "when maxFailedIndexes", id="max",
        ),
    ],
)  # fmt: skip
def test_bad_policies_are_refused(spec: dict[str, Any], field: str, words: str) -> None:
    (fault,) = faults(spec)

    assert fault.startswith(f"{field}: ")
    assert words in fault
