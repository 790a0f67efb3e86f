"""GET and LIST: revisions, selectors, pages, forms."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from kplane.apiserver.server import ApiServer

from ..conftest import Api, configmap, pod

MAPS = "/api/v1/namespaces/default/configmaps"
PODS = "/api/v1/namespaces/default/pods"
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"
PARTIAL = "application/json;as=PartialObjectMetadata;v=v1;g=meta.k8s.io"
PARTIAL_LIST = "application/json;as=PartialObjectMetadataList;v=v1;g=meta.k8s.io"


def names(listing: Any) -> list[str]:
    return [item["metadata"]["name"] for item in listing["items"]]


async def fill(api: Api, *wanted: str) -> None:
    for name in wanted:
        await api.make(MAPS, {"metadata": {"name": name, "labels": {"name": name}}, "data": {"a": "b"}})


async def test_a_list_has_its_kind_first_and_items_without_theirs(api: Api) -> None:
    await fill(api, "b", "a")

    body = (await api("GET", MAPS)).body

    assert list(body) == ["kind", "apiVersion", "metadata", "items"]
    assert (body["kind"], names(body)) == ("ConfigMapList", ["a", "b"])
    assert all("kind" not in item and "apiVersion" not in item for item in body["items"])
    assert body["metadata"]["resourceVersion"] == body["items"][0]["metadata"]["resourceVersion"]


async def test_an_empty_list_has_items(api: Api) -> None:
    assert (await api("GET", MAPS)).body["items"] == []


async def test_all_namespaces_are_listed_together(api: Api) -> None:
    await fill(api, "a")
    await api.make("/api/v1/namespaces/kube-system/configmaps", configmap("b"))

    assert names((await api("GET", "/api/v1/configmaps")).body) == ["a", "b"]
    assert names((await api("GET", MAPS)).body) == ["a"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        pytest.param({"labelSelector": "name in (a,c)"}, ["a", "c"], id="labels"),
        pytest.param({"labelSelector": "!name"}, [], id="without-label"),
        pytest.param({"fieldSelector": "metadata.name=b"}, ["b"], id="name"),
        pytest.param({"fieldSelector": "metadata.name!=b"}, ["a", "c"], id="other-names"),
        pytest.param({"fieldSelector": "metadata.namespace=other"}, [], id="namespace"),
        pytest.param({"fieldSelector": "metadata.name=b", "labelSelector": "name=a"}, [], id="both"),
    ],
)
async def test_selectors_narrow_a_list(api: Api, query: dict[str, str], found: list[str]) -> None:
    await fill(api, "a", "b", "c")

    assert names((await api("GET", MAPS, **query)).body) == found


@pytest.mark.parametrize(
    ("path", "query", "code", "message"),
    [
        pytest.param(PODS, {"fieldSelector": "spec.color=red"}, 400,
            "field label not supported: spec.color", id="field"),
        pytest.param(MAPS, {"fieldSelector": "data.a=b"}, 400,
            '"data.a" is not a known field selector: only "metadata.name", "metadata.namespace"',
            id="field-of-plain-kind"),
        pytest.param(MAPS, {"resourceVersion": "x"}, 400,
            'invalid resource version: resourceVersion: Invalid value: "x": strconv.ParseUint: parsing "x": '
            "invalid syntax", id="revision"),
        pytest.param(MAPS, {"resourceVersionMatch": "Exact"}, 422,
            'ListOptions.meta.k8s.io "" is invalid: resourceVersionMatch: Forbidden: resourceVersionMatch is '
            "forbidden unless resourceVersion is provided", id="match-without-revision"),
        pytest.param(MAPS, {"continue": "!"}, 400,
            "invalid continue token: continue key is not valid: illegal base64 data at input byte 0",
            id="token"),
    ],
)  # fmt: skip
async def test_bad_list_parameters_are_refused(
    api: Api, path: str, query: dict[str, str], code: int, message: str
) -> None:
    answer = await api("GET", path, **query)

    assert (answer.code, answer.body["message"]) == (code, message)


async def test_a_label_selector_that_cannot_be_parsed_is_refused(api: Api) -> None:
    answer = await api("GET", MAPS, labelSelector="a in b")

    assert answer.code == 400
    assert answer.body["message"].startswith("unable to parse requirement: ")


async def test_pages_show_one_state_whatever_is_written_meanwhile(api: Api) -> None:
    await fill(api, "a", "b", "c", "d")

    first = (await api("GET", MAPS, limit="2")).body
    await api("DELETE", f"{MAPS}/c")
    await fill(api, "e")
    second = (await api("GET", MAPS, limit="2", **{"continue": first["metadata"]["continue"]})).body

    assert (names(first), first["metadata"]["remainingItemCount"]) == (["a", "b"], 2)
    assert (names(second), "continue" in second["metadata"]) == (["c", "d"], False)
    assert second["metadata"]["resourceVersion"] == first["metadata"]["resourceVersion"]


async def test_a_list_at_an_exact_revision_shows_the_past(api: Api) -> None:
    await fill(api, "a")
    then = (await api("GET", MAPS)).body["metadata"]["resourceVersion"]
    await fill(api, "b")

    past = await api("GET", MAPS, resourceVersion=then, resourceVersionMatch="Exact")

    assert names(past.body) == ["a"]


@pytest.mark.slow
async def test_a_revision_of_the_future_times_out(api: Api) -> None:
    answer = await api("GET", MAPS, resourceVersion="999999")

    assert (answer.code, answer.body["reason"]) == (504, "Timeout")
    assert answer.body["message"].startswith("Timeout: Too large resource version: 999999, current: ")


async def test_yaml_is_answered_where_it_is_asked_for(api: Api) -> None:
    await fill(api, "a")

    one = await api("GET", f"{MAPS}/a", accept="application/yaml")
    many = await api("GET", MAPS, accept="application/yaml")

    assert one.headers["content-type"] == "application/yaml"
    assert yaml.safe_load(one.body)["data"] == {"a": "b"}
    assert names(yaml.safe_load(many.body)) == ["a"]


async def test_json_is_indented_for_people(api: Api) -> None:
    await fill(api, "a")

    response = await api.transport.request("GET", f"{MAPS}/a", query={"pretty": "true"})

    assert response.body.startswith(b'{\n  "kind": "ConfigMap",\n  "apiVersion": "v1",\n')
    assert json.loads(response.body)["data"] == {"a": "b"}


@pytest.mark.parametrize("accept", ["image/png", "text/html"])
async def test_other_forms_are_not_acceptable(api: Api, accept: str) -> None:
    answer = await api("GET", MAPS, accept=accept)

    assert answer.code == 406
    assert answer.body["message"] == (
        "only the following media types are accepted: "
        "application/json, application/yaml, application/vnd.kubernetes.protobuf"
    )


async def test_the_first_acceptable_form_is_chosen(api: Api) -> None:
    accept = "application/vnd.kubernetes.protobuf,application/json;q=0.5,application/yaml"

    answer = await api("GET", MAPS, accept=accept)

    assert answer.headers["content-type"] == "application/yaml"


async def test_tables_have_columns_and_the_metadata_of_their_rows(api: Api) -> None:
    await api.make(PODS, pod())

    one = (await api("GET", f"{PODS}/web", accept=TABLE)).body
    many = (await api("GET", PODS, accept=TABLE, includeObject="Object")).body

    assert [column["name"] for column in many["columnDefinitions"]][:3] == ["Name", "Ready", "Status"]
    assert one["rows"][0]["cells"][:3] == ["web", "0/1", "Pending"]
    assert one["rows"][0]["object"]["kind"] == "PartialObjectMetadata"
    assert many["rows"][0]["object"]["kind"] == "Pod"
    assert many["metadata"]["resourceVersion"]


async def test_metadata_alone_can_be_asked_for(api: Api) -> None:
    await fill(api, "a")

    one = (await api("GET", f"{MAPS}/a", accept=PARTIAL)).body
    many = (await api("GET", MAPS, accept=PARTIAL_LIST)).body

    assert (one["kind"], one["metadata"]["name"], "data" in one) == ("PartialObjectMetadata", "a", False)
    assert (many["kind"], names(many)) == ("PartialObjectMetadataList", ["a"])


async def test_large_lists_are_compressed_for_remote_clients(server: ApiServer, api: Api) -> None:
    for index in range(3):
        await api.make(MAPS, configmap(f"m{index}", text="x" * 60_000))
    headers = {"accept-encoding": "gzip"}

    near = await api.transport.request("GET", MAPS, headers=headers)
    far = await _from_afar(server, headers | {"authorization": "Bearer secret"})

    assert "content-encoding" not in near.headers
    assert len(far) < 10_000 < len(near.body)


async def _from_afar(server: ApiServer, headers: dict[str, str]) -> bytes:
    """The list's body as a client on another machine receives it."""
    scope = {
        "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET", "path": MAPS,
        "raw_path": MAPS.encode(), "query_string": b"", "client": ("198.51.100.7", 1), "extensions": {},
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    body = bytearray()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Any) -> None:
        body.extend(message.get("body", b""))

    await server.app(scope, receive, send)
    return bytes(body)
