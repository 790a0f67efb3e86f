"""Updates of webhook configurations that were stored before a rule existed."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.field import Path
from kplane.apiserver.registry.webhookconfigurations import WebhookConfigurationStrategy


def configuration(*webhooks: dict[str, Any]) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "name": "hook.example.com",
        "clientConfig": {"url": "https://hook.example.com"},
        "sideEffects": "None",
        "admissionReviewVersions": ["v1"],
    }
    obj = {"metadata": {"name": "x"}, "webhooks": [entry | webhook for webhook in webhooks]}
    WebhookConfigurationStrategy(mutating=False).default(obj)
    return obj


OLD_HABITS = {
    "side-effects": [{"sideEffects": "Some"}],
    "versions": [{"admissionReviewVersions": ["v1beta9"]}],
    "names": [{}, {}],
    "conditions": [{"matchConditions": [{"name": "c", "expression": "nothing"}]}],
}


@pytest.mark.parametrize("webhooks", [pytest.param(row, id=name) for name, row in OLD_HABITS.items()])
def test_what_an_old_configuration_has_may_stay(webhooks: list[dict[str, Any]]) -> None:
    strategy = WebhookConfigurationStrategy(mutating=False)
    old, new = configuration(*webhooks), configuration(*webhooks)
    new["webhooks"][0]["timeoutSeconds"] = 5

    assert list(strategy.validate(new, Path()))
    assert not list(strategy.validate_change(new, old, Path()))
    assert list(strategy.validate_change(new, configuration({}), Path()))


def test_an_unknown_side_effect_is_no_old_habit() -> None:
    strategy = WebhookConfigurationStrategy(mutating=False)
    old, new = configuration({"sideEffects": "Some"}), configuration({"sideEffects": "Odd"})

    [fault] = strategy.validate_change(new, old, Path())

    assert fault.text == (
        'Unsupported value: "Odd": supported values: "None", "NoneOnDryRun", "Some", "Unknown"'
    )
