"""What every combination of the parameters of LIST and WATCH means, as a table; and what can be selected."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest

from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap, pod
from ..extensions.conftest import CRDS, GROUP, crd, established

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
THEN, NOW = "THEN", "NOW"
INVALID = 'ListOptions.meta.k8s.io "" is invalid: '
MATCH = "resourceVersionMatch: Forbidden: resourceVersionMatch "
STREAMED = {"sendInitialEvents": "true", "resourceVersionMatch": "NotOlderThan"}


def token(**fields: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(fields).encode()).rstrip(b"=").decode()


def names(listing: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


async def history(api: Api) -> dict[str, str]:
    """Two objects at revision THEN, a third one and a change since."""
    for name in "ab":
        await api.make(MAPS, configmap(name))
    then = (await api("GET", MAPS)).body["metadata"]["resourceVersion"]
    await api.make(MAPS, configmap("c"))
    now = (await api("DELETE", f"{MAPS}/a")).body
    assert now["status"] == "Success"
    return {THEN: then, NOW: (await api("GET", MAPS)).body["metadata"]["resourceVersion"]}


def at(revisions: dict[str, str], query: dict[str, str]) -> dict[str, str]:
    return {name: revisions.get(value, value) for name, value in query.items()}


@pytest.mark.parametrize(
    ("revision", "match", "limit", "found", "more"),
    [
        ("", "", "", "bc", False),
        ("", "", "1", "b", True),
        ("0", "", "", "bc", False),
        # From the cache, all of it.
        ("0", "", "1", "bc", False),
        ("0", "NotOlderThan", "", "bc", False),
        ("0", "NotOlderThan", "1", "bc", False),
        (THEN, "", "", "bc", False),
        # Older clients mean this revision when they ask for pages.
        (THEN, "", "1", "a", True),
        (THEN, "NotOlderThan", "", "bc", False),
        (THEN, "NotOlderThan", "1", "b", True),
        (THEN, "Exact", "", "ab", False),
        (THEN, "Exact", "1", "a", True),
        (THEN, "Exact", "2", "ab", False),
        (NOW, "", "", "bc", False),
        (NOW, "Exact", "", "bc", False),
        (NOW, "Exact", "1", "b", True),
        (NOW, "NotOlderThan", "", "bc", False),
    ],
)
async def test_a_list_shows_the_state_that_was_asked_for(
    api: Api, revision: str, match: str, limit: str, found: str, more: bool
) -> None:
    revisions = await history(api)
    query = {"resourceVersion": revision, "resourceVersionMatch": match, "limit": limit}

    page = (await api("GET", MAPS, **at(revisions, {k: v for k, v in query.items() if v}))).body

    assert "".join(names(page)) == found
    assert ("continue" in page["metadata"]) is more
    exact = match == "Exact" or (limit and not match and revision == THEN)
    shown = revisions.get(revision, "") if exact else revisions[NOW]
    assert page["metadata"]["resourceVersion"] == shown
    if more:
        rest = (await api("GET", MAPS, limit=limit, **{"continue": page["metadata"]["continue"]})).body
        assert "".join(names(page) + names(rest)) == ("ab" if exact and shown == revisions[THEN] else "bc")
        assert rest["metadata"]["resourceVersion"] == shown


@pytest.mark.parametrize(
    ("query", "faults"),
    [
        ({"resourceVersionMatch": "Exact"}, [f"{MATCH}is forbidden unless resourceVersion is provided"]),
        (
            {"resourceVersion": "0", "resourceVersionMatch": "Exact"},
            [f'{MATCH}"exact" is forbidden for resourceVersion "0"'],
        ),
        (
            {"resourceVersion": THEN, "resourceVersionMatch": "Newest"},
            [
                'resourceVersionMatch: Unsupported value: "Newest": supported values: "Exact", '
                '"NotOlderThan", ""'
            ],
        ),
        (
            {"resourceVersion": THEN, "resourceVersionMatch": "Exact", "continue": "x"},
            [f"{MATCH}is forbidden when continue is provided"],
        ),
        (
            {"resourceVersionMatch": "Exact", "continue": "x", "sendInitialEvents": "true"},
            [
                f"{MATCH}is forbidden unless resourceVersion is provided",
                f"{MATCH}is forbidden when continue is provided",
                "sendInitialEvents: Forbidden: sendInitialEvents is forbidden for list",
            ],
        ),
        (
            {"watch": "1", "resourceVersionMatch": "NotOlderThan"},
            [f"{MATCH}is forbidden for watch unless sendInitialEvents is provided"],
        ),
        (
            {"watch": "1", "sendInitialEvents": "false"},
            ["resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
             "NotOlderThan"],
        ),
        (
            {"watch": "1", "sendInitialEvents": "true", "resourceVersionMatch": "Exact"},
            ["resourceVersionMatch: Forbidden: sendInitialEvents requires setting resourceVersionMatch to "
             "NotOlderThan",
             'resourceVersionMatch: Unsupported value: "Exact": supported values: "NotOlderThan"'],
        ),
        (
            {"watch": "1", "continue": "x", **STREAMED},
            [f"{MATCH}is forbidden when continue is provided"],
        ),
    ],
)  # fmt: skip
async def test_parameters_that_contradict_each_other_are_refused(
    api: Api, query: dict[str, str], faults: list[str]
) -> None:
    answer = await api("GET", MAPS, **at(await history(api), query))

    said = faults[0] if len(faults) == 1 else f"[{', '.join(faults)}]"
    assert (answer.code, answer.body["reason"]) == (422, "Invalid")
    assert answer.body["message"] == INVALID + said


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("a.b", ": illegal base64 data at input byte 1"),
        ("abcde", ": illegal base64 data at input byte 5"),
        ("bm9wZQ", ""),
        (token(v="v2", rv=1, start="a"), ": server does not recognize this encoded version v2"),
        (token(v="meta.k8s.io/v1", start="a"),
         ": incorrect encoded start resourceVersion (version meta.k8s.io/v1)"),
        (token(v="meta.k8s.io/v1", rv=1), ": encoded start key empty (version meta.k8s.io/v1)"),
        (token(v="meta.k8s.io/v1", rv=1, start="../secrets/"), ": ../secrets/"),
        (token(v="meta.k8s.io/v1", rv="1", start="a"), ""),
    ],
)  # fmt: skip
async def test_tokens_that_cannot_be_ours_are_refused(api: Api, text: str, why: str) -> None:
    answer = await api("GET", MAPS, limit="1", **{"continue": text})

    assert answer.code == 400
    assert answer.body["message"].startswith(f"invalid continue token: continue key is not valid{why}")


async def test_a_token_and_a_revision_exclude_each_other(api: Api) -> None:
    await history(api)
    page = (await api("GET", MAPS, limit="1")).body["metadata"]

    refused = await api("GET", MAPS, resourceVersion="1", **{"continue": page["continue"]})
    zero = await api("GET", MAPS, resourceVersion="0", **{"continue": page["continue"]})

    assert refused.body["message"] == "specifying resource version is not allowed when using continue"
    assert names(zero.body) == ["c"]


async def test_an_expired_token_offers_one_that_continues_in_the_present(server: ApiServer, api: Api) -> None:
    for name in "abc":
        await api.make(MAPS, configmap(name))
    first = (await api("GET", MAPS, limit="1")).body
    old = token(v="meta.k8s.io/v1", rv=1, start="default/a\0")

    await server._store.compact(int(first["metadata"]["resourceVersion"]) - 1)
    expired = await api("GET", MAPS, limit="1", **{"continue": old})
    inconsistent = expired.body["metadata"]["continue"]
    await api.make(MAPS, configmap("aa"))
    rest = await api("GET", MAPS, limit="2", **{"continue": inconsistent})

    assert (expired.code, expired.body["reason"]) == (410, "Expired")
    assert expired.body["message"].startswith("The provided continue parameter is too old")
    assert names(rest.body) == ["aa", "b"]


# What a watch sends first: the names ADDED, and whether a bookmark then says that this was all.
@pytest.mark.parametrize(
    ("query", "added", "marked"),
    [
        ({}, "bc", False),
        ({"resourceVersion": "0"}, "bc", False),
        ({"allowWatchBookmarks": "true"}, "bc", True),
        ({"resourceVersion": "0", "allowWatchBookmarks": "true"}, "bc", True),
        ({**STREAMED}, "bc", False),
        ({**STREAMED, "allowWatchBookmarks": "true"}, "bc", True),
        ({**STREAMED, "resourceVersion": "0", "allowWatchBookmarks": "true"}, "bc", True),
        ({**STREAMED, "resourceVersion": THEN, "allowWatchBookmarks": "true"}, "bc", True),
        ({**STREAMED, "sendInitialEvents": "false"}, "", False),
        ({**STREAMED, "sendInitialEvents": "false", "allowWatchBookmarks": "true"}, "", False),
        ({**STREAMED, "sendInitialEvents": "false", "resourceVersion": "0"}, "", False),
        ({"resourceVersion": NOW, "allowWatchBookmarks": "true"}, "", False),
    ],
)
async def test_what_a_watch_sends_first(api: Api, query: dict[str, str], added: str, marked: bool) -> None:
    revisions = await history(api)

    async with api.transport.stream("GET", MAPS, query={"watch": "1", **at(revisions, query)}) as stream:
        lines = stream.lines()
        first = [json.loads(await anext(lines)) for _ in range(len(added) + marked)]
        await api.make(MAPS, configmap("z"))
        then = json.loads(await anext(lines))

    marks = first[len(added) :]
    assert [(event["type"], event["object"]["metadata"]["name"]) for event in first[: len(added)]] == [
        ("ADDED", name) for name in added
    ]
    for mark in marks:
        assert mark["type"] == "BOOKMARK"
        assert mark["object"]["metadata"]["resourceVersion"] == revisions[NOW]
        assert mark["object"]["metadata"]["annotations"] == {"k8s.io/initial-events-end": "true"}
    assert (then["type"], then["object"]["metadata"]["name"]) == ("ADDED", "z")


async def test_a_watch_from_a_revision_replays_what_came_since(api: Api) -> None:
    revisions = await history(api)

    events = await api.events(MAPS, 2, resourceVersion=revisions[THEN])

    assert [(event["type"], event["object"]["metadata"]["name"]) for event in events] == [
        ("ADDED", "c"),
        ("DELETED", "a"),
    ]


POD_FIELDS = (
    "spec.nodeName", "spec.restartPolicy", "spec.schedulerName", "spec.serviceAccountName",
    "spec.hostNetwork", "spec.host", "status.phase", "status.podIP", "status.podIPs",
    "status.nominatedNodeName",
)  # fmt: skip
_ABOUT = ("kind", "namespace", "name", "uid", "apiVersion", "resourceVersion", "fieldPath")
UNSUPPORTED = "field label not supported: {}"
PLAIN = '"{}" is not a known field selector: only "metadata.name", "metadata.namespace"'
SELECTABLE = [
    ("/api/v1/pods", POD_FIELDS, True, UNSUPPORTED),
    ("/api/v1/nodes", ("spec.unschedulable",), False, UNSUPPORTED),
    ("/api/v1/namespaces", ("status.phase",), False, UNSUPPORTED),
    ("/api/v1/secrets", ("type",), True, UNSUPPORTED),
    ("/api/v1/services", ("spec.clusterIP", "spec.type"), True, UNSUPPORTED),
    ("/api/v1/replicationcontrollers", ("status.replicas",), True, UNSUPPORTED),
    (
        "/api/v1/events",
        (*(f"involvedObject.{name}" for name in _ABOUT), "reason", "reportingComponent", "source", "type"),
        True,
        UNSUPPORTED,
    ),
    (
        "/apis/events.k8s.io/v1/events",
        (*(f"regarding.{name}" for name in _ABOUT), "reason", "reportingController", "type"),
        True,
        UNSUPPORTED,
    ),
    ("/apis/apps/v1/replicasets", ("status.replicas",), True, UNSUPPORTED),
    ("/apis/batch/v1/jobs", ("status.successful",), True, 'field label "{}" not supported for batchv1.Job'),
    (
        "/apis/certificates.k8s.io/v1/certificatesigningrequests",
        ("spec.signerName",),
        False,
        UNSUPPORTED,
    ),
    (
        "/apis/resource.k8s.io/v1/resourceslices",
        ("spec.nodeName", "spec.driver"),
        False,
        "field label not supported for resource.k8s.io/v1, Kind=ResourceSlice: {}",
    ),
    ("/api/v1/configmaps", (), True, PLAIN),
    ("/api/v1/persistentvolumes", (), True, PLAIN),
    ("/apis/apps/v1/deployments", (), True, PLAIN),
]


@pytest.mark.parametrize(("path", "fields", "namespace", "refusal"), SELECTABLE)
async def test_fields_that_can_be_selected(
    api: Api, path: str, fields: tuple[str, ...], namespace: bool, refusal: str
) -> None:
    for field in ("metadata.name", *fields):
        answer = await api("GET", path, fieldSelector=f"{field}=nothing-is-so")
        assert (answer.code, answer.body["items"]) == (200, []), field

    within = await api("GET", path, fieldSelector="metadata.namespace=nowhere")
    other = await api("GET", path, fieldSelector="spec.color=red")

    assert within.code == (200 if namespace else 400)
    assert (other.code, other.body["message"]) == (400, refusal.format("spec.color"))


async def test_custom_resources_select_their_names(api: Api) -> None:
    await api.make(CRDS, crd(scope="Cluster"))
    await established(api)
    path = f"/apis/{GROUP}/v1/widgets"

    named = await api("GET", path, fieldSelector="metadata.name=a")
    within = await api("GET", path, fieldSelector="metadata.namespace=a")
    other = await api("GET", path, fieldSelector="spec.color=red")

    assert named.code == 200
    assert within.body["message"] == "field label not supported: metadata.namespace"
    assert other.body["message"] == "field label not supported: spec.color"


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        ("metadata.name=a,metadata.name=b", ""),
        ("metadata.name=a,metadata.name=a", "a"),
        ("metadata.name=", ""),
        ("metadata.name!=", "ab"),
        ("spec.nodeName=n1,spec.nodeName=n2", ""),
        ("spec.nodeName=n1", "a"),
        ("spec.host=n1", "a"),
        ("spec.nodeName!=n1", "b"),
        ("spec.nodeName=,status.phase==Pending", "b"),
        ("metadata.namespace=default,metadata.name=b", "b"),
        ("spec.hostNetwork=false", "ab"),
    ],
)
async def test_requirements_must_all_hold(api: Api, selector: str, found: str) -> None:
    await api.make(PODS, pod("a", nodeName="n1"))
    await api.make(PODS, pod("b"))

    listed = await api("GET", PODS, fieldSelector=selector)

    assert listed.code == 200, listed.body
    assert "".join(names(listed.body)) == found


async def test_a_watch_of_one_object_refuses_the_name_of_another(api: Api) -> None:
    path = "/api/v1/watch/namespaces/default/configmaps/a"

    answer = await api("GET", path, fieldSelector="metadata.name=b")

    assert (answer.code, answer.body["message"]) == (
        400,
        "fieldSelector metadata.name doesn't match requested name",
    )


async def test_selections_of_a_watch_make_events_of_their_own(api: Api) -> None:
    made = await api.make(PODS, pod("a"))
    binding = {"target": {"kind": "Node", "name": "n1"}}
    await api("POST", f"{PODS}/a/binding", binding)
    await api("DELETE", f"{PODS}/a", gracePeriodSeconds="0")
    revision = made["metadata"]["resourceVersion"]

    bound = await api.events(PODS, 2, resourceVersion=revision, fieldSelector="spec.nodeName=n1")
    unbound = await api.events(PODS, 1, resourceVersion=revision, fieldSelector="spec.nodeName=")

    assert [event["type"] for event in bound] == ["ADDED", "DELETED"]
    assert [event["type"] for event in unbound] == ["DELETED"]
    assert "nodeName" not in unbound[0]["object"]["spec"]
    assert (
        unbound[0]["object"]["metadata"]["resourceVersion"]
        == bound[0]["object"]["metadata"]["resourceVersion"]
    )
