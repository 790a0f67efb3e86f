"""Options of requests that cannot be read or contradict each other, and methods that do not exist."""

from __future__ import annotations

from typing import Any

import pytest

from ..conftest import Api, configmap

MAPS = "/api/v1/namespaces/default/configmaps"
BIG = "99999999999999999999999"
SYNTAX, RANGE = "invalid syntax", "value out of range"


@pytest.mark.parametrize("verb", ["list", "watch", "deletecollection"])
@pytest.mark.parametrize("name", ["limit", "timeoutSeconds"])
@pytest.mark.parametrize(
    ("text", "why"), [("x", SYNTAX), ("", SYNTAX), ("-", SYNTAX), ("1.5", SYNTAX), (BIG, RANGE)]
)
async def test_numbers_that_cannot_be_read_are_refused(
    api: Api, verb: str, name: str, text: str, why: str
) -> None:
    method = "DELETE" if verb == "deletecollection" else "GET"
    query = {name: text} | ({"watch": "1"} if verb == "watch" else {})

    answer = await api(method, MAPS, **query)

    assert (answer.code, answer.body["reason"]) == (400, "BadRequest")
    assert answer.body["message"] == f'strconv.ParseInt: parsing "{text}": {why}'


async def test_a_negative_limit_is_none_and_a_negative_timeout_is_over(api: Api) -> None:
    revision = (await api.make(MAPS, configmap()))["metadata"]["resourceVersion"]

    listed = await api("GET", MAPS, limit="-1", timeoutSeconds="-1")
    watched = await api("GET", MAPS, watch="1", timeoutSeconds="-1", resourceVersion=revision)

    assert len(listed.body["items"]) == 1
    assert (watched.code, watched.body) == (200, b"")


@pytest.mark.parametrize(("text", "why"), [("-1", SYNTAX), ("abc", SYNTAX), (BIG, RANGE)])
@pytest.mark.parametrize("query", [{}, {"watch": "1"}])
async def test_a_revision_that_is_no_number_is_refused(
    api: Api, text: str, why: str, query: dict[str, str]
) -> None:
    answer = await api("GET", MAPS, resourceVersion=text, **query)

    assert answer.code == 400
    assert answer.body["message"] == (
        f'invalid resource version: resourceVersion: Invalid value: "{text}": '
        f'strconv.ParseUint: parsing "{text}": {why}'
    )


@pytest.mark.parametrize(
    ("value", "watches"),
    [("1", True), ("yes", True), ("f", True), ("", True), ("0", False), ("FALSE", False)],
)
async def test_everything_but_false_and_0_is_true(api: Api, value: str, watches: bool) -> None:
    answer = await api("GET", MAPS, watch=value, timeoutSeconds="-1")

    assert (b"" if watches else "ConfigMapList") == (
        answer.body if isinstance(answer.body, bytes) else answer.body["kind"]
    )


@pytest.mark.parametrize(("value", "indented"), [("true", True), ("t", True), ("yes", False), ("0", False)])
async def test_pretty_is_what_go_parses_as_true(api: Api, value: str, indented: bool) -> None:
    answer = await api.transport.request("GET", MAPS, query={"pretty": value})

    assert (b"\n  " in answer.body) is indented


DELETE_INVALID = 'DeleteOptions.meta.k8s.io "" is invalid: '
BOTH = "orphanDependents and deletionPropagation cannot be both set"
POLICIES = 'supported values: "Foreground", "Background", "Orphan", "nil"'


@pytest.mark.parametrize(
    ("options", "fault"),
    [
        ({"orphanDependents": True, "propagationPolicy": "Orphan"},
         f'propagationPolicy: Invalid value: "Orphan": {BOTH}'),
        ({"propagationPolicy": "Later"}, f'propagationPolicy: Unsupported value: "Later": {POLICIES}'),
        ({"dryRun": ["Some"]}, 'dryRun: Unsupported value: "Some": supported values: "All"'),
    ],
)  # fmt: skip
@pytest.mark.parametrize("path", [MAPS, f"{MAPS}/settings"])
async def test_delete_options_are_checked_in_body_and_query(
    api: Api, options: dict[str, Any], fault: str, path: str
) -> None:
    await api.make(MAPS, configmap())
    query = {
        name: value[0] if isinstance(value, list) else str(value).lower() if value is True else value
        for name, value in options.items()
    }

    said = [await api("DELETE", path, options), await api("DELETE", path, **query)]

    for answer in said:
        assert (answer.code, answer.body["message"]) == (422, DELETE_INVALID + fault)
    assert (await api("GET", f"{MAPS}/settings")).code == 200


async def test_a_dry_run_that_is_named_must_be_all(api: Api) -> None:
    answer = await api("POST", MAPS, configmap(), dryRun="")

    assert answer.code == 422
    assert answer.body["message"].endswith('dryRun: Unsupported value: "": supported values: "All"')


@pytest.mark.parametrize(
    ("method", "path"),
    [("HEAD", MAPS), ("HEAD", f"{MAPS}/settings"), ("OPTIONS", MAPS), ("PUT", MAPS), ("POST", f"{MAPS}/a")],
)
async def test_methods_that_a_path_does_not_have(api: Api, method: str, path: str) -> None:
    await api.make(MAPS, configmap())

    answer = await api(method, path)

    assert answer.code == 405
    assert answer.body["message"] == "the server does not allow this method on the requested resource"
    assert answer.body["details"] == {}


@pytest.mark.parametrize(
    ("accept", "code", "kind"),
    [
        ("application/json;as=Table;g=meta.k8s.io;v=v1beta1", 200, "Table"),
        ("application/json;as=Table;g=meta.k8s.io;v=v1alpha1", 406, "Status"),
        ("application/json;as=Table;g=meta.k8s.io;v=v1alpha1,application/json", 200, "ConfigMapList"),
        ("application/json;as=Table", 406, "Status"),
        ("text/html, application/json;q=0.1", 200, "ConfigMapList"),
        ("application/json;q=0.1, application/json;as=Table;g=meta.k8s.io;v=v1;q=0.5", 200, "Table"),
        ("text/plain", 406, "Status"),
    ],
)
async def test_the_best_form_that_is_served(api: Api, accept: str, code: int, kind: str) -> None:
    answer = await api("GET", MAPS, accept=accept)

    assert (answer.code, answer.body["kind"]) == (code, kind)


async def test_a_watch_is_told_which_streams_there_are(api: Api) -> None:
    answer = await api("GET", MAPS, watch="1", accept="application/yaml")

    assert answer.code == 406
    assert b"only the following media types are accepted: application/json;stream=watch" in answer.body


async def test_a_patch_that_does_not_apply_names_nothing(api: Api) -> None:
    await api.make(MAPS, configmap())

    answer = await api(
        "PATCH", f"{MAPS}/settings", [{"op": "remove", "path": "/x"}],
        content_type="application/json-patch+json",
    )  # fmt: skip

    assert (answer.code, answer.body["reason"], answer.body["details"]) == (422, "Invalid", {})


@pytest.mark.parametrize(
    ("accept", "agent", "form"),
    [
        ("application/yaml", "", b"kind: Status\n"),
        ("application/json", "", b'{"kind":"Status"'),
        ("application/json", "curl/8", b'{\n  "kind": "Status"'),
        # What cannot be had must not hide what went wrong.
        ("text/plain", "", b'{"kind":"Status"'),
        ("application/json;as=Table;g=meta.k8s.io;v=v1", "", b'{"kind":"Status"'),
    ],
)
async def test_failures_have_the_form_that_the_client_takes(
    api: Api, accept: str, agent: str, form: bytes
) -> None:
    headers = {"accept": accept, "user-agent": agent}

    answer = await api.transport.request("GET", "/api/v1/gadgets", headers=headers)

    assert answer.status == 404
    assert answer.body.startswith(form)
    assert answer.headers["content-type"] == (accept if "yaml" in accept else "application/json")


async def test_a_dry_run_that_is_none_is_counted_as_such(api: Api) -> None:
    await api("POST", MAPS, configmap(), dryRun="Some")

    text = (await api("GET", "/metrics")).body.decode()

    assert 'apiserver_request_total{code="422",component="apiserver",dry_run="invalid"' in text
