"""Lists in chunks, tables, discovery and versions: what any client reads before and beside objects."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

from .api import GO_ACCEPT, Api, condition

TEMPLATES = 120
"""The suite makes 400; the pages are the same."""
AGGREGATED = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io"


async def templates(api: Api, core: str) -> str:
    """The path of a collection of many small objects."""
    spec = {"containers": [{"name": "test", "image": "test2"}]}
    for start in range(0, TEMPLATES, 20):
        bodies = (
            {"metadata": {"name": f"template-{number:04}"}, "template": {"spec": spec}}
            for number in range(start, start + 20)
        )
        await asyncio.gather(*(api.make(f"{core}/podtemplates", body) for body in bodies))
    return f"{core}/podtemplates"


def numbers(listed: Any) -> list[int]:
    return [int(item["metadata"]["name"].rpartition("-")[2]) for item in listed["items"]]


async def test_lists_come_in_chunks_of_one_revision(api: Api, core: str) -> None:
    path = await templates(api, core)
    page = first = await api.get(path, limit="17", accept=GO_ACCEPT)
    seen = numbers(page)
    # Somebody else writes while the client pages.
    await api.delete(f"{path}/template-0100")
    while following := page["metadata"].get("continue"):
        assert page["metadata"]["remainingItemCount"] + len(seen) == TEMPLATES
        page = await api.get(path, limit="17", continue_=following)
        assert page["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]
        assert len(page["items"]) <= 17
        seen += numbers(page)
    assert seen == list(range(TEMPLATES))
    assert "remainingItemCount" not in page["metadata"]
    assert len((await api.get(path, limit=str(TEMPLATES + 1)))["items"]) == TEMPLATES - 1


async def test_a_table_of_what_has_no_metadata_is_not_acceptable(api: Api) -> None:
    review = {"spec": {"nonResourceAttributes": {"path": "/", "verb": "get"}}}
    answer = await api("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review, accept=TABLE)
    assert (answer.code, answer.body["reason"]) == (406, "NotAcceptable")


async def test_tables_have_columns_and_rows(api: Api, core: str) -> None:
    await api.make(f"{core}/configmaps", {"metadata": {"name": "m"}, "data": {"a": "b"}})
    table = await api.get(f"{core}/configmaps", accept=f"{TABLE}, application/json")
    assert (table["kind"], table["apiVersion"]) == ("Table", "meta.k8s.io/v1")
    assert [column["name"] for column in table["columnDefinitions"]][:3] == ["Name", "Data", "Age"]
    assert ["m", 1] in [row["cells"][:2] for row in table["rows"]]


async def test_every_group_and_its_preferred_version_are_discovered(api: Api) -> None:
    groups = (await api.get("/apis", accept=GO_ACCEPT))["groups"]
    for group in groups:
        assert group["preferredVersion"] in group["versions"]
        for version in group["versions"]:
            listed = await api.get(f"/apis/{version['groupVersion']}")
            assert listed["groupVersion"] == version["groupVersion"]
            assert listed["resources"], version
        single = await api.get(f"/apis/{group['name']}")
        assert single["preferredVersion"] == group["preferredVersion"]
    assert {"apps", "batch", "events.k8s.io", "apiextensions.k8s.io"} <= {group["name"] for group in groups}


WANTED = """namespaces validatingwebhookconfigurations.admissionregistration.k8s.io/v1
customresourcedefinitions.apiextensions.k8s.io/v1 apiservices.apiregistration.k8s.io/v1 deployments.apps/v1
tokenreviews.authentication.k8s.io/v1 selfsubjectaccessreviews.authorization.k8s.io/v1
horizontalpodautoscalers.autoscaling/v1 horizontalpodautoscalers.autoscaling/v2 jobs.batch/v1
certificatesigningrequests.certificates.k8s.io/v1 leases.coordination.k8s.io/v1
endpointslices.discovery.k8s.io/v1 events.events.k8s.io/v1 ingresses.networking.k8s.io/v1
runtimeclasses.node.k8s.io/v1 poddisruptionbudgets.policy/v1 priorityclasses.scheduling.k8s.io/v1
csinodes.storage.k8s.io/v1"""


async def test_aggregated_discovery_has_every_resource(api: Api) -> None:
    found = set()
    for path in ("/api", "/apis"):
        answer = await api("GET", path, accept=AGGREGATED)
        assert answer.headers["content-type"].replace(" ", "").startswith("application/json;g=apidiscovery")
        assert (answer.body["kind"], answer.body["apiVersion"]) == (
            "APIGroupDiscoveryList",
            "apidiscovery.k8s.io/v2",
        )
        for group in answer.body["items"]:
            suffix = group["metadata"].get("name", "")
            for version in group["versions"]:
                for resource in version["resources"]:
                    where = f".{suffix}/{version['version']}" if suffix else ""
                    found.add(f"{resource['resource']}{where}")
    assert set(WANTED.split()) <= found


async def test_the_server_says_its_version(api: Api) -> None:
    version = await api.get("/version", accept=GO_ACCEPT)
    assert (version["major"], version["minor"]) == ("1", "37")
    assert re.fullmatch(r"v1\.37\.\d+(\+.*)?", version["gitVersion"])


async def test_bodies_without_a_type_are_json(api: Api, core: str) -> None:
    """Go's client says nothing of bytes that it was handed."""
    body = json.dumps({"metadata": {"name": "plain"}}).encode()
    headers = {"Accept": GO_ACCEPT, "Content-Type": ""}
    answer = await api.transport.request("POST", f"{core}/configmaps", headers=headers, body=body)
    assert answer.status == 201, answer.body


async def test_openapi_is_json_for_whoever_takes_anything_and_has_a_tag(api: Api) -> None:
    first = await api("GET", "/openapi/v2", accept=GO_ACCEPT)
    assert first.body["swagger"] == "2.0"
    headers = {"Accept": GO_ACCEPT, "If-None-Match": first.headers["etag"]}
    again = await api.transport.request("GET", "/openapi/v2", headers=headers)
    assert (again.status, again.body) == (304, b"")


async def test_informers_may_stream_the_list(api: Api, core: str) -> None:
    """Go's informers ask for the initial state as events, and a bookmark behind it."""
    await api.make(f"{core}/configmaps", {"metadata": {"name": "m"}})
    query = {
        "sendInitialEvents": "true",
        "resourceVersionMatch": "NotOlderThan",
        "allowWatchBookmarks": "true",
        "fieldSelector": "metadata.name=m",
    }
    async with api.watch(f"{core}/configmaps", **query) as watch:
        assert (await watch.until("ADDED"))["metadata"]["name"] == "m"
        bookmark = await watch.until("BOOKMARK")
        assert bookmark["metadata"]["annotations"]["k8s.io/initial-events-end"] == "true"


async def test_at_least_two_nodes_take_pods(api: Api) -> None:
    nodes = await api.items("/api/v1/nodes", fieldSelector="spec.unschedulable=false", resourceVersion="0")
    usable = [node for node in nodes if not node["spec"].get("taints")]
    assert len(usable) >= 2
    for node in usable:
        assert condition(node, "Ready") == "True"
