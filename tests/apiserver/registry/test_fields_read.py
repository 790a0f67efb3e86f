"""Strategies whose `fields` read only the paths that they name."""

from __future__ import annotations

import pytest

from kplane.api.resource import Object
from kplane.apiserver.registry.strategies import STRATEGIES
from kplane.apiserver.storage import codec

OBJECTS: dict[str, Object] = {
    "pods": {
        "kind": "Pod",
        "apiVersion": "v1",
        "metadata": {"name": "a", "namespace": "ns", "labels": {"app": "x"}},
        "spec": {
            "nodeName": "n",
            "restartPolicy": "Never",
            "schedulerName": "s",
            "serviceAccountName": "sa",
            "hostNetwork": True,
            "containers": [{"name": "c"}],
        },
        "status": {
            "phase": "Running",
            "podIP": "10.0.0.1",
            "podIPs": [{"ip": "10.0.0.1"}],
            "nominatedNodeName": "m",
        },
    }
}


@pytest.mark.parametrize("resource", [key for key, found in STRATEGIES.items() if found.fields_read])
def test_the_paths_that_are_named_are_all_that_fields_read(resource: tuple[str, str]) -> None:
    strategy, obj = STRATEGIES[resource], OBJECTS[resource[1]]

    shown = strategy.fields(obj)

    assert all(shown[path] for path in strategy.selectable)
    assert strategy.fields(codec.reader(strategy.fields_read)(codec.encode(obj))) == shown
