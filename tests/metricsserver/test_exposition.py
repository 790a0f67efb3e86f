"""Reading what a kubelet tells."""

from __future__ import annotations

import pytest

from kplane.metricsserver.exposition import ContainerKey, Point, read

TEXT = """\
# HELP container_cpu_usage_seconds_total [STABLE] Cumulative cpu time consumed by the container
# TYPE container_cpu_usage_seconds_total counter
container_cpu_usage_seconds_total{container="web",namespace="default",pod="web-1"} 12.5 1767225600500
container_memory_working_set_bytes{container="web",namespace="default",pod="web-1"} 6.7e+07 1767225600500
container_start_time_seconds{container="web",namespace="default",pod="web-1"} 1.7672255e+09
container_swap_usage_bytes{container="web",namespace="default",pod="web-1"} 0
node_cpu_usage_seconds_total 100.25 1767225600000
node_memory_working_set_bytes 1024 1767225600000
pod_cpu_usage_seconds_total{namespace="default",pod="web-1"} 12.5 1767225600500
resource_scrape_error 0
"""
WEB = ContainerKey("default", "web-1", "web")


def test_containers_and_the_node_are_found_among_all_that_is_told() -> None:
    reading = read(TEXT, now=1.0)

    assert reading.node == Point(1767225600.0, 100.25, 1024)
    assert reading.containers == {WEB: Point(1767225600.5, 12.5, 67000000, 1767225500.0)}


def test_what_has_no_time_was_measured_now() -> None:
    reading = read("node_cpu_usage_seconds_total 1\nnode_memory_working_set_bytes 2\n", now=77.0)
    assert reading.node == Point(77.0, 1.0, 2)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="nothing"),
        pytest.param("<html>not found</html>", id="another-page"),
        pytest.param("node_cpu_usage_seconds_total 1\n", id="no-memory"),
        pytest.param("node_cpu_usage_seconds_total 1.2.3\nnode_memory_working_set_bytes 1\n", id="no-number"),
        pytest.param("node_cpu_usage_seconds_total{ 1\nnode_memory_working_set_bytes 1\n", id="broken-line"),
    ],
)
def test_nonsense_tells_nothing(text: str) -> None:
    reading = read(text, now=1.0)
    assert (reading.node, reading.containers) == (None, {})
