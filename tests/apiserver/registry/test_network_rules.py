"""Network policies, ingress classes, quotas, leases, budgets and replication controllers: what is refused."""

from __future__ import annotations

from typing import Any

from ..conftest import Api
from .rules import (
    FORBIDDEN,
    INVALID,
    REQUIRED,
    TOO_LONG,
    UNSUPPORTED,
    one,
    refused_creations,
    refused_updates,
)

NETWORKING = "/apis/networking.k8s.io/v1"
CORE = "/api/v1/namespaces/default"
LEASES = "/apis/coordination.k8s.io/v1/namespaces/default/leases"


async def test_policies_name_ports_and_peers(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"podSelector": {}}}

    def rule(**fields: Any) -> dict[str, Any]:
        return {"spec": {"ingress": [fields]}}

    def port(**fields: Any) -> dict[str, Any]:
        return rule(ports=[fields])

    def block(cidr: str, *without: str) -> dict[str, Any]:
        return rule(**{"from": [{"ipBlock": {"cidr": cidr, "except": list(without)}}]})

    found = await refused_creations(api, f"{NETWORKING}/namespaces/default/networkpolicies", base, {
        "protocol": port(protocol="ICMP"),
        "reversed": port(port=90, endPort=80),
        "named": port(port="http", endPort=80),
        "alone": port(endPort=80),
        "large": port(port=80, endPort=65536),
        "none": rule(**{"from": [{}]}),
        "both": rule(**{"from": [{"ipBlock": {"cidr": "10.0.0.0/8"}, "podSelector": {}}]}),
        "outside": block("10.0.0.0/8", "11.0.0.0/9", "10.0.0.0/8", "10.1.0.0/16"),
        "bits": block("10.0.0.1/8", "10.0.0.0/7"),
        "blank": block(""),
        "types": {"spec": {"policyTypes": ["Sideways"]}},
        "many types": {"spec": {"policyTypes": ["Ingress", "Egress", "Ingress"]}},
    })  # fmt: skip

    at = "spec.ingress[0].ports[0]"
    assert found["protocol"] == one(f"{at}.protocol", UNSUPPORTED,
        'Unsupported value: "ICMP": supported values: "TCP", "UDP", "SCTP"')  # fmt: skip
    assert found["reversed"] == one(f"{at}.endPort", INVALID,
        "Invalid value: 90: must be greater than or equal to `port`")  # fmt: skip
    assert found["named"] == one(f"{at}.endPort", INVALID,
        "Invalid value: 80: may not be specified when `port` is non-numeric")  # fmt: skip
    assert found["alone"] == one(f"{at}.endPort", INVALID,
        "Invalid value: 80: may not be specified when `port` is not specified")  # fmt: skip
    assert found["large"] == one(f"{at}.endPort", INVALID,
        "Invalid value: 65536: must be between 1 and 65535, inclusive")  # fmt: skip
    peer = "spec.ingress[0].from[0]"
    assert found["none"] == one(peer, REQUIRED, "Required value: must specify a peer")
    assert found["both"] == one(peer, FORBIDDEN,
        "Forbidden: may not specify both ipBlock and another peer")  # fmt: skip
    strict = "must be a strict subset of `cidr`"
    assert found["outside"] == [
        (f"{peer}.ipBlock.except[0]", INVALID, f'Invalid value: "11.0.0.0/9": {strict}'),
        (f"{peer}.ipBlock.except[1]", INVALID, f'Invalid value: "10.0.0.0/8": {strict}'),
    ]
    assert found["bits"] == [
        (f"{peer}.ipBlock.cidr", INVALID,
         'Invalid value: "10.0.0.1/8": must not have bits set beyond the prefix length'),
        (f"{peer}.ipBlock.except[0]", INVALID, f'Invalid value: "10.0.0.0/7": {strict}'),
    ]  # fmt: skip
    assert found["blank"] == one(f"{peer}.ipBlock.cidr", REQUIRED, "Required value")
    assert found["types"] == one("spec.policyTypes[0]", UNSUPPORTED,
        'Unsupported value: "Sideways": supported values: "Ingress", "Egress"')  # fmt: skip
    many = '["Ingress","Egress","Ingress"]: may not specify more than two policyTypes'
    assert found["many types"] == one("spec.policyTypes", INVALID, f"Invalid value: {many}")


async def test_ingress_classes_name_a_controller_and_its_parameters(api: Api) -> None:
    path, base = (
        f"{NETWORKING}/ingressclasses",
        {"metadata": {"name": "one"}, "spec": {"controller": "a.b/c"}},
    )

    def given(**fields: Any) -> dict[str, Any]:
        return {"spec": {"parameters": {"kind": "K", "name": "n"} | fields}}

    changes = {
        "long": {"spec": {"controller": "a.b/" + "c" * 247}},
        "path": {"spec": {"controller": "a.b/c d"}},
        "plain": {"spec": {"controller": "abc"}},
        "empty": {"spec": {"parameters": {}}},
        "scope": given(scope=""),
        "namespace": given(scope="Namespace"),
        "cluster": given(namespace="default"),
        "group": given(apiGroup="A"),
    }

    found = await refused_creations(api, path, base, changes)
    moved = await refused_updates(api, path, base, {"other": {"spec": {"controller": "a.b/d"}}})

    here = "spec.controller"
    assert found["long"] == one(here, TOO_LONG, "Too long: may not be more than 250 bytes")
    assert found["path"][0][2].startswith('Invalid value: "c d": Invalid path (regex used')
    assert found["plain"] == one(here, INVALID,
        'Invalid value: "abc": must be a domain-prefixed path (such as "acme.io/foo")')  # fmt: skip
    at = "spec.parameters"
    assert found["empty"] == [
        (f"{at}.kind", REQUIRED, "Required value: kind is required"),
        (f"{at}.name", REQUIRED, "Required value: name is required"),
    ]
    assert found["scope"] == one(f"{at}.scope", UNSUPPORTED,
        'Unsupported value: "": supported values: "Cluster", "Namespace"')  # fmt: skip
    assert found["namespace"] == one(f"{at}.namespace", REQUIRED,
        "Required value: `parameters.scope` is set to 'Namespace'")  # fmt: skip
    assert found["cluster"] == one(f"{at}.namespace", FORBIDDEN,
        "Forbidden: `parameters.scope` is set to 'Cluster'")  # fmt: skip
    assert [cause[0] for cause in found["group"]] == [f"{at}.apiGroup"]
    assert moved["other"] == one(here, INVALID, 'Invalid value: "a.b/d": field is immutable')


async def test_backends_of_ingresses_are_faulted_as_a_whole(api: Api) -> None:
    service = {"name": "s", "port": {"number": 80}}
    base = {"metadata": {"name": "one"}, "spec": {"defaultBackend": {"service": service}}}

    def backend(**fields: Any) -> dict[str, Any]:
        return {"spec": {"defaultBackend": fields | {"service": fields.get("service")}}}

    found = await refused_creations(api, f"{NETWORKING}/namespaces/default/ingresses", base, {
        "none": backend(),
        "both": backend(service=service, resource={"kind": "", "name": ""}),
        "ports": backend(service={"name": "s", "port": {"number": 80, "name": "http"}}),
        "class": {"spec": {"ingressClassName": ""}},
        "portless": {"spec": {"defaultBackend": {"service": {"port": None}}}},
    })  # fmt: skip

    here = "spec.defaultBackend"
    assert found["none"] == one(here, INVALID, 'Invalid value: "": resource or service backend is required')
    assert found["both"] == one(
        here, INVALID, 'Invalid value: "": cannot set both resource and service backends'
    )
    assert found["ports"] == one(here, INVALID, 'Invalid value: "": cannot set both port name & port number')
    assert found["portless"] == one(here, REQUIRED, "Required value: port name or number is required")
    assert [cause[:2] for cause in found["class"]] == [("spec.ingressClassName", INVALID)]


async def test_selected_scopes_of_quotas_do_not_contradict(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"hard": {"pods": "1"}}}

    def chosen(*scopes: str, **hard: str) -> dict[str, Any]:
        needs = [{"scopeName": scope, "operator": "Exists"} for scope in scopes]
        return {"spec": {"scopeSelector": {"matchExpressions": needs}, "hard": hard}}

    changes = {
        "pair": chosen("Terminating", "NotTerminating"),
        "resource": chosen("BestEffort", services="1"),
    }

    found = await refused_creations(api, f"{CORE}/resourcequotas", base, changes)
    moved = await refused_updates(api, f"{CORE}/resourcequotas",
        base | {"spec": {"hard": {"pods": "1"}, "scopes": ["NotTerminating", "BestEffort"]}},
        {"order": {"spec": {"scopes": ["BestEffort", "NotTerminating"]}},
         "other": {"spec": {"scopes": ["Terminating"]}}, "none": {"spec": {"scopes": None}}},
    )  # fmt: skip

    here = "spec.scopeSelector.matchExpressions"
    assert found["pair"] == one(here, INVALID, "Invalid value: null: conflicting scopes")
    shown = '{"MatchExpressions":[{"ScopeName":"BestEffort","Operator":"Exists","Values":null}]}'
    assert found["resource"] == one(here, INVALID,
        f"Invalid value: {shown}: unsupported scope applied to resource")  # fmt: skip
    assert moved["order"] == []
    assert moved["other"] == one("spec.scopes", INVALID, 'Invalid value: ["Terminating"]: field is immutable')
    assert moved["none"] == one("spec.scopes", INVALID, "Invalid value: null: field is immutable")


async def test_leases_are_not_coordinated(api: Api) -> None:
    spec = {"strategy": "Odd", "preferredHolder": "b", "holderIdentity": "a"}

    made = await api.make(LEASES, {"metadata": {"name": "one"}, "spec": spec})

    assert made["spec"] == {"holderIdentity": "a"}
    made["spec"]["strategy"] = "OldestEmulationVersion"
    assert (await api("PUT", f"{LEASES}/one", made)).body["spec"] == {"holderIdentity": "a"}


def test_the_strategy_of_a_lease_that_has_one_is_known(judge: Any) -> None:
    kind = judge("coordination.k8s.io", "leases")
    old = kind.created({}) | {"spec": {"strategy": "OldestEmulationVersion"}}

    def faults(**spec: str) -> list[str]:
        return kind.update_faults(old | {"spec": spec}, old)  # type: ignore[no-any-return]

    assert faults(strategy="a.example/mine", preferredHolder="b") == []
    assert faults(strategy="Odd") == [
        'spec.strategy.strategy: Unsupported value: "Odd": supported values: "OldestEmulationVersion"'
    ]
    assert faults(strategy="/mine") == [
        'spec.strategy.strategy: Invalid value: "/mine": prefix part must be non-empty'
    ]
    assert faults(preferredHolder="b") == [
        "spec.preferredHolder: Forbidden: may only be specified if `strategy` is defined"
    ]


async def test_replication_controllers_have_a_template(api: Api) -> None:
    labels = {"a": "b"}
    template = {"metadata": {"labels": labels}, "spec": {"containers": [{"name": "c", "image": "web:1"}]}}
    base = {"metadata": {"name": "one"}, "spec": {"selector": labels, "template": template}}

    found = await refused_creations(api, f"{CORE}/replicationcontrollers", base, {
        "none": {"spec": {"template": None}},
        "nothing": {"spec": {"template": None, "selector": None, "replicas": -1, "minReadySeconds": -1}},
        "labels": {"spec": {"selector": {"a": "c"}}},
        "restarts": {"spec": {"template": {"spec": {"restartPolicy": "Never", "activeDeadlineSeconds": 5}}}},
    })  # fmt: skip

    assert found["none"] == one("spec.template", REQUIRED, "Required value")
    assert [cause[0] for cause in found["nothing"]] == [
        "spec.minReadySeconds", "spec.selector", "spec.replicas", "spec.template",
    ]  # fmt: skip
    assert found["labels"] == one("spec.template.metadata.labels", INVALID,
        'Invalid value: {"a":"b"}: `selector` does not match template `labels`')  # fmt: skip
    assert found["restarts"] == [
        ("spec.template.spec.restartPolicy", UNSUPPORTED,
         'Unsupported value: "Never": supported values: "Always"'),
        ("spec.template.spec.activeDeadlineSeconds", FORBIDDEN,
         "Forbidden: activeDeadlineSeconds in ReplicationController is not Supported"),
    ]  # fmt: skip


async def test_a_budget_says_one_thing(api: Api) -> None:
    path = "/apis/policy/v1/namespaces/default/poddisruptionbudgets"
    base = {"metadata": {"name": "one"}, "spec": {"minAvailable": 1, "selector": {}}}

    found = await refused_creations(api, path, base, {
        "both": {"spec": {"maxUnavailable": "10%"}},
        "share": {"spec": {"minAvailable": "101%"}},
        "negative": {"spec": {"minAvailable": -1}},
        "policy": {"spec": {"unhealthyPodEvictionPolicy": "Never"}},
    })  # fmt: skip

    shown = '{"MinAvailable":1,"Selector":{},"MaxUnavailable":"10%","UnhealthyPodEvictionPolicy":null}'
    assert found["both"] == one("spec", INVALID,
        f"Invalid value: {shown}: minAvailable and maxUnavailable cannot be both set")  # fmt: skip
    assert found["share"] == one("spec.minAvailable", INVALID,
        'Invalid value: "101%": must not be greater than 100%')  # fmt: skip
    assert found["negative"] == one("spec.minAvailable", INVALID,
        "Invalid value: -1: must be greater than or equal to 0")  # fmt: skip
    assert found["policy"] == one("spec.unhealthyPodEvictionPolicy", UNSUPPORTED,
        'Unsupported value: "Never": supported values: "AlwaysAllow", "IfHealthyBudget"')  # fmt: skip


async def test_priority_classes_of_the_system_are_what_they_are(api: Api) -> None:
    path = "/apis/scheduling.k8s.io/v1/priorityclasses"
    base = {"metadata": {"name": "one"}, "value": 5}
    ours = {"metadata": {"name": "system-node-critical"}}

    found = await refused_creations(api, path, base, {
        "unknown": {"metadata": {"name": "system-mine"}},
        "value": ours,
        "default": ours | {"value": 2_000_001_000, "globalDefault": True},
        "high": {"value": 1_000_000_001},
        "policy": {"preemptionPolicy": "Always"},
    })  # fmt: skip
    moved = await refused_updates(api, path, base, {"both": {"value": 6, "preemptionPolicy": "Never"}})

    reserved = (
        "Forbidden: priority class names with 'system-' prefix are reserved for system use only. error: "
    )
    named = "metadata.name"
    assert found["unknown"] == one(named, FORBIDDEN,
        f"{reserved}system-mine is not a known system priority class")  # fmt: skip
    assert found["value"] == one(named, FORBIDDEN,
        f"{reserved}value of system-node-critical PriorityClass must be 2000001000")  # fmt: skip
    assert found["default"] == one(named, FORBIDDEN,
        f"{reserved}globalDefault of system-node-critical PriorityClass must be false")  # fmt: skip
    assert found["high"] == one("value", FORBIDDEN,
        "Forbidden: maximum allowed value of a user defined priority is 1000000000")  # fmt: skip
    assert found["policy"] == one("preemptionPolicy", UNSUPPORTED,
        'Unsupported value: "Always": supported values: "PreemptLowerPriority", "Never"')  # fmt: skip
    assert moved["both"] == [
        ("value", FORBIDDEN, "Forbidden: may not be changed in an update."),
        ("preemptionPolicy", INVALID, 'Invalid value: "Never": field is immutable'),
    ]


async def test_addresses_name_what_they_belong_to(api: Api) -> None:
    parent = {"group": "", "resource": "services", "namespace": "default", "name": "s"}
    base = {"metadata": {"name": "10.96.0.77"}, "spec": {"parentRef": parent}}

    found = await refused_creations(api, f"{NETWORKING}/ipaddresses", base, {
        "form": {"metadata": {"name": "2001:DB8::1"}},
        "none": {"spec": {"parentRef": None}},
        "nothing": {"spec": {"parentRef": {"group": "A", "resource": "", "name": "", "namespace": "a/b"}}},
    })  # fmt: skip
    moved = await refused_updates(api, f"{NETWORKING}/ipaddresses", base,
        {"other": {"spec": {"parentRef": {"name": "t"}}}})  # fmt: skip

    assert found["form"] == one("metadata.name", INVALID,
        'Invalid value: "2001:DB8::1": must be in canonical form ("2001:db8::1")')  # fmt: skip
    assert found["none"] == one("spec.parentRef", REQUIRED, "Required value")
    assert [cause[:2] for cause in found["nothing"]] == [
        ("spec.parentRef.group", INVALID), ("spec.parentRef.resource", REQUIRED),
        ("spec.parentRef.name", REQUIRED), ("spec.parentRef.namespace", INVALID),
    ]  # fmt: skip
    assert [cause[:2] for cause in moved["other"]] == [("spec.parentRef", INVALID)]
    assert moved["other"][0][2].endswith("field is immutable")
