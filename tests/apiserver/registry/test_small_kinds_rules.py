"""Events, slices of endpoints, disruption budgets, migrations and workloads' statuses over HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api
from .rules import (
    DUPLICATE,
    INVALID,
    REQUIRED,
    TOO_MANY,
    merged,
    one,
    refused_creations,
    refused_updates,
)

EVENTS = "/apis/events.k8s.io/v1/namespaces/default/events"
CORE_EVENTS = "/api/v1/namespaces/default/events"
SLICES = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices"
BUDGETS = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
MIGRATIONS = "/apis/storagemigration.k8s.io/v1/storageversionmigrations"
THEN = "2026-01-01T00:00:00.000000Z"
EVENT: dict[str, Any] = {
    "metadata": {"name": "one"}, "eventTime": THEN, "reportingController": "a.example/c",
    "reportingInstance": "i", "action": "Bind", "reason": "Bound", "type": "Normal",
    "regarding": {"kind": "Pod", "name": "web", "namespace": "default"},
}  # fmt: skip
NEGATIVE = "Invalid value: -1: must be greater than or equal to 0"


async def test_new_events_say_what_happened(api: Api) -> None:
    changes = {
        "undated": {"eventTime": None},
        "silent": {"reportingInstance": "", "action": "", "reason": "r" * 129},
        "type": {"type": "Error"},
        "note": {"note": "x" * 1025},
        "series": {"series": {"count": 1, "lastObservedTime": None}},
        "old fields": {"deprecatedCount": 2, "deprecatedFirstTimestamp": "2026-01-01T00:00:00Z"},
        "controller": {"reportingController": "a b"},
    }

    found = await refused_creations(api, EVENTS, EVENT, changes)

    assert [cause[:2] for cause in found.pop("controller")] == [("reportingController", INVALID)]
    unset = 'Invalid value: "": needs to be unset'
    assert found == {
        "undated": one("eventTime", REQUIRED, "Required value"),
        "silent": [
            ("reportingInstance", REQUIRED, "Required value"),
            ("action", REQUIRED, "Required value"),
            ("reason", INVALID, 'Invalid value: "": can have at most 128 characters'),
        ],
        "type": one("type", INVALID, 'Invalid value: "": has invalid value: Error'),
        "note": one("message", INVALID, 'Invalid value: "": can have at most 1024 characters'),
        "series": [
            ("series.count", INVALID, 'Invalid value: "": should be at least 2'),
            ("series.lastObservedTime", REQUIRED, "Required value"),
        ],
        "old fields": [("firstTimestamp", INVALID, unset), ("count", INVALID, unset)],
    }


async def test_of_a_new_event_only_its_series_changes(api: Api) -> None:
    changes = {
        "series": {"series": {"count": 2, "lastObservedTime": THEN}},
        "bad series": {"series": {"count": 1, "lastObservedTime": THEN}},
        "note": {"note": "other"},
        "about": {"regarding": {"name": "other"}},
        "reason": {"reason": "Other", "action": "Other"},
        "label": {"metadata": {"labels": {"a": "b"}}},
    }

    found = await refused_updates(api, EVENTS, EVENT, changes)

    assert {name: [cause[0] for cause in listed] for name, listed in found.items()} == {
        "series": [], "bad series": ["series.count"], "note": ["message"], "about": ["involvedObject"],
        "reason": ["reason", "action"], "label": [],
    }  # fmt: skip


async def test_old_events_are_about_their_namespace(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "involvedObject": {"namespace": "default"}, "reason": "R"}
    changes = {
        "elsewhere": {"involvedObject": {"namespace": "kube-system"}},
        "nowhere": {"involvedObject": None},
        "dated": {"eventTime": THEN},
    }

    found = await refused_creations(
        api, CORE_EVENTS, merged(base, {"involvedObject": {"kind": "Pod"}}), changes
    )

    assert found["elsewhere"] == one("involvedObject.namespace", INVALID,
        'Invalid value: "kube-system": does not match event.namespace')  # fmt: skip
    assert "nowhere" in found
    assert [cause[:2] for cause in found["dated"] if cause[1] == REQUIRED] == [
        ("reportingComponent", REQUIRED), ("reportingInstance", REQUIRED), ("action", REQUIRED),
    ]  # fmt: skip


async def test_slices_hold_addresses_of_their_type_and_hints(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "addressType": "IPv4", "endpoints": [{"addresses": ["192.0.2.1"]}]}

    def endpoint(**fields: Any) -> dict[str, Any]:
        return {"endpoints": [{"addresses": ["192.0.2.1"]} | fields]}

    first = "endpoints[0]"
    changes = {
        "none": endpoint(addresses=[]),
        "many": endpoint(addresses=[f"192.0.2.{index}" for index in range(101)]),
        "family": endpoint(addresses=["2001:db8::1"]),
        "special": endpoint(addresses=["127.0.0.1"]),
        "zones": endpoint(hints={"forZones": [{"name": "a"}, {"name": "a"}]}),
        "many zones": endpoint(hints={"forZones": [{"name": f"z{index}"} for index in range(17)]}),
        "nodes": endpoint(hints={"forNodes": [{"name": "_"}]}),
        "ports": {"ports": [{"name": "a", "port": 1}, {"name": "a", "port": 2}]},
        "short name": {"addressType": "FQDN", "endpoints": [{"addresses": ["web"]}]},
    }  # fmt: skip
    found = await refused_creations(api, SLICES, base, changes)
    moved = await refused_updates(api, SLICES, base, {"type": {"addressType": "IPv6", "endpoints": []}})

    assert [cause[:2] for cause in found.pop("nodes")] == [(f"{first}.hints.forNodes[0].name", INVALID)]
    assert found == {
        "none": one(f"{first}.addresses", REQUIRED, "Required value: must contain at least 1 address"),
        "many": one(f"{first}.addresses", TOO_MANY, "Too many: 101: must have at most 100 items"),
        "family": one(f"{first}.addresses[0]", INVALID,
            'Invalid value: "2001:db8::1": must be an IPv4 address'),
        "special": one(f"{first}.addresses[0]", INVALID, 'Invalid value: "127.0.0.1": may not be in the'
            " loopback range (127.0.0.0/8, ::1/128)"),
        "zones": one(f"{first}.hints.forZones[1].name", DUPLICATE, 'Duplicate value: "a"'),
        "many zones": one(f"{first}.hints.forZones", TOO_MANY, "Too many: 17: must have at most 16 items"),
        "ports": one("ports[1].name", DUPLICATE, 'Duplicate value: "a"'),
        "short name": one(f"{first}.addresses[0]", INVALID,
            'Invalid value: "web": should be a domain with at least two segments separated by dots'),
    }  # fmt: skip
    assert ("addressType", INVALID) in [cause[:2] for cause in moved["type"]]


async def test_the_status_of_a_budget_counts(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"minAvailable": 1, "selector": {}}}
    changes = {
        "negative": {"status": {"currentHealthy": -1, "disruptionsAllowed": -1}},
        "condition": {"status": {"conditions": [{"type": "a b", "status": "True", "reason": "R",
            "lastTransitionTime": "2026-01-01T00:00:00Z", "message": ""}]}},
    }  # fmt: skip

    found = await refused_updates(api, BUDGETS, base, changes, subresource="status")

    assert found["negative"] == [
        ("status.disruptionsAllowed", INVALID, NEGATIVE), ("status.currentHealthy", INVALID, NEGATIVE),
    ]  # fmt: skip
    assert [cause[0] for cause in found["condition"]] == ["status.conditions[0].type"]


async def test_migrations_end_once(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"resource": {"resource": "pods", "group": ""}}}

    def now(*true: str, **fields: Any) -> dict[str, Any]:
        return {"status": {**fields, "conditions": [
            {"type": kind, "status": "True", "reason": "R", "message": "",
             "lastTransitionTime": "2026-01-01T00:00:00Z"} for kind in true]}}  # fmt: skip

    created = await refused_creations(
        api, MIGRATIONS, base, {"none": {"spec": {"resource": {"resource": ""}}}}
    )
    told = await refused_updates(
        api, MIGRATIONS, base,
        {"both": now("Succeeded", "Failed"), "running": now("Running", "Succeeded"),
         "version": now(resourceVersion="a"), "sound": now("Running", resourceVersion="7")},
        subresource="status",
    )  # fmt: skip
    place = f"{MIGRATIONS}/one"
    made = (await api("GET", place)).body
    done = (await api("PUT", f"{place}/status", merged(made, now("Succeeded", resourceVersion="7")))).body
    again = await api("PUT", f"{place}/status", merged(done, now(resourceVersion="8")))
    other = await api("PUT", place, merged(done, {"spec": {"resource": {"resource": "nodes"}}}))

    assert created["none"] == one("spec.resource.resource", REQUIRED, "Required value: resource is required")
    assert {name: [cause[0] for cause in listed] for name, listed in told.items()} == {
        "both": ["status.conditions"], "running": ["status.conditions"],
        "version": ["status.resourceVersion"], "sound": [],
    }  # fmt: skip
    texts = [cause["message"] for cause in again.body["details"]["causes"]]
    assert texts[0] == 'Invalid value: "8": resourceVersion cannot be updated'
    assert texts[1].endswith("Success condition cannot be set to false once it is true")
    assert other.body["details"]["causes"][0]["field"] == "spec"


WORKLOAD = {
    "selector": {"matchLabels": {"a": "b"}},
    "template": {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i"}]}},
}


@pytest.mark.parametrize("plural", ["deployments", "statefulsets", "daemonsets"])
async def test_collisions_are_not_forgotten(api: Api, plural: str) -> None:
    place = f"/apis/apps/v1/namespaces/default/{plural}"
    made = await api.make(place, {"metadata": {"name": "one"}, "spec": WORKLOAD})
    told = merged(made, {"status": {"collisionCount": 2}})
    assert (await api("PUT", f"{place}/one/status", told)).code == 200
    told["metadata"].pop("resourceVersion")

    answer = await api("PUT", f"{place}/one/status", merged(told, {"status": {"collisionCount": 1}}))

    assert answer.body["details"]["causes"] == [
        {"reason": INVALID, "field": "status.collisionCount",
         "message": "Invalid value: 1: cannot be decremented"}
    ]  # fmt: skip


async def test_available_pods_are_ready_ones(api: Api) -> None:
    place = "/apis/apps/v1/namespaces/default/statefulsets"
    body = {"metadata": {"name": "one"}, "spec": WORKLOAD}
    change = {"status": {"replicas": 3, "readyReplicas": 1, "availableReplicas": 2}}

    found = await refused_updates(api, place, body, {"change": change}, subresource="status")

    assert found["change"] == one("status.availableReplicas", INVALID,
        "Invalid value: 2: cannot be greater than status.readyReplicas")  # fmt: skip


async def test_limits_are_in_order(api: Api) -> None:
    path = "/api/v1/namespaces/default/limitranges"
    base = {"metadata": {"name": "one"}, "spec": {"limits": [{"type": "Container", "max": {"cpu": "2"}}]}}

    def limits(kind: str = "Container", **fields: Any) -> dict[str, Any]:
        return {"spec": {"limits": [{"type": kind} | fields]}}

    first = "spec.limits[0]"
    changes = {
        "type": limits("Thing"),
        "bounds": limits("Pod", min={"cpu": "3"}, max={"cpu": "2"}),
        "request": limits(max={"cpu": "2"}, default={"cpu": "1"}, defaultRequest={"cpu": "1500m"}),
        "limit": limits(max={"cpu": "2"}, default={"cpu": "3"}, defaultRequest={"cpu": "1"}),
        "small ratio": limits(maxLimitRequestRatio={"cpu": "500m"}),
        "large ratio": limits("Pod", min={"cpu": "1"}, max={"cpu": "2"}, maxLimitRequestRatio={"cpu": "3"}),
        "claims": limits("PersistentVolumeClaim", max={"cpu": "1"}),
        "pages": limits(default={"hugepages-2Mi": "2Mi"}, defaultRequest={"hugepages-2Mi": "4Mi"}),
        "of pods": limits("Pod", default={"cpu": "1"}),
    }

    found = await refused_creations(api, path, base, changes)

    assert found["type"] == one(f"{first}.type", INVALID,
        'Invalid value: "Thing": must be a standard limit type or fully qualified')  # fmt: skip
    assert found["bounds"] == one(f"{first}.min[cpu]", INVALID,
        'Invalid value: "3": min value 3 is greater than max value 2')  # fmt: skip
    larger = 'Invalid value: "1500m": default request value 1500m is greater than default limit value 1'
    assert found["request"] == one(f"{first}.defaultRequest[cpu]", INVALID, larger)
    assert found["limit"] == one(f"{first}.default[cpu]", INVALID,
        'Invalid value: "2": default value 3 is greater than max value 2')  # fmt: skip
    assert found["small ratio"] == one(f"{first}.maxLimitRequestRatio[cpu]", INVALID,
        'Invalid value: "500m": ratio 500m is less than 1')  # fmt: skip
    assert found["large ratio"] == one(f"{first}.maxLimitRequestRatio[cpu]", INVALID,
        'Invalid value: "3": ratio 3 is greater than max/min = 2.000000')  # fmt: skip
    neither = "either minimum or maximum storage value is required, but neither was provided"
    assert found["claims"] == one(f"{first}.limits", REQUIRED, f"Required value: {neither}")
    assert [cause[0] for cause in found["pages"]] == [f"{first}.defaultRequest[hugepages-2Mi]"] * 2
    assert found["of pods"][0][0] == f"{first}.default"
