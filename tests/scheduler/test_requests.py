"""Effective requests of Pods."""

from typing import Any

import pytest

from kplane.scheduler.requests import pod_requests, scoring_requests
from kplane.testing.objects import make_pod

from .support import pod_view


def container(cpu: str, *, sidecar: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"name": f"c{cpu}", "resources": {"requests": {"cpu": cpu}}}
    return made | ({"restartPolicy": "Always"} if sidecar else {})


@pytest.mark.parametrize(
    ("init", "main", "expected"),
    [
        pytest.param([], ["1", "500m"], 1500, id="containers-add-up"),
        pytest.param([container("3")], ["1", "1"], 3000, id="init-container-outweighs"),
        pytest.param([container("1"), container("2")], ["1"], 2000, id="init-containers-run-in-turn"),
        pytest.param([container("1", sidecar=True)], ["1"], 2000, id="sidecar-stays"),
        pytest.param(
            [container("1", sidecar=True), container("5")], ["1"], 6000, id="init-beside-earlier-sidecar"
        ),
        pytest.param(
            [container("5"), container("1", sidecar=True)], ["1"], 5000, id="init-before-later-sidecar"
        ),
    ],
)
def test_init_containers_and_sidecars_count_while_they_run(init: Any, main: Any, expected: int) -> None:
    pod = pod_view(make_pod(initContainers=init, containers=[container(cpu) for cpu in main]))

    assert pod_requests(pod)["cpu"] == expected


def test_overhead_is_added_and_pod_level_requests_replace_the_sum() -> None:
    pod = pod_view(
        make_pod(
            requests={"cpu": "1", "memory": "1Gi"},
            resources={"requests": {"cpu": "4"}},
            overhead={"cpu": "250m"},
        )
    )

    assert pod_requests(pod) == {"cpu": 4250, "memory": 2**30}


def test_scoring_assumes_defaults_only_where_a_container_asks_for_nothing() -> None:
    pod = pod_view(make_pod(containers=[container("2"), {"name": "idle"}]))

    assert scoring_requests(pod) == (2100, 2 * 200 * 2**20)
