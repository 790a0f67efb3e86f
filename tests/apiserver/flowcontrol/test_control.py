"""Classification of requests, and the levels that their flows belong to."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.apiserver.auth.user import ANONYMOUS
from kplane.apiserver.flowcontrol.control import FlowControl
from kplane.apiserver.flowcontrol.queues import Request, State
from kplane.apiserver.flowcontrol.shards import deal, flow_hash
from kplane.apiserver.registry.flowobjects import LEVELS, SCHEMAS

from .simulation import Time, begin, info, user

PODS = "/api/v1/namespaces/{}/pods"
EVERYBODY = "system:authenticated"
ACCOUNTS = ("system:serviceaccounts", EVERYBODY)
EVERY = {
    "verbs": ["*"],
    "apiGroups": ["*"],
    "resources": ["*"],
    "namespaces": ["*"],
    "clusterScope": True,
}


@pytest.fixture
def time() -> Time:
    return Time()


@pytest.fixture
def control(time: Time) -> FlowControl:
    made = FlowControl(600, time, time.later)
    made.configure(LEVELS, SCHEMAS)
    return made


def level(name: str, *, shares: int = 10, queues: int = 0) -> dict[str, Any]:
    response: dict[str, Any] = {"type": "Reject"}
    if queues:
        response = {"type": "Queue", "queuing": {"queues": queues, "handSize": 1, "queueLengthLimit": 10}}
    limits = {"nominalConcurrencyShares": shares, "limitResponse": response}
    spec = {"type": "Limited", "limited": limits}
    return {"metadata": {"name": name, "uid": f"{name}-uid"}, "spec": spec}


def schema(name: str, to: str, *, precedence: int = 1000, by: str = "", **rule: Any) -> dict[str, Any]:
    subject = {"kind": "Group", "group": {"name": EVERYBODY}}
    spec: dict[str, Any] = {
        "priorityLevelConfiguration": {"name": to},
        "matchingPrecedence": precedence,
        "rules": [{"subjects": [subject], "resourceRules": [EVERY]} | rule],
    }
    if by:
        spec["distinguisherMethod"] = {"type": by}
    return {"metadata": {"name": name, "uid": f"{name}-uid"}, "spec": spec}


@pytest.mark.parametrize(
    ("who", "what", "expected"),
    [
        (user("root", "system:masters"), info("GET", PODS.format("a")), ("exempt", "exempt")),
        (user("alice", EVERYBODY), info("GET", PODS.format("a")), ("global-default", "global-default")),
        (user("alice", EVERYBODY), info("GET", "/healthz"), ("probes", "exempt")),
        (user("alice", EVERYBODY), info("POST", "/healthz"), ("global-default", "global-default")),
        (ANONYMOUS, info("GET", "/version"), ("global-default", "global-default")),
        (user("system:node:n", "system:nodes", EVERYBODY), info("PATCH", "/api/v1/nodes/n/status"),
         ("system-node-high", "node-high")),
        (user("system:node:n", "system:nodes", EVERYBODY), info("GET", PODS.format("a")),
         ("system-nodes", "system")),
        (user("system:kube-scheduler", EVERYBODY),
         info("PUT", "/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/x"),
         ("system-leader-election", "leader-election")),
        (user("system:kube-scheduler", EVERYBODY), info("GET", PODS.format("a")),
         ("kube-scheduler", "workload-high")),
        (user("system:serviceaccount:kube-system:job", *ACCOUNTS), info("GET", PODS.format("a")),
         ("kube-system-service-accounts", "workload-high")),
        (user("system:serviceaccount:other:job", *ACCOUNTS), info("GET", PODS.format("a")),
         ("service-accounts", "workload-low")),
        (user("nobody"), info("GET", PODS.format("a")), ("catch-all", "catch-all")),
    ],
)  # fmt: skip
def test_requests_of_a_cluster_as_it_comes(
    control: FlowControl, who: Any, what: Any, expected: tuple[str, str]
) -> None:
    flow = control.classify(who, what)

    assert (flow.schema.name, flow.level.limits.name) == expected
    assert control.classify(who, what) is flow


def test_the_lowest_precedence_wins_and_then_the_first_name(control: FlowControl) -> None:
    control.configure(
        [level("one"), level("two"), level("three")],
        [
            schema("b", "two", precedence=5),
            schema("a", "one", precedence=5),
            schema("c", "three", precedence=6),
        ],
    )

    assert control.classify(user("x", EVERYBODY), info("GET", PODS.format("a"))).schema.name == "a"


@pytest.mark.parametrize(
    ("rule", "path", "matches"),
    [
        ({"resources": ["pods"]}, PODS.format("a"), True),
        ({"resources": ["pods"]}, PODS.format("a") + "/p/status", False),
        ({"resources": ["pods/status"]}, PODS.format("a") + "/p/status", True),
        ({"namespaces": ["a"]}, PODS.format("a"), True),
        ({"namespaces": ["b"]}, PODS.format("a"), False),
        ({"namespaces": ["a"], "clusterScope": False}, "/api/v1/pods", False),
        ({"namespaces": [], "clusterScope": True}, "/api/v1/nodes", True),
        ({"namespaces": [], "clusterScope": True}, PODS.format("a"), False),
        ({"verbs": ["create"]}, PODS.format("a"), False),
        ({"verbs": ["list"]}, PODS.format("a"), True),
        ({"apiGroups": ["apps"]}, PODS.format("a"), False),
        ({"apiGroups": [""]}, PODS.format("a"), True),
    ],
)
def test_resource_rules(control: FlowControl, rule: dict[str, Any], path: str, matches: bool) -> None:
    control.configure([level("mine")], [schema("mine", "mine", resourceRules=[EVERY | rule])])

    found = control.classify(user("x", EVERYBODY), info("GET", path)).schema.name

    assert found == ("mine" if matches else "catch-all")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/metrics", "/metrics", True),
        ("/metrics", "/metrics/x", False),
        ("/debug/*", "/debug/pprof", True),
        ("/debug/*", "/debugger", False),
        ("*", "/anything", True),
    ],
)
def test_path_rules(control: FlowControl, pattern: str, path: str, matches: bool) -> None:
    rules = [{"verbs": ["get"], "nonResourceURLs": [pattern]}]
    control.configure([level("mine")], [schema("mine", "mine", resourceRules=[], nonResourceRules=rules)])

    found = control.classify(user("x", EVERYBODY), info("GET", path)).schema.name

    assert found == ("mine" if matches else "catch-all")


@pytest.mark.parametrize(
    ("subject", "name", "matches"),
    [
        ({"kind": "User", "user": {"name": "x"}}, "x", True),
        ({"kind": "User", "user": {"name": "*"}}, "y", True),
        ({"kind": "User", "user": {"name": "x"}}, "y", False),
        ({"kind": "Group", "group": {"name": "*"}}, "y", True),
        ({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "a"}},
         "system:serviceaccount:a:b", True),
        ({"kind": "ServiceAccount", "serviceAccount": {"name": "c", "namespace": "a"}},
         "system:serviceaccount:a:b", False),
        ({"kind": "ServiceAccount", "serviceAccount": {"name": "*", "namespace": "a"}},
         "system:serviceaccount:ab:b", False),
    ],
)  # fmt: skip
def test_subjects(control: FlowControl, subject: dict[str, Any], name: str, matches: bool) -> None:
    control.configure([level("mine")], [schema("mine", "mine", subjects=[subject])])

    found = control.classify(user(name), info("GET", PODS.format("a"))).schema.name

    assert found == ("mine" if matches else "catch-all")


@pytest.mark.parametrize(("by", "flows"), [("", 1), ("ByUser", 2), ("ByNamespace", 3)])
def test_flows_are_told_apart(control: FlowControl, by: str, flows: int) -> None:
    control.configure([level("mine", queues=64)], [schema("mine", "mine", by=by)])

    found = {
        control.classify(user(name, EVERYBODY), info("GET", PODS.format(namespace)))
        for name in "xy"
        for namespace in "abc"
    }

    assert len(found) == flows


def test_a_schema_whose_level_is_not_there_is_passed_over(control: FlowControl) -> None:
    control.configure([level("mine")], [schema("lost", "gone", precedence=2), schema("mine", "mine")])

    assert control.classify(user("x", EVERYBODY), info("GET", PODS.format("a"))).schema.name == "mine"


def test_the_mandatory_ones_are_there_without_objects(control: FlowControl) -> None:
    control.configure((), ())

    masters = control.classify(user("root", "system:masters"), info("GET", PODS.format("a")))
    others = control.classify(user("x", EVERYBODY), info("GET", PODS.format("a")))

    assert (masters.level.limits.exempt, others.schema.name) == (True, "catch-all")
    assert others.level.nominal == 600


def test_seats_by_shares_and_what_is_lent(control: FlowControl) -> None:
    seats = {name: (level.nominal, level.lower, level.upper) for name, level in control.levels.items()}

    assert seats == {
        "exempt": (0, 0, 600),
        "catch-all": (13, 13, 613),
        "system": (74, 50, 674),
        "node-high": (98, 73, 698),
        "leader-election": (25, 25, 625),
        "workload-high": (98, 49, 698),
        "workload-low": (245, 24, 845),
        "global-default": (49, 24, 649),
    }


def test_a_busy_level_borrows_what_idle_ones_lend_and_gives_it_back(control: FlowControl, time: Time) -> None:
    busy = control.classify(user("x", EVERYBODY), info("GET", PODS.format("a")))
    requests = [begin(busy.level.queues, busy)[0] for _ in range(400)]
    before = busy.level.current
    time.advance(10)

    control.adjust()
    lent = busy.level.current
    for request in requests:
        if request.state is State.RUNNING:
            busy.level.queues.finish(request)
    for level_ in control.levels.values():
        assert level_.limits.exempt or level_.current >= level_.lower
    assert lent > before * 3

    while busy.level.queues.running:
        busy.level.queues.finish(next(iter(busy.level.queues.running)))
    needy = control.classify(user("system:serviceaccount:a:b", *ACCOUNTS), info("GET", PODS.format("a")))
    for _ in range(300):
        begin(needy.level.queues, needy)
    time.advance(10)
    control.adjust()

    assert needy.level.current >= 230
    assert busy.level.current < lent


def test_a_level_whose_object_is_gone_ends_with_its_last_request(control: FlowControl) -> None:
    control.configure([level("mine")], [schema("mine", "mine")])
    flow = control.classify(user("x", EVERYBODY), info("GET", PODS.format("a")))
    request, _ = begin(flow.level.queues, flow)

    control.configure((), ())
    assert control.levels["mine"].quiescing
    assert control.classify(user("x", EVERYBODY), info("GET", PODS.format("a"))).schema.name == "catch-all"
    flow.level.queues.finish(request)
    control.adjust()

    assert "mine" not in control.levels


def test_a_level_keeps_its_requests_when_its_object_changes(control: FlowControl) -> None:
    control.configure([level("mine", shares=1)], [schema("mine", "mine")])
    flow = control.classify(user("x", EVERYBODY), info("GET", PODS.format("a")))
    begin(flow.level.queues, flow)

    control.configure([level("mine", queues=8, shares=100)], [schema("mine", "mine")])
    again = control.classify(user("x", EVERYBODY), info("GET", PODS.format("a")))

    assert again.level is flow.level
    assert len(again.hand) == 1
    assert len(again.level.queues.running) == 1


def test_verdicts_are_bounded(control: FlowControl) -> None:
    for number in range(20_000):
        control.classify(user("x", EVERYBODY), info("GET", f"/hostile/{number}"))

    assert len(control._verdicts) <= 8192


def test_hands_are_of_different_cards_that_depend_on_the_flow_alone() -> None:
    hands = [deal(flow_hash("schema", f"user-{number}"), 128, 6) for number in range(200)]

    assert all(len(set(hand)) == 6 and max(hand) < 128 for hand in hands)
    assert len({frozenset(hand) for hand in hands}) == 200
    assert hands[0] == deal(flow_hash("schema", "user-0"), 128, 6)
    assert sorted(deal(0, 4, 4)) == [0, 1, 2, 3]


def test_requests_are_counted_by_level_and_schema(control: FlowControl) -> None:
    flow = control.classify(user("x", EVERYBODY), info("GET", PODS.format("a")))
    for _ in range(3):
        flow.level.queues.begin(Request(flow, flow_work := begin(flow.level.queues, flow)[0].work), flow.hand)
    assert flow_work.seats == 1

    counts = control.counts["global-default", "global-default"]
    assert (counts.dispatched, counts.running, counts.seats) == (6, 6, 6)


@pytest.mark.parametrize(
    "spoil",
    [
        {"rules": [{"subjects": [{"kind": "User"}]}]},
        {"rules": [{"subjects": [{"kind": "User", "user": {"name": "x"}}], "resourceRules": [{}]}]},
        {"rules": 7},
        {"priorityLevelConfiguration": None},
        {"matchingPrecedence": "soon"},
    ],
)
def test_schemas_that_cannot_be_understood_are_passed_over(
    control: FlowControl, spoil: dict[str, Any]
) -> None:
    broken = schema("broken", "mine", precedence=1)
    broken["spec"] |= spoil
    control.configure([level("mine")], [broken, schema("mine", "mine")])

    assert control.classify(user("x", EVERYBODY), info("GET", PODS.format("a"))).schema.name == "mine"


@pytest.mark.parametrize(
    "limited",
    [
        {"limitResponse": {"type": "Queue", "queuing": {"queues": 2, "handSize": 3, "queueLengthLimit": 1}}},
        {"limitResponse": {"type": "Queue"}},
        {"limitResponse": {"type": "Reject", "queuing": {"queues": 2, "handSize": 1}}},
        {"nominalConcurrencyShares": "many"},
        None,
    ],
)
def test_levels_that_cannot_be_understood_are_as_if_they_were_not_there(
    control: FlowControl, limited: Any
) -> None:
    broken = level("mine")
    broken["spec"]["limited"] = limited and broken["spec"]["limited"] | limited
    control.configure([broken], [schema("mine", "mine")])

    assert control.classify(user("x", EVERYBODY), info("GET", PODS.format("a"))).schema.name == "catch-all"
