"""ResourceQuotas that count some objects only."""

from __future__ import annotations

from typing import Any

import pytest

AT = "spec.scopeSelector.matchExpressions"


def scoped(hard: str, *scopes: str) -> dict[str, Any]:
    return {"spec": {"hard": {hard: "1"}, "scopes": [*scopes]}}


def selecting(scope: str, operator: str, *values: str, hard: str = "pods") -> dict[str, Any]:
    need = {"scopeName": scope, "operator": operator} | ({"values": [*values]} if values else {})
    return {"spec": {"hard": {hard: "1"}, "scopeSelector": {"matchExpressions": [need]}}}


@pytest.mark.parametrize(
    ("obj", "fault"),
    [
        (scoped("pods", "BestEffort"), ""),
        (scoped("requests.cpu", "NotTerminating", "NotBestEffort"), ""),
        (selecting("PriorityClass", "In", "high"), ""),
        (selecting("Terminating", "Exists"), ""),
        (scoped("pods", "Odd"), 'spec.scopes: Invalid value: ["Odd"]: unsupported scope'),
        (
            scoped("cpu", "BestEffort"),
            'spec.scopes: Invalid value: ["BestEffort"]: unsupported scope applied to resource',
        ),
        (
            scoped("pods", "BestEffort", "NotBestEffort"),
            'spec.scopes: Invalid value: ["BestEffort","NotBestEffort"]: conflicting scopes',
        ),
        (selecting("Odd", "Exists"), f'{AT}.scopeName: Invalid value: "Odd": unsupported scope'),
        (
            selecting("PriorityClass", "In"),
            f"{AT}.values: Required value: must be at least one value when `operator` is 'In' or 'NotIn' for"
            " scope selector",
        ),
        (
            selecting("PriorityClass", "Exists", "high"),
            f"{AT}.values: Invalid value: [\"high\"]: must be no value when `operator` is 'Exists' or"
            " 'DoesNotExist' for scope selector",
        ),
        (
            selecting("PriorityClass", "Is"),
            f'{AT}.operator: Invalid value: "Is": not a valid selector operator',
        ),
        (
            selecting("Terminating", "DoesNotExist"),
            f"{AT}.operator: Invalid value: \"DoesNotExist\": must be 'Exist' when scope is any of"
            " ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating,"
            " ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or"
            " ResourceQuotaScopeCrossNamespacePodAffinity",
        ),
    ],
)
def test_scopes(judge: Any, obj: dict[str, Any], fault: str) -> None:
    faults = judge("", "resourcequotas").faults(obj)

    assert fault in faults if fault else faults == []


def test_what_is_used_is_not_negative(judge: Any) -> None:
    status = {"hard": {"pods": "1"}, "used": {"pods": "-1"}}

    assert judge("", "resourcequotas").status_faults({"status": status}, {}) == [
        'status.used[pods]: Invalid value: "-1": must be greater than or equal to 0'
    ]
