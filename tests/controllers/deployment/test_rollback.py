"""Going back to a former template because an annotation says so."""

from __future__ import annotations

import pytest

from kplane.api.patches import merge
from kplane.api.resource import Object
from kplane.api.types import Deployment
from kplane.controllers.deployment.history import REVISION, ROLLBACK
from kplane.controllers.deployment.rollback import difference
from kplane.testing.cluster import FakeCluster
from kplane.testing.objects import make_deployment, make_template

from .test_rollout import KEY, change, finish, run, sizes, stored


def annotate(cluster: FakeCluster, **annotations: str) -> None:
    body = cluster.get(Deployment.API.as_type(dict), KEY)
    assert body is not None
    present = body["metadata"].get("annotations", {})
    named = {ROLLBACK if name == "to" else name: value for name, value in annotations.items()}
    cluster.load(body | {"metadata": body["metadata"] | {"annotations": present | named}})


async def with_two_revisions(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1))
    annotate(cluster, cause="first")
    run(cluster)
    await finish(cluster)
    annotate(cluster, cause="second", more="yes")
    change(cluster, template=make_template(image="web:2"))
    await finish(cluster)


def told(cluster: FakeCluster) -> list[tuple[str, str, str]]:
    return [
        (event.type, event.reason, event.message)
        for event in cluster.events()
        if event.reason.startswith("DeploymentRollback")
    ]


@pytest.mark.parametrize("to", ["1", "0"])
async def test_the_template_of_a_former_revision_comes_back(cluster: FakeCluster, to: str) -> None:
    await with_two_revisions(cluster)

    annotate(cluster, to=to)
    await finish(cluster)

    assert sizes(cluster) == {"web:1": 1, "web:2": 0}
    annotations = stored(cluster).metadata.annotations
    assert ROLLBACK not in annotations
    assert (annotations["cause"], "more" in annotations, annotations[REVISION]) == ("first", False, "3")
    assert told(cluster) == [("Normal", "DeploymentRollback", 'Rolled back deployment "web" to revision 1')]


@pytest.mark.parametrize(
    ("to", "reason", "message"),
    [
        pytest.param(
            "7", "DeploymentRollbackRevisionNotFound",
            "Unable to find the revision to rollback to.", id="none",
        ),
        pytest.param(
            "2", "DeploymentRollbackTemplateUnchanged",
            'The rollback revision contains the same template as current deployment "web"', id="the-same",
        ),
    ],
)  # fmt: skip
async def test_where_there_is_no_way_back_the_annotation_goes(
    cluster: FakeCluster, to: str, reason: str, message: str
) -> None:
    await with_two_revisions(cluster)

    annotate(cluster, to=to)
    await finish(cluster)

    assert sizes(cluster) == {"web:1": 0, "web:2": 1}
    assert ROLLBACK not in stored(cluster).metadata.annotations
    assert told(cluster) == [("Warning", reason, message)]


async def test_the_first_revision_has_none_before_it(cluster: FakeCluster) -> None:
    cluster.load(make_deployment(replicas=1))
    annotate(cluster, to="0")
    run(cluster)

    await finish(cluster)

    assert told(cluster) == [
        ("Warning", "DeploymentRollbackRevisionNotFound", "Unable to find last revision.")
    ]


async def test_nonsense_is_left_alone(cluster: FakeCluster) -> None:
    await with_two_revisions(cluster)

    annotate(cluster, to="yesterday")
    await finish(cluster)

    assert stored(cluster).metadata.annotations[ROLLBACK] == "yesterday"
    assert told(cluster) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2, "e": [1]}}),
        ({"a": {"b": 1}}, {"a": 5}),
        ({"a": 5}, {"a": {"b": {}}}),
        ({}, {"a": {"b": "c"}}),
    ],
)
def test_a_difference_makes_the_new_of_the_old(old: Object, new: Object) -> None:
    assert merge(old, difference(old, new)) == new
