"""Events of both groups."""

from __future__ import annotations

from kplane.api.conversion import from_stored, to_stored
from kplane.api.scheme import builtin

CORE = {
    "apiVersion": "v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "d"},
    "involvedObject": {"kind": "Pod", "name": "p"},
    "reason": "Started",
    "message": "Started it",
    "source": {"component": "kubelet"},
    "count": 2,
    "reportingComponent": "kubelet",
    "reportingInstance": "n1",
}
NEW = {
    "apiVersion": "events.k8s.io/v1",
    "kind": "Event",
    "metadata": {"name": "e", "namespace": "d"},
    "regarding": {"kind": "Pod", "name": "p"},
    "reason": "Started",
    "note": "Started it",
    "deprecatedSource": {"component": "kubelet"},
    "deprecatedCount": 2,
    "reportingController": "kubelet",
    "reportingInstance": "n1",
}


def test_both_groups_show_the_same_stored_event() -> None:
    scheme = builtin()
    core, new = scheme.by_path("", "v1", "events"), scheme.by_path("events.k8s.io", "v1", "events")
    assert core is not None
    assert new is not None

    assert to_stored(new, NEW) == CORE
    assert from_stored(new, CORE) == NEW
    assert from_stored(core, CORE) == CORE
