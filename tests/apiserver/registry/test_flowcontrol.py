"""Flow schemas and priority levels: what every cluster has, and what is refused."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.bootstrap import FLOW_SECONDS
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.server import ApiServer
from kplane.testing.clock import VirtualClock

from ..conftest import Api

GROUP = "flowcontrol.apiserver.k8s.io"
PATH = f"/apis/{GROUP}/v1"
MERGE = "application/merge-patch+json"
USER = {"kind": "User", "user": {"name": "ann"}}
RULE = {"verbs": ["get"], "apiGroups": [""], "resources": ["pods"], "namespaces": ["*"]}


def schema(**spec: Any) -> dict[str, Any]:
    return {"spec": {"priorityLevelConfiguration": {"name": "a"}, "matchingPrecedence": 5} | spec}


def rule(**more: Any) -> dict[str, Any]:
    return schema(rules=[{"subjects": [USER], "resourceRules": [RULE]} | more])


def level(**limited: Any) -> dict[str, Any]:
    return {"spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}} | limited}}


def queue(**queuing: int) -> dict[str, Any]:
    return level(limitResponse={"type": "Queue", "queuing": queuing})


async def test_every_cluster_has_the_mandatory_and_the_suggested_ones(api: Api) -> None:
    levels = (await api("GET", f"{PATH}/prioritylevelconfigurations")).body["items"]
    schemas = (await api("GET", f"{PATH}/flowschemas")).body["items"]

    shares = {
        item["metadata"]["name"]: item["spec"].get("limited", {}).get("nominalConcurrencyShares")
        for item in levels
    }
    assert shares == {
        "catch-all": 5,
        "exempt": None,
        "global-default": 20,
        "leader-election": 10,
        "node-high": 40,
        "system": 30,
        "workload-high": 40,
        "workload-low": 100,
    }
    order = sorted(schemas, key=lambda item: item["spec"]["matchingPrecedence"])
    assert [item["metadata"]["name"] for item in order][:3] == ["exempt", "probes", "system-leader-election"]
    assert order[-1]["metadata"]["name"] == "catch-all"
    assert {item["spec"]["priorityLevelConfiguration"]["name"] for item in schemas} == {*shares}
    assert all(
        item["metadata"]["annotations"] == {"apf.kubernetes.io/autoupdate-spec": "true"}
        for item in (*levels, *schemas)
    )


async def test_the_mandatory_ones_may_not_change(api: Api) -> None:
    patch = {"spec": {"matchingPrecedence": 9000}}
    refused = await api("PATCH", f"{PATH}/flowschemas/catch-all", patch, content_type=MERGE)
    lends = {"spec": {"exempt": {"lendablePercent": 20}}}
    taken = await api("PATCH", f"{PATH}/prioritylevelconfigurations/exempt", lends, content_type=MERGE)

    assert refused.code == 422
    assert "spec of 'catch-all' must equal the fixed value" in refused.body["message"]
    assert taken.code == 200


async def test_what_is_deleted_or_changed_comes_back(config: ApiServerConfig) -> None:
    clock = VirtualClock()
    async with ApiServer(config, clock) as server:
        api = Api(server.app)
        gone = (await api("DELETE", f"{PATH}/flowschemas/probes")).body
        assert gone["status"] == "Success"
        since = (await api("GET", f"{PATH}/flowschemas")).body["metadata"]["resourceVersion"]

        await clock.advance(FLOW_SECONDS + 1)

        (event,) = await api.events(f"{PATH}/flowschemas", 1, resourceVersion=since)
        assert (event["type"], event["object"]["metadata"]["name"]) == ("ADDED", "probes")


@pytest.mark.parametrize("keep", ["true", "false"])
async def test_suggestions_are_kept_where_they_say_so(lasting: ApiServerConfig, keep: str) -> None:
    at = f"{PATH}/flowschemas/service-accounts"
    patch = {
        "metadata": {"annotations": {"apf.kubernetes.io/autoupdate-spec": keep}},
        "spec": {"matchingPrecedence": 8000},
    }
    async with ApiServer(lasting) as server:
        await Api(server.app)("PATCH", at, patch, content_type=MERGE)
    async with ApiServer(lasting) as server:
        found = (await Api(server.app)("GET", at)).body["spec"]["matchingPrecedence"]

    assert found == (9000 if keep == "true" else 8000)


def test_defaults(judge: Any) -> None:
    made = judge(GROUP, "flowschemas").created(schema(matchingPrecedence=0))["spec"]
    queued = judge(GROUP, "prioritylevelconfigurations").created(queue())["spec"]["limited"]

    assert made["matchingPrecedence"] == 1000
    assert queued == {
        "nominalConcurrencyShares": 30,
        "lendablePercent": 0,
        "limitResponse": {
            "type": "Queue",
            "queuing": {"queues": 64, "handSize": 8, "queueLengthLimit": 50},
        },
    }


@pytest.mark.parametrize(
    ("plural", "obj", "fault"),
    [
        ("flowschemas", rule(), ""),
        ("prioritylevelconfigurations", level(), ""),
        ("prioritylevelconfigurations", queue(), ""),
        (
            "flowschemas",
            schema(matchingPrecedence=-1),
            "spec.matchingPrecedence: Invalid value: -1: must be a positive value",
        ),
        (
            "flowschemas",
            schema(matchingPrecedence=10001),
            "spec.matchingPrecedence: Invalid value: 10001: must not be greater than 10000",
        ),
        (
            "flowschemas",
            schema(matchingPrecedence=1),
            "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have"
            " matchingPrecedence 1",
        ),
        (
            "flowschemas",
            schema(distinguisherMethod={"type": "Odd"}),
            'spec.distinguisherMethod.type: Unsupported value: {"Type":"Odd"}: supported values:'
            ' "ByNamespace", "ByUser"',
        ),
        (
            "flowschemas",
            schema(priorityLevelConfiguration={}),
            "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
        ),
        (
            "flowschemas",
            rule(subjects=[]),
            "spec.rules[0].subjects: Required value: subjects must contain at least one value",
        ),
        (
            "flowschemas",
            rule(resourceRules=[]),
            "spec.rules[0]: Required value: at least one of resourceRules and nonResourceRules has to be"
            " non-empty",
        ),
        (
            "flowschemas",
            rule(subjects=[{"kind": "User", "group": {"name": "g"}}]),
            "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
        ),
        (
            "flowschemas",
            rule(subjects=[USER | {"group": {"name": "g"}}]),
            "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
        ),
        (
            "flowschemas",
            rule(subjects=[{"kind": "ServiceAccount", "serviceAccount": {"name": "*"}}]),
            "spec.rules[0].subjects[0].serviceAccount.namespace: Required value: must specify namespace for"
            " service account",
        ),
        (
            "flowschemas",
            rule(resourceRules=[RULE | {"namespaces": []}]),
            "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster"
            " scoped must supply at least one namespace",
        ),
        (
            "flowschemas",
            rule(nonResourceRules=[{"verbs": ["*", "get"], "nonResourceURLs": ["/a*b"]}]),
            'spec.rules[0].nonResourceRules[0].verbs: Invalid value: ["*","get"]: if \'*\' is present, must'
            " not specify other verbs",
        ),
        (
            "prioritylevelconfigurations",
            {"spec": {"type": "Exempt"}},
            "spec.type: Invalid value: \"Exempt\": type must be 'Exempt' if and only if name is 'exempt'",
        ),
        (
            "prioritylevelconfigurations",
            {"spec": {"type": "Limited"}},
            "spec.limited: Required value: must not be empty when type is Limited",
        ),
        (
            "prioritylevelconfigurations",
            level(lendablePercent=101),
            "spec.limited.lendablePercent: Invalid value: 101: must be between 0 and 100, inclusive",
        ),
        (
            "prioritylevelconfigurations",
            level(limitResponse={"type": "Queue"}),
            "spec.limited.limitResponse.queuing: Required value: must not be empty if"
            " limited.limitResponse.type is Limited",
        ),
        (
            "prioritylevelconfigurations",
            queue(queues=4, handSize=8),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: should not be greater than"
            " queues (4)",
        ),
        (
            "prioritylevelconfigurations",
            queue(queues=512, handSize=8),
            "spec.limited.limitResponse.queuing.handSize: Invalid value: 8: required entropy bits of deckSize"
            " 512 and handSize 8 should not be greater than 60",
        ),
    ],
)  # fmt: skip
def test_faults_are_worded_as_upstream(judge: Any, plural: str, obj: dict[str, Any], fault: str) -> None:
    faults = judge(GROUP, plural).faults(obj)

    assert fault in faults if fault else faults == []
