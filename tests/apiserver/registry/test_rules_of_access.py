"""Roles, bindings, flow schemas, priority levels and APIServices: every rule, over HTTP."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kplane.apiserver.config import ApiServerConfig

from ..conftest import Api
from .rules import (
    DUPLICATE,
    FORBIDDEN,
    INVALID,
    REQUIRED,
    UNSUPPORTED,
    causes,
    merged,
    one,
    refused_creations,
    refused_updates,
)

GROUP = "rbac.authorization.k8s.io"
RBAC = f"/apis/{GROUP}/v1"
FLOWS = "/apis/flowcontrol.apiserver.k8s.io/v1"
SERVICES = "/apis/apiregistration.k8s.io/v1/apiservices"
READ = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"]}


@pytest.fixture
def config(config: ApiServerConfig) -> ApiServerConfig:
    """Of a server that does not write the status of flow schemas: every change is the test's."""
    return replace(config, enable_priority_and_fairness=False)


async def test_rules_of_roles_name_verbs_and_what_they_are_about(api: Api) -> None:
    path = f"{RBAC}/namespaces/default/roles"
    base = {"metadata": {"name": "one"}, "rules": [READ]}
    urls = {"verbs": ["get"], "nonResourceURLs": ["/metrics"]}

    found = await refused_creations(api, path, base, {
        "nothing": {"rules": [{}]},
        "urls": {"rules": [urls]},
        "both": {"rules": [READ | urls]},
        "names": {"rules": [READ | {"resources": ["pods", "nodes"], "resourceNames": ["a"]}]},
    })  # fmt: skip

    assert found["nothing"] == [
        ("rules[0].verbs", REQUIRED, "Required value: verbs must contain at least one value"),
        ("rules[0].apiGroups", REQUIRED,
         "Required value: resource rules must supply at least one api group"),
        ("rules[0].resources", REQUIRED,
         "Required value: resource rules must supply at least one resource"),
    ]  # fmt: skip
    spaced = 'Invalid value: ["/metrics"]: namespaced rules cannot apply to non-resource URLs'
    assert found["urls"] == one("rules[0].nonResourceURLs", INVALID, spaced)
    assert found["both"] == [
        ("rules[0].nonResourceURLs", INVALID, spaced),
        ("rules[0].nonResourceURLs", INVALID,
         'Invalid value: ["/metrics"]: rules cannot apply to both regular resources and non-resource URLs'),
    ]  # fmt: skip
    assert found["names"] == []


async def test_what_is_aggregated_is_selected_by_sound_selectors(api: Api) -> None:
    def by(*selectors: Any) -> dict[str, Any]:
        return {"aggregationRule": {"clusterRoleSelectors": list(selectors)}}

    base = {"metadata": {"name": "one"}} | by({"matchLabels": {"a": "b"}})
    odd = {"matchExpressions": [{"key": "a", "operator": "Near"}]}

    found = await refused_creations(api, f"{RBAC}/clusterroles", base, {"none": by(), "odd": by({}, odd)})

    least = "at least one clusterRoleSelector required if aggregationRule is non-nil"
    assert found["none"] == one("aggregationRule.clusterRoleSelectors", REQUIRED, f"Required value: {least}")
    here = "aggregationRule.clusterRoleSelectors[1]"
    assert found["odd"] == [
        (f"{here}.matchExpressions[0].operator", INVALID,
         'Invalid value: "Near": not a valid selector operator'),
        (here, INVALID, 'Invalid value: "null": invalid label selector'),
    ]  # fmt: skip


async def test_bindings_name_a_role_and_subjects(api: Api) -> None:
    path = f"{RBAC}/namespaces/default/rolebindings"
    base = {
        "metadata": {"name": "one"},
        "roleRef": {"apiGroup": GROUP, "kind": "Role", "name": "r"},
        "subjects": [{"kind": "User", "name": "ann"}],
    }

    def subject(**fields: str) -> dict[str, Any]:
        return {"subjects": [fields]}

    found = await refused_creations(api, path, base, {
        "role": {"roleRef": {"apiGroup": "a.example", "kind": "Rule", "name": ""}},
        "path": {"roleRef": {"name": "a/b"}},
        "user": subject(kind="User", name=""),
        "group": subject(kind="Group", name="", apiGroup="a.example"),
        "account": subject(kind="ServiceAccount", name="A b", apiGroup=GROUP),
        "kind": subject(kind="Robot", name="r"),
    })  # fmt: skip

    assert found["role"] == [
        ("roleRef.apiGroup", UNSUPPORTED, f'Unsupported value: "a.example": supported values: "{GROUP}"'),
        ("roleRef.kind", UNSUPPORTED,
         'Unsupported value: "Rule": supported values: "Role", "ClusterRole"'),
        ("roleRef.name", REQUIRED, "Required value"),
    ]  # fmt: skip
    assert found["path"] == one("roleRef.name", INVALID, "Invalid value: \"a/b\": may not contain '/'")
    assert found["user"] == [
        ("subjects[0].name", REQUIRED, "Required value"),
        ("subjects[0].name", INVALID, 'Invalid value: "": user name cannot be empty'),
    ]
    assert found["group"] == [
        ("subjects[0].name", REQUIRED, "Required value"),
        ("subjects[0].name", INVALID, 'Invalid value: "": group name cannot be empty'),
        ("subjects[0].apiGroup", UNSUPPORTED,
         f'Unsupported value: "a.example": supported values: "{GROUP}"'),
    ]  # fmt: skip
    assert [cause[0] for cause in found["account"]] == ["subjects[0].name", "subjects[0].apiGroup"]
    assert found["account"][1][2] == f'Unsupported value: "{GROUP}": supported values: ""'
    assert found["kind"] == one("subjects[0].kind", UNSUPPORTED,
        'Unsupported value: "Robot": supported values: "ServiceAccount", "User", "Group"')  # fmt: skip


async def test_the_role_of_a_binding_stays(api: Api) -> None:
    for path, kind in (("clusterrolebindings", "ClusterRole"), ("namespaces/default/rolebindings", "Role")):
        base = {"metadata": {"name": "one"}, "roleRef": {"apiGroup": GROUP, "kind": kind, "name": "r"}}

        found = await refused_updates(api, f"{RBAC}/{path}", base, {
            "other": {"roleRef": {"name": "q"}}, "subjects": {"subjects": [{"kind": "User", "name": "ann"}]},
        })  # fmt: skip

        shown = f'{{"APIGroup":"{GROUP}","Kind":"{kind}","Name":"q"}}'
        assert found["other"] == one("roleRef", INVALID, f"Invalid value: {shown}: cannot change roleRef")
        assert found["subjects"] == []


async def test_a_cluster_wide_binding_is_to_a_cluster_role(api: Api) -> None:
    base = {
        "metadata": {"name": "one"},
        "roleRef": {"apiGroup": GROUP, "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "s", "namespace": "default"}],
    }
    changes = {
        "role": {"roleRef": {"kind": "Role"}},
        "nowhere": {"subjects": [{"kind": "ServiceAccount", "name": "s"}]},
    }

    found = await refused_creations(api, f"{RBAC}/clusterrolebindings", base, changes)

    assert found["role"] == one("roleRef.kind", UNSUPPORTED,
        'Unsupported value: "Role": supported values: "ClusterRole"')  # fmt: skip
    assert found["nowhere"] == one("subjects[0].namespace", REQUIRED, "Required value")


async def test_the_mandatory_levels_keep_their_spec(api: Api) -> None:
    path = f"{FLOWS}/prioritylevelconfigurations"
    exempt = (await api("GET", f"{path}/exempt")).body
    rest = (await api("GET", f"{path}/catch-all")).body
    schema = (await api("GET", f"{FLOWS}/flowschemas/exempt")).body

    async def refused(place: str, obj: Any, change: dict[str, Any]) -> list[Any]:
        return causes(
            await api("PUT", f"{place}/{obj['metadata']['name']}", merged(obj, change), dryRun="All")
        )

    lent = await refused(path, exempt, {"spec": {"exempt": {"lendablePercent": 50}}})
    limited = await refused(path, exempt, {"spec": {"limited": {"limitResponse": {"type": "Reject"}}}})
    more = await refused(path, rest, {"spec": {"limited": {"nominalConcurrencyShares": 6}}})
    named = {"distinguisherMethod": {"type": "ByUser"}}
    told = await refused(f"{FLOWS}/flowschemas", schema, {"spec": named})
    rules = schema["spec"]["rules"][0]
    empty = rules | {"resourceRules": [rules["resourceRules"][0] | {"clusterScope": True}]}
    same = await refused(f"{FLOWS}/flowschemas", schema, {"spec": {"rules": [empty]}})

    assert lent == same == []
    assert [cause[:2] for cause in limited] == [("spec.limited", FORBIDDEN), ("spec", INVALID)]
    assert limited[0][2] == "Forbidden: must be nil if the type is not Limited"
    assert limited[1][2].endswith(
        "spec of 'exempt' except the 'spec.exempt' field must equal the fixed value"
    )
    assert more[0][2].endswith("spec of 'catch-all' must equal the fixed value")
    assert told[0][2].endswith("spec of 'exempt' must equal the fixed value")


async def test_levels_are_limited_in_upstreams_order(api: Api) -> None:
    path = f"{FLOWS}/prioritylevelconfigurations"
    base = {"metadata": {"name": "one"}, "spec": {
        "type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}}  # fmt: skip
    bad = {"nominalConcurrencyShares": -1, "lendablePercent": 101, "borrowingLimitPercent": -1,
           "limitResponse": {"type": "Wait"}}  # fmt: skip

    def queuing(**fields: int) -> dict[str, Any]:
        return {"spec": {"limited": {"limitResponse": {"type": "Queue", "queuing": fields}}}}

    found = await refused_creations(api, path, base, {
        "all": {"spec": {"limited": bad}},
        "exempt": {"spec": {"type": "Exempt", "limited": None,
                            "exempt": {"nominalConcurrencyShares": -1, "lendablePercent": 101}}},
        "none": {"spec": {"limited": None}},
        "hand": queuing(queues=512, handSize=8),
        "queues": queuing(queues=10_000_001, handSize=1),
    })  # fmt: skip

    at = "spec.limited"
    assert found["all"] == [
        (f"{at}.nominalConcurrencyShares", INVALID, "Invalid value: -1: must be a non-negative integer"),
        (f"{at}.limitResponse.type", UNSUPPORTED,
         'Unsupported value: "Wait": supported values: "Queue", "Reject"'),
        (f"{at}.lendablePercent", INVALID, "Invalid value: 101: must be between 0 and 100, inclusive"),
        (f"{at}.borrowingLimitPercent", INVALID,
         "Invalid value: -1: if specified, must be a non-negative integer"),
    ]  # fmt: skip
    assert [cause[0] for cause in found["exempt"]] == [
        "spec.type", "spec.exempt.nominalConcurrencyShares", "spec.exempt.lendablePercent",
    ]  # fmt: skip
    assert found["none"] == one(at, REQUIRED, "Required value: must not be empty when type is Limited")
    entropy = "required entropy bits of deckSize 512 and handSize 8 should not be greater than 60"
    hand = f"{at}.limitResponse.queuing.handSize"
    assert found["hand"] == one(hand, INVALID, f"Invalid value: 8: {entropy}")
    assert found["queues"] == one(f"{at}.limitResponse.queuing.queues", INVALID,
        "Invalid value: 10000001: must not be greater than 10000000")  # fmt: skip


async def test_flow_schemas_know_nine_verbs_and_three_kinds_of_subjects(api: Api) -> None:
    path = f"{FLOWS}/flowschemas"
    user = {"kind": "User", "user": {"name": "ann"}}
    rule = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}

    def rules(*subjects: Any, **fields: Any) -> dict[str, Any]:
        return {"spec": {"rules": [{"subjects": list(subjects) or [user],
                                    "resourceRules": [rule | fields]}]}}  # fmt: skip

    base = {"metadata": {"name": "one"}, "spec": {"priorityLevelConfiguration": {"name": "a"}}} | {}
    base = merged(base, rules())

    found = await refused_creations(api, path, base, {
        "verb": rules(verbs=["connect"]),
        "method": {"spec": {"distinguisherMethod": {"type": "ByCat"}}},
        "mixed": rules(user | {"group": {"name": "g"}}),
        "account": rules({"kind": "ServiceAccount", "serviceAccount": {"name": "", "namespace": ""}}),
    })  # fmt: skip

    verbs = ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"]
    listed = ", ".join(f'"{verb}"' for verb in verbs)
    assert found["verb"] == one("spec.rules[0].resourceRules[0].verbs", UNSUPPORTED,
        f'Unsupported value: ["connect"]: supported values: {listed}')  # fmt: skip
    assert found["method"] == one("spec.distinguisherMethod.type", UNSUPPORTED,
        'Unsupported value: {"Type":"ByCat"}: supported values: "ByNamespace", "ByUser"')  # fmt: skip
    assert found["mixed"] == one("spec.rules[0].subjects[0].group", FORBIDDEN,
        "Forbidden: group is forbidden when subject kind is not 'Group'")  # fmt: skip
    assert found["account"] == [
        ("spec.rules[0].subjects[0].serviceAccount.name", REQUIRED, "Required value"),
        ("spec.rules[0].subjects[0].serviceAccount.namespace", REQUIRED,
         "Required value: must specify namespace for service account"),
    ]  # fmt: skip


async def test_conditions_of_flows_have_types_of_their_own(api: Api) -> None:
    base = {"metadata": {"name": "one"}, "spec": {"priorityLevelConfiguration": {"name": "a"}}}
    condition = {"type": "Dangling", "status": "True"}
    changes = {"status": {"status": {"conditions": [condition, condition, {"status": "True"}]}}}

    found = await refused_updates(api, f"{FLOWS}/flowschemas", base, changes, subresource="status")

    assert found["status"] == [
        ("status.conditions[1].type", DUPLICATE, 'Duplicate value: "Dangling"'),
        ("status.conditions[2].type", REQUIRED, "Required value: must not be empty"),
    ]


async def test_an_api_service_is_named_for_its_version_and_reached_through_a_port(api: Api) -> None:
    spec = {"group": "a.example", "version": "v1", "groupPriorityMinimum": 1, "versionPriority": 1}
    service = {"name": "s", "namespace": "default"}
    base = {"metadata": {"name": "v1.a.example"}, "spec": spec}

    found = await refused_creations(api, SERVICES, base, {
        "name": {"metadata": {"name": "v2.a.example"}},
        "path": {"metadata": {"name": "a/b"}},
        "port": {"spec": {"service": service | {"port": 65536}}},
        "nobody": {"spec": {"service": {"port": 443}}},
        "local": {"spec": {"caBundle": "YWJj", "insecureSkipTLSVerify": True}},
        "both": {"spec": {"service": service, "caBundle": "YWJj", "insecureSkipTLSVerify": True}},
        "weights": {"spec": {"groupPriorityMinimum": 20001, "versionPriority": 0}},
    })  # fmt: skip

    wanted = 'must be `spec.version+"."+spec.group`: "v1.a.example"'
    assert found["name"] == one("metadata.name", INVALID, f'Invalid value: "v2.a.example": {wanted}')
    assert found["path"] == one("metadata.name", INVALID, "Invalid value: \"a/b\": may not contain '/'")
    assert found["port"] == one("spec.service.port", INVALID,
        "Invalid value: 65536: port is not valid: must be between 1 and 65535, inclusive")  # fmt: skip
    assert [cause[0] for cause in found["nobody"]] == ["spec.service.namespace", "spec.service.name"]
    assert found["local"] == [
        ("spec.caBundle", INVALID, 'Invalid value: "3 bytes": local APIServices may not have a caBundle'),
        ("spec.insecureSkipTLSVerify", INVALID,
         "Invalid value: true: local APIServices may not have insecureSkipTLSVerify"),
    ]  # fmt: skip
    assert found["both"] == one("spec.insecureSkipTLSVerify", INVALID,
        "Invalid value: true: may not be true if caBundle is present")  # fmt: skip
    assert [cause[2] for cause in found["weights"]] == [
        "Invalid value: 20001: must be positive and less than 20000",
        "Invalid value: 0: must be positive and less than 1000",
    ]
