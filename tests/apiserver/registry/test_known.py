"""What was found sound is not looked at again, and nobody can tell."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from kplane.api.field import ROOT
from kplane.apiserver.registry.podspec import known, pathwarnings, projections, validation, warnings
from kplane.apiserver.registry.podspec.defaults import default_spec
from kplane.apiserver.registry.podspec.known import Known
from kplane.apiserver.registry.podspec.likeness import likeness
from kplane.apiserver.registry.podspec.validation import validate_spec
from kplane.apiserver.registry.podspec.warnings import pod_warnings

MOUNT = {"name": "data", "mountPath": "/data"}
HANDLER: dict[str, Any] = {"httpGet": {"path": "/", "port": 80}}
PARTS: dict[str, list[Any]] = {
    "name": ["a", "b", "a.b", ""],
    "image": ["app:1", " app:1", ""],
    "ports": [[{"containerPort": 80}], [{"containerPort": 0}], [{"containerPort": 80, "hostPort": 80}]],
    "env": [[{"name": "A", "value": "b"}], [{"name": "1="}]],
    "volumeMounts": [[MOUNT], [MOUNT, MOUNT], [{**MOUNT, "name": "other"}]],
    "volumeDevices": [[{"name": "data", "devicePath": "/dev/x"}]],
    "resources": [{"requests": {"cpu": "1"}}, {"requests": {"cpu": "2"}, "limits": {"cpu": "1"}}],
    "livenessProbe": [HANDLER, {**HANDLER, "successThreshold": 2}],
    "lifecycle": [{"preStop": {"sleep": {"seconds": 20}}}, {"preStop": {}}],
    "resizePolicy": [[{"resourceName": "cpu", "restartPolicy": "RestartContainer"}]],
}
"""Fields of a container, sound and not; some are sound in some pods alone."""

ENTRY = {"path": "token", "expirationSeconds": 3607}
PROJECTED: list[Any] = [
    {"sources": [{"serviceAccountToken": ENTRY}]},
    {"sources": [{"serviceAccountToken": {**ENTRY, "expirationSeconds": 1}}]},
    {"sources": [{"serviceAccountToken": ENTRY}, {"configMap": {"name": "a", "items": [{"path": "token"}]}}]},
    {"sources": [{}]},
]
_REQUIRED = ("name", "image")
CONTAINERS = st.fixed_dictionaries(
    {name: st.sampled_from(PARTS[name]) for name in _REQUIRED},
    optional={name: st.sampled_from(PARTS[name]) for name in PARTS if name not in _REQUIRED},
)
SPECS = st.fixed_dictionaries(
    {
        "containers": st.lists(CONTAINERS, min_size=1, max_size=3),
        "restartPolicy": st.sampled_from(("Always", "Never")),
        "terminationGracePeriodSeconds": st.sampled_from((10, 30)),
        "volumes": st.builds(
            lambda name, source: [
                {"name": "data", "emptyDir": {}},
                {"name": name, "projected": source},
            ],
            st.sampled_from(("token", "other", "data", "A", "")),
            st.sampled_from(PROJECTED),
        ),
    },
    optional={
        "hostname": st.sampled_from(("web-0", "web-1", "web.0", "")),
        "nodeName": st.sampled_from(("one", "two", "A", "")),
        "hostAliases": st.just([{"ip": "10.0.0.1"}] * 2),
    },
)


def found(spec: dict[str, Any], *, is_pod: bool) -> list[object]:
    made = copy.deepcopy(spec)
    default_spec(made)
    return [*validate_spec(made, ROOT.spec, is_pod=is_pod), *pod_warnings({"spec": made}, ROOT)]


@pytest.mark.slow
@settings(max_examples=50)
@given(st.lists(st.tuples(SPECS, st.booleans()), min_size=2, max_size=8))
def test_the_same_is_found_whatever_was_seen_before(specs: list[tuple[dict[str, Any], bool]]) -> None:
    alone: list[list[object]] = []
    for spec, is_pod in specs:
        with pytest.MonkeyPatch.context() as patch:
            for module in (validation, projections):
                patch.setattr(module, "_SOUND", Known())
            for module in (warnings, pathwarnings):
                patch.setattr(module, "_HARMLESS", Known())
            alone.append(found(spec, is_pod=is_pod))

    for (spec, is_pod), expected in zip(specs, alone, strict=True):
        assert found(spec, is_pod=is_pod) == expected


def renamed(spec: dict[str, Any], **names: str) -> dict[str, Any]:
    made = copy.deepcopy(spec)
    for entry in (*made["volumes"], *made["containers"][0]["volumeMounts"]):
        entry["name"] = names.get(entry["name"], entry["name"])
    return made


POD: dict[str, Any] = {
    "containers": [{"name": "a", "image": "b", "volumeMounts": [MOUNT]}],
    "volumes": [{"name": "data", "emptyDir": {}}, {"name": "token", "projected": PROJECTED[0]}],
}


def test_pods_of_a_workload_are_alike() -> None:
    own = {"hostname": "web-0", "nodeName": "one"}

    assert likeness(renamed(POD, data="x", token="y")) == likeness(POD)
    assert likeness({**POD, **own}) == likeness({**POD, **own, "hostname": "web-1", "nodeName": "two"})


@pytest.mark.parametrize(
    "other",
    [
        pytest.param({**POD, "volumes": POD["volumes"][::-1]}, id="mounts another volume"),
        pytest.param(renamed(POD, token="data"), id="name repeated"),
        pytest.param(renamed(POD, data="A"), id="unsound name"),
        pytest.param({**POD, "volumes": renamed(POD, data="x")["volumes"]}, id="mounts no volume"),
        pytest.param({**POD, "hostname": "a"}, id="hostname"),
        pytest.param({**POD, "nodeName": "A"}, id="unsound node"),
        pytest.param({**POD, "initContainers": POD["containers"]}, id="more containers"),
    ],
)
def test_what_rules_tell_apart_is_not_alike(other: dict[str, Any]) -> None:
    assert likeness(other) != likeness(POD)


def test_likeness_changes_no_spec() -> None:
    spec = copy.deepcopy(POD)

    likeness(spec)

    assert spec == POD


def test_only_parts_without_findings_are_known() -> None:
    memory = Known()

    assert [*memory.look("sound", iter(()))] == []
    assert [*memory.look("faulty", iter(("fault",)))] == ["fault"]

    assert [*memory.look("sound", iter(("never asked",)))] == []
    assert [*memory.look("faulty", iter(("fault",)))] == ["fault"]


def test_a_look_that_was_broken_off_leaves_nothing_known() -> None:
    memory = Known()

    next(iter(memory.look("faulty", iter(("one", "two")))))

    assert [*memory.look("faulty", iter(("one", "two")))] == ["one", "two"]


def test_large_parts_are_not_remembered() -> None:
    memory, large = Known(), "x" * (known.ROOM // 16)
    assert not [*memory.look(large, iter(()))]

    assert [*memory.look(large, iter(("asked",)))] == ["asked"]


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(known, "ROOM", 1600)
    memory = Known()

    for number in range(1000):
        assert not [*memory.look(f"{number:094}", iter(()))]

    assert 100 < sum(map(len, memory._parts)) <= known.ROOM
    assert not [*memory.look(f"{999:094}", iter(("never asked",)))]
