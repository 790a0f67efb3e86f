"""What is made of templates, and who may use claims: decided without a cluster."""

from __future__ import annotations

import pytest

from kplane.api.types import Pod
from kplane.controllers.resourceclaim.plan import generate_name, may_reserve, statuses_body
from kplane.controllers.resourceclaim.views import ResourceClaim
from kplane.testing.devices import make_resource_claim
from kplane.testing.objects import as_view, make_pod, make_pods


@pytest.mark.parametrize(
    ("pod", "entry", "expected"),
    [
        pytest.param("web", "gpu", "web-gpu-", id="short"),
        pytest.param("p" * 50, "e" * 5, "p" * 50 + "-" + "e" * 5 + "-", id="just-fits"),
        pytest.param("p" * 60, "e" * 20, "p" * 41 + "-" + "e" * 13, id="both-lose-of-their-ends"),
    ],
)
def test_names_of_claims_keep_something_of_pod_and_entry(pod: str, entry: str, expected: str) -> None:
    assert generate_name(pod, entry) == expected


def test_claims_that_the_status_has_already_are_told_again() -> None:
    pod = make_pod()
    pod["status"]["resourceClaimStatuses"] = [
        {"name": "nothing"},
        {"name": "old", "resourceClaimName": "web-old-1"},
    ]

    told = statuses_body(as_view(Pod, pod), {"new": "web-new-1"})

    assert told == [
        {"name": "new", "resourceClaimName": "web-new-1"},
        {"name": "nothing"},
        {"name": "old", "resourceClaimName": "web-old-1"},
    ]


@pytest.mark.parametrize(
    ("others", "expected"), [pytest.param(255, True, id="room-for-one"), pytest.param(256, False, id="full")]
)
def test_a_claim_has_room_for_so_many_pods(others: int, expected: bool) -> None:
    claim = make_resource_claim(reserved_for=make_pods(others), allocated=True)
    pod = as_view(Pod, make_pod("last"))
    assert may_reserve(pod, as_view(ResourceClaim, claim)) is expected
