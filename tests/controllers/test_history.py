"""Revisions: recognised by template, numbered in order, few enough, and named without clashes."""

from __future__ import annotations

from typing import Any

import pytest

from kplane.api.resource import Object
from kplane.api.types.apps import ControllerRevision, StatefulSet
from kplane.controllers.history import HASH_LABEL, History, find, revision_body, revision_hash, superfluous
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import APP, as_view, make_object, make_template


def make_owner(image: str = "web:1") -> Object:
    spec = {"selector": {"matchLabels": dict(APP)}, "template": make_template(image=image)}
    return make_object("apps/v1", "StatefulSet", "web", "default", spec=spec, status={})


def make_revision(name: str, number: int, image: str, **options: Any) -> Object:
    data = {"spec": {"template": {**make_template(image=image), "$patch": "replace"}}}
    return make_object(
        "apps/v1", "ControllerRevision", name, "default", data=data, revision=number, **options
    )


def views(*revisions: Object) -> list[ControllerRevision]:
    return [as_view(ControllerRevision, entry) for entry in revisions]


@pytest.mark.parametrize(
    ("revisions", "expected"),
    [
        pytest.param([], (None, 1), id="the-first"),
        pytest.param([("a", 4, "web:2")], (None, 5), id="a-new-one"),
        pytest.param([("a", 4, "web:1")], ("a", 4), id="known"),
        pytest.param([("a", 4, "web:1"), ("b", 6, "web:2")], ("a", 7), id="rolled-back-to"),
        pytest.param([("a", 4, "web:1"), ("b", 6, "web:1")], ("b", 6), id="the-newest-of-equals"),
    ],
)
def test_a_template_is_found_among_revisions(
    revisions: list[tuple[str, int, str]], expected: tuple[str | None, int]
) -> None:
    found, number = find(make_template(), views(*(make_revision(*entry) for entry in revisions)))

    assert (found.metadata.name if found else None, number) == expected


@pytest.mark.parametrize(
    ("limit", "live", "expected"),
    [
        pytest.param(None, (), [], id="unlimited"),
        pytest.param(2, (), ["a"], id="oldest-first"),
        pytest.param(0, (), ["a", "b", "c"], id="none-kept"),
        pytest.param(2, ("a",), ["b"], id="live-ones-stay"),
    ],
)
def test_revisions_beyond_the_limit_are_superfluous(
    limit: int | None, live: tuple[str, ...], expected: list[str]
) -> None:
    old = views(*(make_revision(name, number, name) for number, name in ((3, "c"), (1, "a"), (2, "b"))))

    assert [entry.metadata.name for entry in superfluous(old, live, limit)] == expected


async def test_a_name_that_is_taken_by_another_template_is_avoided(cluster: FakeCluster) -> None:
    body = make_owner()
    owner = as_view(StatefulSet, body)
    taken = f"web-{revision_hash(owner.spec.template, 0)}"
    cluster.load(body, make_revision(taken, 1, "other", owner=body))

    created, count = await History(cluster.context(), HASH_LABEL).update_revision(owner, [])

    assert count == 1
    assert created.metadata.name == f"web-{revision_hash(owner.spec.template, 1)}"


async def test_a_revision_that_the_cache_lacks_is_used_as_it_is(cluster: FakeCluster) -> None:
    owner = as_view(StatefulSet, make_owner())
    cluster.load(make_owner())
    history = History(cluster.context(), HASH_LABEL)
    first, _ = await history.update_revision(owner, [])

    again, count = await history.update_revision(owner, [])

    assert (again.metadata.uid, count) == (first.metadata.uid, None)


def test_a_revision_is_a_patch_that_kubectl_can_apply() -> None:
    owner = as_view(StatefulSet, make_owner())

    body = revision_body(owner, 3, "abc", HASH_LABEL)

    assert body["metadata"]["labels"] == {**APP, HASH_LABEL: "abc"}
    assert body["data"]["spec"]["template"]["$patch"] == "replace"
    assert body["revision"] == 3
    assert body["metadata"]["ownerReferences"][0]["controller"]


@pytest.mark.parametrize(
    ("created", "expected"),
    [
        pytest.param({}, "776999688b", id="since-1.34"),
        pytest.param({"creationTimestamp": None}, "c77f6d978", id="before"),
    ],
)
def test_a_revision_is_called_as_upstream_would_call_it(created: Object, expected: str) -> None:
    container = {
        "name": "test",
        "image": "test",
        "imagePullPolicy": "Always",
        "resources": {},
        "terminationMessagePath": "/dev/termination-log",
        "terminationMessagePolicy": "File",
    }
    template = {
        "metadata": {"labels": {"app": "foo"}, "annotations": {"test": "value"}, **created},
        "spec": {
            "containers": [container],
            "restartPolicy": "Always",
            "terminationGracePeriodSeconds": 30,
            "dnsPolicy": "ClusterFirst",
            "securityContext": {},
            "schedulerName": "default-scheduler",
        },
    }

    assert revision_hash(template, 0) == expected


def test_the_hash_of_a_revision_is_of_the_bytes_that_go_writes() -> None:
    # FNV-1 of {"spec":{"template":{"$patch":"replace","spec":{"command":"a \\u0026\\u0026 b"}}}}0
    assert revision_hash({"spec": {"command": "a && b"}}, 0) == "59ff95cb85"
