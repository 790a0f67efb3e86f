"""Flow control follows its API objects, and says of FlowSchemas whether their level is there."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest

from kplane.apiserver.bootstrap import FLOW_SECONDS
from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.config import parse as parse_config
from kplane.apiserver.flowcontrol.gate import FairGate
from kplane.apiserver.server import ApiServer
from kplane.runtime.process import Fatal
from kplane.testing.clock import VirtualClock
from kplane.testing.waiting import eventually

from ..conftest import Api
from .conftest import FLOWS, MAPS

MERGE = "application/merge-patch+json"
NOTE = "apf.kubernetes.io/autoupdate-spec"
ABOUT = "This FlowSchema references the PriorityLevelConfiguration object named"


def schema(name: str, to: str, precedence: int = 50) -> dict[str, Any]:
    every = {"verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"]}
    rule = {"subjects": [{"kind": "User", "user": {"name": "someone"}}], "resourceRules": [every]}
    spec = {"priorityLevelConfiguration": {"name": to}, "matchingPrecedence": precedence, "rules": [rule]}
    return {"metadata": {"name": name}, "spec": spec}


def level(name: str) -> dict[str, Any]:
    limited = {"nominalConcurrencyShares": 1, "limitResponse": {"type": "Reject"}}
    return {"metadata": {"name": name}, "spec": {"type": "Limited", "limited": limited}}


async def dangling(api: Api, name: str, status: str) -> dict[str, Any]:
    """The condition, once it has that status."""

    async def told() -> Any:
        body = (await api("GET", f"{FLOWS}/flowschemas/{name}")).body
        found = (body.get("status") or {}).get("conditions") or ()
        return next((each for each in found if each["status"] == status), None)

    return await eventually(told)


async def taken(server: ApiServer, uid: str) -> bool | None:
    """Whether requests of the ordinary user belong to the schema with this uid."""
    headers = (await Api(server.app, "plain")("GET", MAPS)).headers
    return headers["x-kubernetes-pf-flowschema-uid"] == uid or None


async def test_every_schema_says_from_the_beginning_that_its_level_is_there(api: Api) -> None:
    for item in (await api("GET", f"{FLOWS}/flowschemas")).body["items"]:
        to = item["spec"]["priorityLevelConfiguration"]["name"]
        (condition,) = item["status"]["conditions"]
        assert condition.pop("lastTransitionTime")
        assert condition == {
            "type": "Dangling",
            "status": "False",
            "reason": "Found",
            "message": f'{ABOUT} "{to}" and it exists',
        }
        managers = {entry["manager"]: entry for entry in item["metadata"]["managedFields"]}
        assert managers["api-priority-and-fairness-config-producer-v1"]["operation"] == "Update"
        consumer = managers["api-priority-and-fairness-config-consumer-v1"]
        assert (consumer["operation"], consumer["subresource"]) == ("Apply", "status")


async def test_a_schema_without_its_level_says_so_and_is_passed_over(server: ApiServer, api: Api) -> None:
    made = await api.make(f"{FLOWS}/flowschemas", schema("mine", "later"))

    lost = await dangling(api, "mine", "True")
    assert (lost["reason"], lost["message"]) == ("NotFound", f'{ABOUT} "later" but there is no such object')
    assert not await taken(server, made["metadata"]["uid"])

    await api.make(f"{FLOWS}/prioritylevelconfigurations", level("later"))
    found = await dangling(api, "mine", "False")
    assert found["message"] == f'{ABOUT} "later" and it exists'
    await eventually(lambda: taken(server, made["metadata"]["uid"]))

    await api("DELETE", f"{FLOWS}/prioritylevelconfigurations/later")
    await dangling(api, "mine", "True")


async def test_changes_of_schemas_are_followed(server: ApiServer, api: Api) -> None:
    await api.make(f"{FLOWS}/prioritylevelconfigurations", level("mine"))
    first = await api.make(f"{FLOWS}/flowschemas", schema("first", "mine", 60))
    second = await api.make(f"{FLOWS}/flowschemas", schema("second", "mine", 70))
    await eventually(lambda: taken(server, first["metadata"]["uid"]))

    path = f"{FLOWS}/flowschemas/second"
    await api("PATCH", path, {"spec": {"matchingPrecedence": 55}}, content_type=MERGE)
    await eventually(lambda: taken(server, second["metadata"]["uid"]))

    await api("DELETE", path)
    await eventually(lambda: taken(server, first["metadata"]["uid"]))


async def test_a_status_changes_nothing_about_requests(server: ApiServer, api: Api) -> None:
    gate = server._flows.gate
    assert isinstance(gate, FairGate)
    await Api(server.app, "plain")("GET", MAPS)
    verdicts = dict(gate.control._verdicts)
    status = {"status": {"conditions": [{"type": "Dangling", "status": "Unknown"}]}}

    await api("PATCH", f"{FLOWS}/flowschemas/probes/status", status, content_type=MERGE)
    await dangling(api, "probes", "False")

    assert all(gate.control._verdicts.get(shape) is flow for shape, flow in verdicts.items())
    assert verdicts


async def test_seats_follow_shares(api: Api) -> None:
    path = f"{FLOWS}/prioritylevelconfigurations/workload-low"

    async def nominal() -> float:
        text = (await api("GET", "/metrics")).body.decode()
        prefix = 'apiserver_flowcontrol_nominal_limit_seats{priority_level="workload-low"} '
        return next(float(line.removeprefix(prefix)) for line in text.splitlines() if line.startswith(prefix))

    assert await nominal() == 245
    spec = {"limited": {"nominalConcurrencyShares": 855}}
    await api("PATCH", path, {"spec": spec}, content_type=MERGE)

    async def more() -> bool | None:
        return await nominal() == 513 or None

    assert await eventually(more)


async def test_two_servers_agree_on_the_conditions(lasting: ApiServerConfig) -> None:
    async with ApiServer(lasting):
        pass
    async with ApiServer(lasting) as server:
        items = (await Api(server.app)("GET", f"{FLOWS}/flowschemas")).body["items"]

    # Nothing was written again.
    assert all(len(item["status"]["conditions"]) == 1 for item in items)
    times = {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in items}
    async with ApiServer(lasting) as server:
        again = (await Api(server.app)("GET", f"{FLOWS}/flowschemas")).body["items"]
    assert {item["metadata"]["name"]: item["metadata"]["resourceVersion"] for item in again} == times


async def test_conditions_that_somebody_keeps_changing_are_left_for_a_while(config: ApiServerConfig) -> None:
    clock = VirtualClock()
    status = {"status": {"conditions": [{"type": "Dangling", "status": "Unknown"}]}}
    path = f"{FLOWS}/flowschemas/global-default/status"
    async with ApiServer(config, clock) as server:
        api = Api(server.app)

        async def fight() -> str:
            await api("PATCH", path, status, content_type=MERGE)
            await clock.idle()
            body = (await api("GET", path)).body
            return str(body["status"]["conditions"][0]["status"])

        for _ in range(5):
            await fight()
            await dangling(api, "global-default", "False")
        left = [await fight() for _ in range(3)]
        await clock.advance(71)
        yielded = await dangling(api, "global-default", "False")

    assert left[-1] == "Unknown"
    assert yielded["reason"] == "Found"


@pytest.mark.parametrize(("note", "kept"), [("t", True), ("f", False), ("what", False), (None, False)])
async def test_what_is_suggested_no_more_goes_if_it_was_kept_up_to_date(
    config: ApiServerConfig, note: str | None, kept: bool
) -> None:
    clock = VirtualClock()
    async with ApiServer(config, clock) as server:
        api = Api(server.app)
        obj = schema("outdated", "exempt")
        if note is not None:
            obj["metadata"]["annotations"] = {NOTE: note}
        await api.make(f"{FLOWS}/flowschemas", obj)
        last = schema("zzz", "exempt")
        last["metadata"]["annotations"] = {NOTE: "true"}
        await api.make(f"{FLOWS}/flowschemas", last)

        for name in ("outdated", "zzz"):
            await dangling(api, name, "False")

        async def gone() -> bool | None:
            return (await api("GET", f"{FLOWS}/flowschemas/zzz")).code == 404 or None

        await clock.advance(FLOW_SECONDS + 1)
        await eventually(gone)
        found = await api("GET", f"{FLOWS}/flowschemas/outdated")

    assert found.code == (404 if kept else 200)


async def test_annotations_say_what_is_kept_up_to_date(config: ApiServerConfig) -> None:
    clock = VirtualClock()
    names = ("catch-all", "probes", "global-default")
    async with ApiServer(config, clock) as server:
        api = Api(server.app)
        for name in names:
            note = {"metadata": {"annotations": {NOTE: "false" if name == "catch-all" else None}}}
            await api("PATCH", f"{FLOWS}/flowschemas/{name}", note, content_type=MERGE)
        spec = {"spec": {"matchingPrecedence": 8000}}
        await api("PATCH", f"{FLOWS}/flowschemas/global-default", spec, content_type=MERGE)
        await clock.advance(FLOW_SECONDS + 1)

        async def noted(name: str) -> str | None:
            metadata = (await api("GET", f"{FLOWS}/flowschemas/{name}")).body["metadata"]
            said: str | None = (metadata.get("annotations") or {}).get(NOTE)
            # The mandatory one says so again.
            return None if name == "catch-all" and said == "false" else said

        found = [await eventually(partial(noted, name)) for name in names]
        changed = (await api("GET", f"{FLOWS}/flowschemas/global-default")).body["spec"]

    # The first is mandatory, the second was never changed, the third was.
    assert found == ["true", "true", "false"]
    assert changed["matchingPrecedence"] == 8000


def test_flags_have_upstreams_names_and_defaults() -> None:
    plain = parse_config(["--storage-dir", "/nowhere"])
    flags = ["--enable-priority-and-fairness=false", "--max-requests-inflight=7"]
    changed = parse_config(["--storage-dir", "/nowhere", *flags, "--max-mutating-requests-inflight=0"])

    fields = ("enable_priority_and_fairness", "max_requests_inflight", "max_mutating_requests_inflight")
    assert [getattr(plain, field) for field in fields] == [True, 400, 200]
    assert [getattr(changed, field) for field in fields] == [False, 7, 0]


@pytest.mark.parametrize(
    "flags",
    [
        ["--max-requests-inflight=-1"],
        ["--max-mutating-requests-inflight=many"],
        ["--enable-priority-and-fairness=perhaps"],
        ["--max-requests-inflight=0", "--max-mutating-requests-inflight=0"],
    ],
)
def test_flags_that_make_no_sense_are_refused(flags: list[str]) -> None:
    with pytest.raises(Fatal):
        parse_config(["--storage-dir", "/nowhere", *flags])
