"""Laws that every accepted write obeys, whatever is written: made-up sequences of writes through HTTP."""

from __future__ import annotations

import copy
import itertools
import json
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from .conftest import Answer, Api
from .extensions.conftest import CRDS, GROUP, WIDGETS, crd, established, version

pytestmark = pytest.mark.slow

DEPLOYMENTS = "/apis/apps/v1/namespaces/default/deployments"
APPLY = "application/apply-patch+yaml"
JSON = "application/json-patch+json"
MERGE = "application/merge-patch+json"
STRATEGIC = "application/strategic-merge-patch+json"

LAWS = settings(
    max_examples=60,
    deadline=None,
    derandomize=True,
    # Explaining a failure takes longer than finding it.
    phases=[Phase.explicit, Phase.generate, Phase.shrink],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
names = itertools.count()

words = st.sampled_from(["a", "b", "c"])
texts = st.dictionaries(words, words, max_size=3)
managers = st.sampled_from(["one", "two"])


def optional(**fields: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=fields)


ports = st.lists(
    st.fixed_dictionaries(
        {"containerPort": st.integers(1, 3)}, optional={"protocol": st.sampled_from(["TCP", "UDP"])}
    ),
    max_size=3,
    unique_by=lambda port: port["containerPort"],
)
env = st.lists(
    st.fixed_dictionaries({"name": words}, optional={"value": words}),
    max_size=3,
    unique_by=lambda e: e["name"],
)
containers = st.lists(
    st.fixed_dictionaries(
        {"name": words, "image": words}, optional={"env": env, "ports": ports, "args": st.lists(words)}
    ),
    min_size=1,
    max_size=3,
    unique_by=lambda container: container["name"],
)
specs = optional(
    replicas=st.integers(0, 3),
    paused=st.booleans(),
    minReadySeconds=st.integers(0, 3),
    revisionHistoryLimit=st.integers(0, 3),
)
pod_specs = st.fixed_dictionaries({"containers": containers}, optional={"nodeSelector": texts})


def deployment(name: str, spec: Any, pod_spec: Any, **metadata: Any) -> dict[str, Any]:
    labels = {"app": "web"}
    template = {"metadata": {"labels": labels}, "spec": pod_spec}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name} | metadata,
        "spec": {"selector": {"matchLabels": labels}, "template": template} | spec,
    }


def fresh() -> str:
    return f"law-{next(names)}"


async def apply(api: Api, path: str, config: Any, manager: str, **query: str) -> Answer:
    return await api("PATCH", path, config, content_type=APPLY, fieldManager=manager, **query)


def timeless(obj: Any) -> Any:
    """Without what every write to the store changes, and without the order of managers, which is by time."""
    obj = copy.deepcopy(obj)
    for name in ("name", "uid", "creationTimestamp", "resourceVersion", "generation"):
        obj["metadata"].pop(name, None)
    for entry in obj["metadata"].get("managedFields", ()):
        entry.pop("time", None)
    obj["metadata"].get("managedFields", []).sort(key=lambda entry: json.dumps(entry, sort_keys=True))
    return obj


@LAWS
@given(before=st.none() | specs, spec=specs, pod_spec=pod_specs, labels=texts, manager=managers)
async def test_applying_is_idempotent(
    api: Api, before: Any, spec: Any, pod_spec: Any, labels: Any, manager: str
) -> None:
    name = fresh()
    if before is not None:
        await api.make(DEPLOYMENTS, deployment(name, before, {"containers": [{"name": "z", "image": "z"}]}))
    config = deployment(name, spec, pod_spec, labels=labels)

    first = await apply(api, f"{DEPLOYMENTS}/{name}", config, manager, force="true")
    second = await apply(api, f"{DEPLOYMENTS}/{name}", config, manager)

    assert first.code in (200, 201), first.body
    assert (second.code, second.body) == (200, first.body)


@LAWS
@given(
    pod_spec=pod_specs,
    one=optional(replicas=st.integers(0, 3), paused=st.booleans()),
    two=optional(minReadySeconds=st.integers(0, 3), revisionHistoryLimit=st.integers(0, 3)),
    labels=st.dictionaries(st.sampled_from(["a", "b"]), words),
    more=st.dictionaries(st.sampled_from(["c", "d"]), words),
)
async def test_applies_of_disjoint_fields_commute(
    api: Api, pod_spec: Any, one: Any, two: Any, labels: Any, more: Any
) -> None:
    results = []
    for turn in (False, True):
        name = fresh()
        await apply(api, f"{DEPLOYMENTS}/{name}", deployment(name, {}, pod_spec), "base")
        head = {"apiVersion": "apps/v1", "kind": "Deployment"}
        configs = [
            ("one", head | {"metadata": {"labels": labels}, "spec": one}),
            ("two", head | {"metadata": {"labels": more}, "spec": two}),
        ]
        for manager, config in reversed(configs) if turn else configs:
            answer = await apply(api, f"{DEPLOYMENTS}/{name}", config, manager)
            assert answer.code == 200, answer.body
        results.append(timeless(answer.body))

    assert results[0] == results[1]


@LAWS
@given(spec=specs, pod_spec=pod_specs, changed=specs, other=pod_specs)
async def test_what_an_applier_lists_no_more_and_nobody_else_manages_goes(
    api: Api, spec: Any, pod_spec: Any, changed: Any, other: Any
) -> None:
    """However an applier came to its configuration, the object is as if it had been the first."""
    moved, direct = fresh(), fresh()

    await apply(api, f"{DEPLOYMENTS}/{moved}", deployment(moved, spec, pod_spec), "one")
    last = await apply(api, f"{DEPLOYMENTS}/{moved}", deployment(moved, changed, other), "one")
    once = await apply(api, f"{DEPLOYMENTS}/{direct}", deployment(direct, changed, other), "one")

    assert last.code == 200, last.body
    assert timeless(last.body) == timeless(once.body)


relabelings = st.fixed_dictionaries({"labels": st.dictionaries(words, st.none() | words)})
merges = st.fixed_dictionaries({"spec": specs}, optional={"metadata": relabelings})
strategics = st.fixed_dictionaries(
    {"spec": st.fixed_dictionaries({"template": st.fixed_dictionaries({"spec": pod_specs})})}
)
additions = st.lists(
    st.builds(lambda value: {"op": "add", "path": "/spec/replicas", "value": value}, st.integers(-1, 3)),
    max_size=2,
)
writes = st.one_of(
    st.tuples(st.just(MERGE), merges),
    st.tuples(st.just(STRATEGIC), strategics),
    st.tuples(st.just(JSON), additions),
    st.tuples(st.just(APPLY), specs),
    st.tuples(st.just("PUT"), specs),
)


async def write(api: Api, path: str, name: str, kind: str, what: Any, manager: str) -> Answer:
    if kind == "PUT":
        body = (await api("GET", path)).body
        body["spec"] |= what
        return await api("PUT", path, body, fieldManager=manager)
    if kind == APPLY:
        config = {"apiVersion": "apps/v1", "kind": "Deployment", "spec": what}
        return await apply(api, path, config, manager)
    return await api("PATCH", path, what, content_type=kind, fieldManager=manager)


@LAWS
@given(pod_spec=pod_specs, steps=st.lists(st.tuples(writes, managers), max_size=6))
async def test_reading_gives_what_the_last_accepted_write_answered(
    api: Api, pod_spec: Any, steps: list[Any]
) -> None:
    name = fresh()
    path = f"{DEPLOYMENTS}/{name}"
    shown = await api.make(DEPLOYMENTS, deployment(name, {}, pod_spec))

    for (kind, what), manager in steps:
        answer = await write(api, path, name, kind, what, manager)
        assert answer.code in (200, 409, 422), answer.body
        found = (await api("GET", path)).body
        if answer.code == 200:
            same = timeless(answer.body) == timeless(shown)
            assert same == (
                answer.body["metadata"]["resourceVersion"] == shown["metadata"]["resourceVersion"]
            )
            assert answer.body["metadata"]["generation"] - shown["metadata"]["generation"] == int(
                answer.body["spec"] != shown["spec"]
            )
            shown = answer.body
        assert found == shown


@LAWS
@given(
    pod_spec=pod_specs,
    patches=st.lists(st.fixed_dictionaries({"spec": specs, "metadata": relabelings}), min_size=1, max_size=4),
)
async def test_merge_patches_in_turn_do_what_one_does_that_says_all(
    api: Api, pod_spec: Any, patches: list[Any]
) -> None:
    turn, once = fresh(), fresh()
    for name in (turn, once):
        await api.make(DEPLOYMENTS, deployment(name, {}, pod_spec))
    all_of_them: dict[str, Any] = {"spec": {}, "metadata": {"labels": {}}}
    for patch in patches:
        last = await api("PATCH", f"{DEPLOYMENTS}/{turn}", patch, content_type=MERGE)
        all_of_them["spec"] |= patch["spec"]
        all_of_them["metadata"]["labels"] |= patch["metadata"]["labels"]

    answer = await api("PATCH", f"{DEPLOYMENTS}/{once}", all_of_them, content_type=MERGE)

    assert timeless(last.body)["spec"] == timeless(answer.body)["spec"]
    assert last.body["metadata"].get("labels", {}) == answer.body["metadata"].get("labels", {})


@LAWS
@given(pod_spec=pod_specs, patch=pod_specs, kind=st.sampled_from([MERGE, STRATEGIC]))
async def test_a_patch_again_changes_nothing(api: Api, pod_spec: Any, patch: Any, kind: str) -> None:
    name = fresh()
    await api.make(DEPLOYMENTS, deployment(name, {}, pod_spec))
    body = {"spec": {"template": {"spec": patch}}}

    first = await api("PATCH", f"{DEPLOYMENTS}/{name}", body, content_type=kind, fieldManager="me")
    second = await api("PATCH", f"{DEPLOYMENTS}/{name}", body, content_type=kind, fieldManager="me")

    assert first.code in (200, 422), first.body
    if first.code == 200:
        assert second.body == first.body


@pytest.fixture
async def preserving(api: Api) -> Api:
    """An API with a kind of which only `spec.anything` keeps what its schema does not know."""
    await api.make(CRDS, crd(versions=[version(subresources={"status": {}})]))
    await established(api)
    return api


values = st.recursive(
    st.booleans() | st.integers(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=6,
)


changes = st.tuples(
    st.sampled_from(["PUT", JSON, APPLY, "status"]),
    st.dictionaries(st.sampled_from(["x", "y"]), values, max_size=2),
)


@LAWS
@given(kept=st.dictionaries(words, values, max_size=3), steps=st.lists(changes, max_size=4))
async def test_no_write_loses_unknown_fields_where_they_are_kept(
    preserving: Api, kept: Any, steps: list[Any]
) -> None:
    api, name = preserving, fresh()
    path = f"{WIDGETS}/{name}"
    head = {"apiVersion": f"{GROUP}/v1", "kind": "Widget"}
    spec = {"color": "red", "anything": kept, "unknown": 1}
    await api.make(WIDGETS, head | {"metadata": {"name": name}, "spec": spec})
    wanted = dict(kept)

    for kind, fields in steps:
        if kind == JSON:
            patch: Any = [
                {"op": "add", "path": f"/spec/anything/{key}", "value": value}
                for key, value in fields.items()
            ]
            answer = await api("PATCH", path, patch, content_type=JSON)
            wanted |= fields
        elif kind == "status":
            patch = {"status": {"phase": "Ready"}, "spec": {"anything": {"lost": 1}}}
            answer = await api("PATCH", f"{path}/status", patch, content_type=MERGE)
        elif kind == APPLY:
            config = head | {"spec": {"color": "blue"}}
            answer = await apply(api, path, config, "applier", force="true")
        else:
            body = (await api("GET", path)).body
            body["spec"]["anything"] |= fields
            answer = await api("PUT", path, body)
            wanted |= fields
        assert answer.code == 200, answer.body

    found = (await api("GET", path)).body["spec"]
    assert found["anything"] == wanted
    assert "unknown" not in found
