"""Dynamic resources over HTTP: claims, templates, classes, slices, taint rules; what they may say."""

from __future__ import annotations

from typing import Any

from ..conftest import Api
from .rules import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    TOO_LONG,
    TOO_MANY,
    UNSUPPORTED,
    causes,
    merged,
    one,
    refused_creations,
    refused_updates,
)

BASE = "/apis/resource.k8s.io/v1"
CLAIMS = f"{BASE}/namespaces/default/resourceclaims"
TEMPLATES = f"{BASE}/namespaces/default/resourceclaimtemplates"
CLASSES, SLICES, RULES = f"{BASE}/deviceclasses", f"{BASE}/resourceslices", f"{BASE}/devicetaintrules"
EXACT = {"deviceClassName": "gpu.example.com"}
DRIVER = "gpu.example.com"
REQUEST = {"name": "gpu", "exactly": EXACT}
CLAIM: dict[str, Any] = {"metadata": {"name": "one"}, "spec": {"devices": {"requests": [REQUEST]}}}
UNKNOWN = (
    "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'"
)


def devices(**fields: Any) -> dict[str, Any]:
    return {"spec": {"devices": fields}}


def exactly(**fields: Any) -> dict[str, Any]:
    return devices(requests=[{"name": "gpu", "exactly": EXACT | fields}])


def selecting(expression: str) -> dict[str, Any]:
    return {"selectors": [{"cel": {"expression": expression}}]}


async def test_claims_are_refused_for_what_they_ask(api: Api) -> None:
    first, exact = "spec.devices.requests[0]", "spec.devices.requests[0].exactly"
    nested = (
        "device.attributes.all(a, device.attributes.all(b, device.attributes.all(c, device.attributes.all"
    )
    changes = {
        "nothing": devices(requests=[{"name": "gpu"}]),
        "both": devices(requests=[REQUEST | {"firstAvailable": [EXACT | {"name": "a"}]}]),
        "no class": devices(requests=[{"name": "gpu", "exactly": {"allocationMode": "All"}}]),
        "twice": devices(requests=[REQUEST, REQUEST]),
        "many": devices(requests=[REQUEST | {"name": f"r{index}"} for index in range(33)]),
        "mode": exactly(allocationMode="Some"),
        "count": exactly(count=-1),
        "count of all": exactly(allocationMode="All", count=2),
        "toleration": exactly(
            tolerations=[{"key": "a", "operator": "Exists", "value": "b", "effect": "Now"}]
        ),
        "constraint": devices(constraints=[{"requests": ["gpu", "nic"]}]),
        "attribute": devices(constraints=[{"matchAttribute": "model"}]),
        "subrequest": devices(constraints=[{"requests": ["gpu/a"], "matchAttribute": "a.example/model"}]),
        "config": devices(config=[{"opaque": {"driver": DRIVER, "parameters": {"a": "x" * 10240}}}]),
        "selector": exactly(selectors=[{}]),
        "syntax": exactly(**selecting("device.driver ==")),
        "kind": exactly(**selecting("device.driver")),
        "unknown field": exactly(**selecting("device.serial == 'a'")),
        "long": exactly(**selecting("true || " * 1300 + "true")),
        "costly": exactly(**selecting(nested + "(d, d == a))))")),
        "sound": exactly(
            **selecting("device.driver == 'a' && device.attributes['a.example'].model.matches('^h100')"),
            capacity={"requests": {"memory": "1Gi"}},
            adminAccess=False,
        ),
    }

    found = await refused_creations(api, CLAIMS, CLAIM, changes)

    syntax, kind, unknown = found.pop("syntax"), found.pop("kind"), found.pop("unknown field")
    assert found == {
        "nothing": one(first, REQUIRED,
            "Required value: exactly one of `exactly` or `firstAvailable` is required"),
        "both": one(first, INVALID, "Invalid value: null: exactly one of `exactly` or `firstAvailable` is"
            " required, but multiple fields are set"),
        "no class": one(f"{exact}.deviceClassName", REQUIRED, "Required value"),
        "twice": one("spec.devices.requests[1]", DUPLICATE, 'Duplicate value: "gpu"'),
        "many": one("spec.devices.requests", TOO_MANY, "Too many: 33: must have at most 32 items"),
        "mode": one(f"{exact}.allocationMode", UNSUPPORTED,
            'Unsupported value: "Some": supported values: "All", "ExactCount"'),
        "count": one(f"{exact}.count", INVALID, "Invalid value: -1: must be greater than zero"),
        "count of all": one(f"{exact}.count", INVALID,
            "Invalid value: 2: must not be specified when allocationMode is 'All'"),
        "toleration": [
            (f"{exact}.tolerations[0].value", INVALID,
             'Invalid value: "b": must be empty for operator `Exists`'),
            (f"{exact}.tolerations[0].effect", UNSUPPORTED,
             'Unsupported value: "Now": supported values: "NoExecute", "NoSchedule", "None"'),
        ],
        "constraint": [
            ("spec.devices.constraints[0].requests[1]", INVALID, f'Invalid value: "nic": {UNKNOWN}'),
            ("spec.devices.constraints[0]", REQUIRED, 'Required value: exactly one of "matchAttribute" or'
             ' "distinctAttribute" is required, but multiple fields are set'),
        ],
        "attribute": one("spec.devices.constraints[0].matchAttribute", INVALID, 'Invalid value: "model":'
            " a fully qualified name must be a domain and a name separated by a slash"),
        "subrequest": one("spec.devices.constraints[0].requests[0]", INVALID,
            f'Invalid value: "gpu/a": {UNKNOWN}'),
        "config": one("spec.devices.config[0].opaque.parameters", TOO_LONG,
            "Too long: may not be more than 10240 bytes"),
        "selector": one(f"{exact}.selectors[0].cel", REQUIRED, "Required value"),
        "long": one(f"{exact}.selectors[0].cel.expression", TOO_LONG,
            "Too long: may not be more than 10240 bytes"),
        "costly": one(f"{exact}.selectors[0].cel.expression", FORBIDDEN,
            "Forbidden: too complex, exceeds cost limit"),
        "sound": [],
    }  # fmt: skip
    ((field, reason, message),) = syntax
    assert (field, reason) == (f"{exact}.selectors[0].cel.expression", INVALID)
    assert message.startswith('Invalid value: "device.driver ==": compilation failed: ERROR: <input>:1:17: ')
    assert kind[0][2] == (
        'Invalid value: "device.driver": must evaluate to bool or the unknown type, not string'
    )
    assert "undefined field 'serial'" in unknown[0][2]


async def test_templates_hold_claims_and_labels(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"spec": CLAIM["spec"]}}
    changes = {
        "claim": {"spec": {"spec": {"devices": {"requests": [{"name": "gpu"}]}}}},
        "labels": {"spec": {"metadata": {"labels": {"a": "-"}}}},
    }

    found = await refused_creations(api, TEMPLATES, base, changes)

    assert [cause[0] for cause in found["claim"]] == ["spec.spec.devices.requests[0]"]
    assert [cause[0] for cause in found["labels"]] == ["spec.metadata.labels"]


async def test_what_was_asked_for_stays(api: Api) -> None:
    claims = await refused_updates(api, CLAIMS, CLAIM, {"spec": exactly(count=2), "label": {"metadata":
        {"labels": {"a": "b"}}}})  # fmt: skip
    template = {"metadata": {"name": "one"}, "spec": {"spec": CLAIM["spec"]}}
    templates = await refused_updates(api, TEMPLATES, template, {"spec": {"spec": {"metadata": {"labels":
        {"a": "b"}}}}})  # fmt: skip

    for found in (claims["spec"], templates["spec"]):
        ((field, reason, message),) = found
        assert (field, reason) == ("spec", INVALID)
        assert message.endswith(": field is immutable")
    assert claims["label"] == []


RESULT = {"request": "gpu", "driver": DRIVER, "pool": "node-1", "device": "gpu-0"}
USER = {"resource": "pods", "name": "web", "uid": "u"}
ALLOCATION = {"devices": {"results": [RESULT]}}


async def test_the_status_of_a_claim_names_its_devices_and_users(api: Api) -> None:
    def allocated(**fields: Any) -> dict[str, Any]:
        return {"status": {"allocation": {"devices": {"results": [RESULT | fields]}}}}

    place = "status.allocation.devices.results[0]"
    report = {"driver": DRIVER, "pool": "node-1", "device": "gpu-0"}
    changes = {
        "unallocated": {"status": {"reservedFor": [USER]}},
        "user": {"status": {"allocation": ALLOCATION, "reservedFor": [USER, {"resource": "pods"}]}},
        "users": {"status": {"allocation": ALLOCATION, "reservedFor": [USER, USER]}},
        "request": allocated(request="nic"),
        "pool": allocated(pool="a//b"),
        "share": allocated(shareID="A"),
        "binding": allocated(bindingConditions=["a.example/ready"]),
        "device": {"status": {"allocation": ALLOCATION, "devices": [report | {"device": "gpu-1"}]}},
        "conditions": {"status": {"allocation": ALLOCATION, "devices": [report | {"conditions": [
            {"type": "Ready", "status": "Maybe", "reason": "1", "lastTransitionTime": None, "message": ""}
        ]}]}},
        "network": {"status": {"allocation": ALLOCATION, "devices": [report | {"networkData": {
            "interfaceName": "x" * 257, "ips": ["192.0.2.1", "2001:DB8::1/64"]}}]}},
        "sound": {"status": {"allocation": ALLOCATION, "reservedFor": [USER], "devices": [
            report | {"data": {"a": 1}, "networkData": {"ips": ["192.0.2.5/24"]}}]}},
    }  # fmt: skip

    found = await refused_updates(api, CLAIMS, CLAIM, changes, subresource="status")

    assert found.pop("pool")[0][0] == f"{place}.pool"
    conditions = found.pop("conditions")
    assert found == {
        "unallocated": one("status.reservedFor", FORBIDDEN,
            "Forbidden: may not be specified when `allocated` is not set"),
        "user": [
            ("status.reservedFor[1].name", REQUIRED, "Required value"),
            ("status.reservedFor[1].uid", REQUIRED, "Required value"),
        ],
        "users": one("status.reservedFor[1]", DUPLICATE, 'Duplicate value: "u"'),
        "request": one(f"{place}.request", INVALID, f'Invalid value: "nic": {UNKNOWN}'),
        "share": one(f"{place}.shareID", INVALID, 'Invalid value: "A": uid must be in RFC 4122 normalized'
            " form, `xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx` with lowercase hexadecimal characters"),
        "binding": one(f"{place}.bindingFailureConditions", INVALID,
            "Invalid value: []: bindingFailureConditions are required to use bindingConditions"),
        "device": one("status.devices[0]", INVALID, 'Invalid value: {"Driver":"gpu.example.com","Pool":'
            '"node-1","Device":"gpu-1","ShareID":""}: must be an allocated device in the claim'),
        "network": [
            ("status.devices[0].networkData.interfaceName", TOO_LONG,
             "Too long: may not be more than 256 bytes"),
            ("status.devices[0].networkData.ips[0]", INVALID, 'Invalid value: "192.0.2.1": must be a valid'
             " CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)"),
            ("status.devices[0].networkData.ips[1]", INVALID,
             'Invalid value: "2001:DB8::1/64": must be in canonical form ("2001:db8::1/64")'),
        ],
        "sound": [],
    }  # fmt: skip
    assert [(field.rpartition(".")[2], reason) for field, reason, _ in conditions] == [
        ("status", UNSUPPORTED), ("lastTransitionTime", REQUIRED), ("reason", INVALID),
    ]  # fmt: skip


async def test_an_allocation_stays_and_what_drivers_said_goes_with_it(api: Api) -> None:
    made = await api.make(CLAIMS, CLAIM)
    report = {"driver": DRIVER, "pool": "node-1", "device": "gpu-0", "data": {"a": 1}}
    status = f"{CLAIMS}/one/status"
    full = (await api("PUT", status, made | {"status": {"allocation": ALLOCATION, "devices": [report]}})).body

    other = {"devices": {"results": [RESULT | {"device": "gpu-1"}]}}
    changed = await api("PUT", status, merged(full, {"status": {"allocation": other}}))
    freed = await api("PUT", status, merged(full, {"status": {"allocation": None}}))

    assert changed.code == 422
    assert changed.body["details"]["causes"][0]["field"] == "status.allocation"
    assert freed.code == 200
    assert "devices" not in freed.body["status"]


async def test_classes_select_devices_and_configure_them(api: Api) -> None:
    base = {"metadata": {"name": "gpu.example.com"}, "spec": selecting("device.driver == 'a'")}
    config = {"opaque": {"driver": "-", "parameters": {}}}
    changes = {
        "selector": {"spec": selecting("1 + 1")},
        "config": {"spec": {"config": [{}, config]}},
        "extended": {"spec": {"extendedResourceName": "gpu"}},
    }

    found = await refused_creations(api, CLASSES, base, changes)

    assert found["selector"] == one("spec.selectors[0].cel.expression", INVALID,
        'Invalid value: "1 + 1": must evaluate to bool or the unknown type, not int')  # fmt: skip
    assert [cause[:2] for cause in found["config"]] == [
        ("spec.config[0].opaque", REQUIRED), ("spec.config[1].opaque.driver", INVALID),
    ]  # fmt: skip
    assert found["extended"] == one("spec.extendedResourceName", INVALID,
        'Invalid value: "gpu": must be a valid extended resource name')  # fmt: skip


POOL = {"name": "node-1", "generation": 1, "resourceSliceCount": 1}
SLICE: dict[str, Any] = {
    "metadata": {"name": "one"},
    "spec": {"driver": DRIVER, "pool": POOL, "nodeName": "node-1", "devices": [{"name": "gpu-0"}]},
}


def device(**fields: Any) -> dict[str, Any]:
    return {"spec": {"devices": [{"name": "gpu-0"} | fields]}}


async def test_slices_are_refused_for_where_they_are(api: Api) -> None:
    one_of = "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required"
    changes = {
        "nowhere": {"spec": {"nodeName": None}},
        "everywhere": {"spec": {"allNodes": True}},
        "not everywhere": {"spec": {"allNodes": False}},
        "pool": {"spec": {"pool": {"resourceSliceCount": 0, "generation": -1}}},
        "counters": {"spec": {"sharedCounters": [{"name": "a", "counters": {"m": {"value": "1"}}}]}},
        "devices": {"spec": {"devices": [{"name": "a"}, {"name": "a"}]}},
        "many": {"spec": {"devices": [{"name": f"d{index}"} for index in range(129)]}},
        "many tainted": {"spec": {"devices": [
            {"name": f"d{index}", "taints": [{"key": "a", "effect": "NoSchedule"}]} for index in range(65)]}},
        "selector": {"spec": {"nodeName": None, "nodeSelector": {"nodeSelectorTerms": []}}},
    }  # fmt: skip

    found = await refused_creations(api, SLICES, SLICE, changes)

    assert found == {
        "nowhere": one("spec", REQUIRED, f"Required value: {one_of}"),
        "everywhere": one("spec", INVALID,
            f'Invalid value: "{{`nodeName`, `allNodes`}}": {one_of}, but multiple fields are set'),
        "not everywhere": one("spec.allNodes", INVALID,
            "Invalid value: false: must be either unset or set to true"),
        "pool": [
            ("spec.pool.resourceSliceCount", INVALID, "Invalid value: 0: must be greater than zero"),
            ("spec.pool.generation", INVALID,
             "Invalid value: -1: must be greater than or equal to zero"),
        ],
        "counters": one("spec", INVALID,
            'Invalid value: "": only one of `sharedCounters` or `devices` is allowed'),
        "devices": one("spec.devices[1]", DUPLICATE, 'Duplicate value: "a"'),
        "many": one("spec.devices", TOO_MANY, "Too many: 129: must have at most 128 items"),
        "many tainted": one("spec.devices", TOO_MANY, "Too many: 65: must have at most 64 items"),
        "selector": [
            ("spec.nodeSelector.nodeSelectorTerms", REQUIRED,
             "Required value: must have at least one node selector term"),
            ("spec.nodeSelector.nodeSelectorTerms", INVALID,
             "Invalid value: []: must have exactly one node selector term"),
        ],
    }  # fmt: skip


async def test_devices_are_refused_for_what_they_say(api: Api) -> None:
    first = "spec.devices[0]"
    policy = {"default": "3Gi", "validRange": {"min": "1Gi", "step": "1500Mi"}}
    changes = {
        "attribute": device(attributes={"model": {"string": "a", "int": 1}}),
        "no value": device(attributes={"model": {}}),
        "name": device(attributes={"a/b/c": {"int": 1}, "1st": {"int": 1}}),
        "version": device(attributes={"v": {"version": "1.0"}}),
        "text": device(attributes={"t": {"string": "x" * 65}}),
        "many": device(attributes={f"a{index}": {"int": 1} for index in range(33)}),
        "taint": device(taints=[{"key": "a", "effect": "PreferNoSchedule"}]),
        "node": device(nodeName="node-2"),
        "unshared": device(capacity={"memory": {"value": "4Gi", "requestPolicy": {"default": "1Gi"}}}),
        "step": device(allowMultipleAllocations=True,
            capacity={"memory": {"value": "4Gi", "requestPolicy": policy}}),
        "values": device(allowMultipleAllocations=True, capacity={"memory": {"value": "4Gi",
            "requestPolicy": {"default": "1Gi", "validValues": ["2Gi", "8Gi"]}}}),
        "consumed": device(consumesCounters=[{"counterSet": "a", "counters": {}}]),
        "binding": device(bindingConditions=["a", "a"], bindingFailureConditions=["a"]),
        "partition": {"spec": {"partitionTypeAttribute": "gpu.example.com/profile"}},
        "typed partition": {"spec": {"partitionTypeAttribute": "gpu.example.com/profile", "devices": [
            {"name": "a", "attributes": {"profile": {"int": 1}},
             "consumesCounters": [{"counterSet": "a", "counters": {"m": {"value": "1"}}}]}]}},
        "fraction": device(allowMultipleAllocations=True, capacity={"cpu": {"value": "4",
            "requestPolicy": {"default": "500m", "validRange": {"min": "250m", "step": "250m"}}}}),
    }  # fmt: skip

    found = await refused_creations(api, SLICES, SLICE, changes)

    name = found.pop("name")
    assert found == {
        "attribute": one(f"{first}.attributes[model]", INVALID,
            'Invalid value: {"string":"a","int":1}: exactly one value must be specified'),
        "no value": one(f"{first}.attributes[model]", INVALID,
            'Invalid value: "": exactly one value must be specified'),
        "version": one(f"{first}.attributes[v].version", INVALID,
            'Invalid value: "1.0": must be a string compatible with semver.org spec 2.0.0'),
        "text": one(f"{first}.attributes[t].string", TOO_LONG, "Too long: may not be more than 64 bytes"),
        "many": one(first, INVALID,
            "Invalid value: 33: the total number of attributes and capacities must not exceed 32"),
        "taint": one(f"{first}.taints[0].effect", UNSUPPORTED, 'Unsupported value: "PreferNoSchedule":'
            ' supported values: "NoExecute", "NoSchedule", "None"'),
        "node": one(first, INVALID, "Invalid value: null: `nodeName`, `nodeSelector` and `allNodes` can only"
            " be set if `perDeviceNodeSelection` is set to true in the ResourceSlice spec"),
        "unshared": one(f"{first}.capacity[memory].requestPolicy", FORBIDDEN,
            "Forbidden: allowMultipleAllocations must be true"),
        "step": one(f"{first}.capacity[memory].requestPolicy.validRange.step", INVALID,
            'Invalid value: "3Gi": value is not a multiple of a given step (1500Mi) from (1Gi)'),
        "values": [
            (f"{first}.capacity[memory].requestPolicy.validValues[1]", INVALID,
             'Invalid value: "8Gi": option is larger than capacity value: 4Gi'),
            (f"{first}.capacity[memory].requestPolicy.validValues", INVALID,
             'Invalid value: "1Gi": default value is not valid according to the requestPolicy'),
        ],
        "consumed": one(f"{first}.consumesCounters[0].counters", REQUIRED, "Required value"),
        "binding": [
            (f"{first}.bindingConditions[1]", DUPLICATE, 'Duplicate value: "a"'),
            (f"{first}.bindingFailureConditions[0]", INVALID, 'Invalid value: "a":'
             " bindingFailureConditions must not overlap with bindingConditions"),
        ],
        "partition": one("spec.partitionTypeAttribute", INVALID, 'Invalid value: "gpu.example.com/profile":'
            " may only be set on a slice which declares devices that consume counters"),
        "typed partition": one(f"{first}.attributes[gpu.example.com/profile]", INVALID,
            'Invalid value: {"int":1}: must be a string value because `partitionTypeAttribute` names this'
            " attribute"),
        "fraction": [],
    }  # fmt: skip
    assert [(field, message.split(":")[1].strip()) for field, _, message in name] == [
        (f"{first}.attributes", '"a/b/c"'), (f"{first}.attributes", '"1st"'),
    ]  # fmt: skip


async def test_what_a_slice_is_about_stays(api: Api) -> None:
    changes = {
        "driver": {"spec": {"driver": "nic.example.com"}},
        "pool": {"spec": {"pool": {"name": "other", "generation": 2}}},
        "node": {"spec": {"nodeName": None, "allNodes": True}},
        "devices": {"spec": {"pool": {"generation": 2}, "devices": []}},
    }

    found = await refused_updates(api, SLICES, SLICE, changes)

    assert {name: [cause[0] for cause in causes] for name, causes in found.items()} == {
        "driver": ["spec.driver"], "pool": ["spec.pool.name"], "node": ["spec.nodeName"], "devices": [],
    }  # fmt: skip


async def test_taints_are_dated_and_alpha_fields_forgotten(api: Api) -> None:
    body = merged(SLICE, {"spec": {"skipNodeOperations": ["*"], "devices": [
        {"name": "a", "taints": [{"key": "a", "effect": "NoExecute"}],
         "attributes": {"sizes": {"int": 1, "ints": [1]}}}]}})  # fmt: skip

    made = await api.make(SLICES, body)

    (kept,) = made["spec"]["devices"]
    assert kept["taints"][0]["timeAdded"].endswith("Z")
    assert kept["attributes"] == {"sizes": {"int": 1}}
    assert "skipNodeOperations" not in made["spec"]
    assert made["metadata"]["generation"] == 1


async def test_taint_rules_name_devices_and_date_their_taint(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"taint": {"key": "broken", "effect": "NoSchedule"}}}
    changes = {
        "effect": {"spec": {"taint": {"effect": ""}}},
        "selector": {"spec": {"deviceSelector": {"driver": "", "pool": "", "device": "_"}}},
    }
    found = await refused_creations(api, RULES, base, changes)
    made = await api.make(RULES, base)
    old = merged(made, {"spec": {"taint": {"timeAdded": "2020-01-01T00:00:00Z"}}})
    dated = (await api("PUT", f"{RULES}/one", old)).body
    harder = (
        await api("PUT", f"{RULES}/one", merged(dated, {"spec": {"taint": {"effect": "NoExecute"}}}))
    ).body

    assert found["effect"] == one("spec.taint.effect", REQUIRED, "Required value")
    assert [cause[:2] for cause in found["selector"]] == [
        ("spec.deviceSelector.driver", REQUIRED),
        ("spec.deviceSelector.pool", REQUIRED),
        ("spec.deviceSelector.device", INVALID),
    ]
    assert made["spec"]["taint"]["timeAdded"]
    assert dated["spec"]["taint"]["timeAdded"] == "2020-01-01T00:00:00Z"
    assert harder["spec"]["taint"]["timeAdded"] != "2020-01-01T00:00:00Z"


async def test_access_as_administrator_is_the_namespaces_to_give(api: Api) -> None:
    asked = merged(CLAIM, exactly(adminAccess=True))
    template = {"metadata": {"name": "one"}, "spec": {"spec": asked["spec"]}}
    text = (
        "Forbidden: admin access to devices requires the `resource.kubernetes.io/admin-access: true` label on"
        " the containing namespace"
    )
    forbidden = one("spec.devices.requests[0].adminAccess", FORBIDDEN, text)
    assert causes(await api("POST", CLAIMS, asked)) == forbidden
    assert causes(await api("POST", TEMPLATES, template)) == forbidden
    made = await api.make(CLAIMS, CLAIM)
    given = {"devices": {"results": [RESULT | {"adminAccess": True}]}}
    status = await api("PUT", f"{CLAIMS}/one/status", made | {"status": {"allocation": given}})
    assert causes(status) == one("status.allocation.devices.results[0].adminAccess", FORBIDDEN, text)

    labels = {"metadata": {"labels": {"resource.kubernetes.io/admin-access": "true"}}}
    patch = "application/merge-patch+json"
    await api("PATCH", "/api/v1/namespaces/default", labels, content_type=patch)

    for path, body in ((CLAIMS, merged(asked, {"metadata": {"name": "two"}})), (TEMPLATES, template)):
        assert (await api("POST", path, body)).code == 201
    assert (await api("PUT", f"{CLAIMS}/one/status", made | {"status": {"allocation": given}})).code == 200
