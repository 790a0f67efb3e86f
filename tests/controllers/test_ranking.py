"""Which Pod goes first: one case per rule, each Pod differing from the next in that rule only."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kplane.api.resource import Object
from kplane.api.types import Pod
from kplane.client.codec import codec, encode
from kplane.controllers.ranking import DELETION_COST, deletion_order, plain_order
from kplane.testing.objects import make_pod

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def view(body: Object) -> Pod:
    return codec(Pod).one(encode(body))


def ready_since(name: str, moment: str) -> Object:
    body = make_pod(name, node="n", ready=True)
    body["status"]["conditions"][0]["lastTransitionTime"] = moment
    return body


def annotated(name: str, cost: str) -> Object:
    body = make_pod(name, node="n", ready=True)
    body["metadata"]["annotations"] = {DELETION_COST: cost}
    return body


def restarted(name: str, count: int) -> Object:
    body = make_pod(name, node="n", ready=True)
    body["status"]["containerStatuses"] = [{"name": "web", "restartCount": count}]
    return body


def sidecar_restarted(name: str, count: int, *, policy: str = "Always") -> Object:
    body = restarted(name, 1)
    body["spec"]["initContainers"] = [{"name": "proxy", "restartPolicy": policy}]
    body["status"]["initContainerStatuses"] = [{"name": "proxy", "restartCount": count}]
    return body


def created(name: str, moment: str) -> Object:
    body = make_pod(name, node="n", phase="Running")
    body["metadata"]["creationTimestamp"] = moment
    return body


@pytest.mark.parametrize(
    ("first", "second"),
    [
        pytest.param(make_pod("a"), make_pod("b", node="n"), id="unassigned-before-assigned"),
        pytest.param(
            make_pod("a", node="n"), make_pod("b", node="n", phase="Running"), id="pending-before-running"
        ),
        pytest.param(
            make_pod("a", node="n", phase="Running"),
            make_pod("b", node="n", ready=True),
            id="not-ready-first",
        ),
        pytest.param(annotated("a", "-5"), annotated("b", "5"), id="cheap-before-dear"),
        pytest.param(annotated("a", "nonsense"), annotated("b", "5"), id="invalid-cost-is-zero"),
        pytest.param(
            ready_since("a", "2026-05-31T23:59:00Z"),
            ready_since("b", "2026-01-01T00:00:00Z"),
            id="young-first",
        ),
        pytest.param(restarted("a", 7), restarted("b", 1), id="restarted-often-first"),
        pytest.param(restarted("a", 2), sidecar_restarted("b", 9), id="sidecars-count-less"),
        pytest.param(sidecar_restarted("a", 2), sidecar_restarted("b", 1), id="restarted-sidecar-first"),
        pytest.param(
            created("a", "2026-05-31T23:59:00Z"),
            created("b", "2026-01-01T00:00:00Z"),
            id="created-late-first",
        ),
    ],
)
def test_order(first: Object, second: Object) -> None:
    pods = [view(second), view(first)]

    order = deletion_order(pods, [], NOW)

    assert [pod.metadata.name for pod in order] == ["a", "b"]


def test_a_pod_that_shares_its_node_with_others_of_its_owner_goes_first() -> None:
    alone = view(make_pod("a-alone", node="n1", ready=True))
    doubled = view(make_pod("b-doubled", node="n2", ready=True))
    sibling = view(make_pod("sibling", node="n2", ready=True))

    order = deletion_order([alone, doubled], [alone, doubled, sibling], NOW)

    assert order[0] is doubled


def test_pods_ready_for_about_as_long_go_in_order_of_uid() -> None:
    younger = view(ready_since("b", "2026-01-01T00:00:10Z"))
    older = view(ready_since("a", "2026-01-01T00:00:00Z"))

    assert deletion_order([younger, older], [], NOW) == [older, younger]


def test_pods_of_jobs_go_by_their_exact_ages_whatever_they_cost() -> None:
    older = view(annotated("a", "-5"))
    newer = view(ready_since("b", "2026-05-31T00:00:10Z"))
    newest = view(ready_since("c", "2026-05-31T00:00:20Z"))
    unbound = view(make_pod("d"))

    order = plain_order([older, newer, newest, unbound])

    assert [pod.metadata.name for pod in order] == ["d", "c", "b", "a"]
