"""Which failure of an index its next Pod carries on."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from kplane.api.resource import Object
from kplane.api.types import Job, Pod
from kplane.controllers.job.assessment import assess
from kplane.controllers.job.failures import Record
from kplane.controllers.job.pods import FAILURES, INDEX
from kplane.controllers.job.state import State
from kplane.testing.batch import TRACKING, make_job
from kplane.testing.objects import as_view, make_pod

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def failed(name: str, failures: int, hour: int) -> Pod:
    body: Object = make_pod(name, phase="Failed")
    body["metadata"]["finalizers"] = [TRACKING]
    body["metadata"]["annotations"] = {INDEX: "0", FAILURES: str(failures)}
    ended = {"exitCode": 1, "finishedAt": f"2026-05-31T{hour:02}:00:00Z"}
    body["status"]["containerStatuses"] = [{"name": "work", "state": {"terminated": ended}}]
    return as_view(Pod, body)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        pytest.param((0, 2), (0, 1), "a", id="the-later"),
        pytest.param((0, 1), (0, 2), "b", id="the-later-comes-last"),
        pytest.param((1, 2), (0, 3), "a", id="of-more-failures"),
        pytest.param((0, 1), (1, 2), "b", id="of-more-failures-and-later"),
    ],
)
def test_the_last_failure_of_an_index_waits_for_its_successor(
    first: tuple[int, int], second: tuple[int, int], expected: str
) -> None:
    limits = {"completionMode": "Indexed", "completions": 2, "parallelism": 2, "backoffLimitPerIndex": 5}
    job = as_view(Job, make_job(**limits))
    pods = [failed("a", *first), failed("b", *second)]

    found = assess(job, State.of(job), pods, Record(), NOW)

    assert {index: pod.metadata.name for index, pod in found.delayed.items()} == {0: expected}
