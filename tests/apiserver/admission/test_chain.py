"""Which plug-ins see a request, and what is counted for those that do not."""

from __future__ import annotations

import pytest
from prometheus_client import CollectorRegistry

from kplane.api.clock import SystemClock
from kplane.api.errors import Forbidden
from kplane.api.scheme import builtin
from kplane.apiserver.admission.chain import Attributes, Chain, Handles, Operation, on
from kplane.apiserver.admission.times import MeasuredChain
from kplane.apiserver.auth.user import authenticated
from kplane.testing.clock import VirtualClock

CREATE, UPDATE, DELETE = Operation.CREATE, Operation.UPDATE, Operation.DELETE


class Sees:
    """Notes what it is shown."""

    def __init__(self, handles: Handles, name: str = "Sees") -> None:
        self.name = name
        self.handles = handles
        self.seen: list[str] = []


class Mutates(Sees):
    async def admit(self, attributes: Attributes) -> None:
        self.seen.append("admit")


class Validates(Sees):
    async def validate(self, attributes: Attributes) -> None:
        self.seen.append("validate")


class ActsAtOnce(Sees):
    """Has nothing to wait for."""

    def admit(self, attributes: Attributes) -> None:
        self.seen.append("at once")


class Takes(Sees):
    """A second of this clock's time."""

    def __init__(self, clock: VirtualClock) -> None:
        super().__init__(on(), "Takes")
        self._clock = clock

    async def admit(self, attributes: Attributes) -> None:
        await self._clock.advance(1)


class Refuses(Sees):
    async def admit(self, attributes: Attributes) -> None:
        raise Forbidden("no")


def request(operation: Operation, resource: str, subresource: str = "", group: str = "") -> Attributes:
    return Attributes(
        operation=operation,
        info=builtin().rows[group, "v1", resource],
        subresource=subresource,
        namespace="default",
        name="x",
        object={"metadata": {"name": "x"}},
        old=None,
        user=authenticated("someone"),
        dry_run=False,
        warn=lambda text: None,
    )


@pytest.mark.parametrize(
    ("handles", "asked", "seen"),
    [
        pytest.param(on(), request(DELETE, "nodes"), True, id="everything"),
        pytest.param(on(CREATE), request(CREATE, "nodes"), True, id="operation"),
        pytest.param(on(CREATE), request(UPDATE, "nodes"), False, id="other-operation"),
        pytest.param(on(CREATE, to=("pods",)), request(CREATE, "pods"), True, id="resource"),
        pytest.param(on(CREATE, to=("pods",)), request(CREATE, "nodes"), False, id="other-resource"),
        pytest.param(on(CREATE, to=("pods",)), request(CREATE, "pods", "binding"), False, id="subresource"),
        pytest.param(
            on(to=("pods/resize",)), request(UPDATE, "pods", "resize"), True, id="named-subresource"
        ),
        pytest.param(on(to=("pods/resize",)), request(UPDATE, "pods"), False, id="not-the-resource"),
        pytest.param(on(to=("pods/*",)), request(UPDATE, "pods"), True, id="any-the-resource"),
        pytest.param(on(to=("pods/*",)), request(UPDATE, "pods", "status"), True, id="any-subresource"),
        pytest.param(
            on(to=("events.events.k8s.io",)),
            request(CREATE, "events", group="events.k8s.io"),
            True,
            id="group",
        ),
        pytest.param(
            on(to=("events",)), request(CREATE, "events", group="events.k8s.io"), False, id="other-group"
        ),
    ],
)
async def test_a_plugin_sees_what_it_handles(handles: Handles, asked: Attributes, seen: bool) -> None:
    mutates, validates = Mutates(handles), Validates(handles)
    chain = Chain([mutates, validates])

    await chain.admit(asked)
    await chain.validate(asked)

    assert mutates.seen == (["admit"] if seen else [])
    assert validates.seen == (["validate"] if seen else [])


async def test_a_plugin_is_counted_for_every_request_of_an_operation_that_it_handles() -> None:
    registry = CollectorRegistry()
    pods, nodes = Mutates(on(CREATE, to=("pods",)), "Pods"), Mutates(on(UPDATE, to=("nodes",)), "Nodes")
    chain = MeasuredChain(Chain([pods, nodes]), SystemClock(), registry)

    await chain.admit(request(CREATE, "pods"))
    await chain.admit(request(CREATE, "nodes"))
    await chain.admit(request(CREATE, "configmaps"))

    assert pods.seen == ["admit"]
    assert counted(registry, "Pods") == 3
    assert counted(registry, "Nodes") is None


async def test_a_refusal_is_counted_for_the_plugin_that_refuses() -> None:
    registry = CollectorRegistry()
    first, refuses, last = Mutates(on(), "First"), Refuses(on(), "Refuses"), Mutates(on(), "Last")
    chain = MeasuredChain(Chain([first, refuses, last]), SystemClock(), registry)

    with pytest.raises(Forbidden):
        await chain.admit(request(CREATE, "pods"))

    assert last.seen == []
    assert counted(registry, "First") == 1
    assert counted(registry, "Refuses", rejected="true") == 1
    assert counted(registry, "Refuses") == counted(registry, "Last") == 0


@pytest.mark.parametrize("measured", [False, True])
async def test_plugins_with_and_without_something_to_wait_for_run_in_their_order(measured: bool) -> None:
    plugins: list[Sees] = [Mutates(on(), "First"), ActsAtOnce(on(), "Second"), Mutates(on(), "Third")]
    chain = Chain(plugins)
    seen: list[str] = []
    for plugin in plugins:
        plugin.seen = seen
    if measured:
        chain = MeasuredChain(chain, SystemClock(), CollectorRegistry())

    await chain.admit(request(CREATE, "pods"))

    assert seen == ["admit", "at once", "admit"]


async def test_what_takes_long_is_counted_in_its_own_bucket() -> None:
    registry, clock = CollectorRegistry(), VirtualClock()
    plugins = [ActsAtOnce(on(), "Quick"), Takes(clock), Mutates(on(CREATE, to=("nodes",)), "Idle")]
    chain = MeasuredChain(Chain(plugins), clock, registry)

    await chain.admit(request(CREATE, "pods"))

    assert [bucket(registry, "Quick", bound) for bound in ("0.005", "1.0", "+Inf")] == [1, 1, 1]
    assert [bucket(registry, "Takes", bound) for bound in ("0.005", "0.5", "1.0", "+Inf")] == [0, 0, 1, 1]
    assert [counted(registry, name) for name in ("Quick", "Takes", "Idle")] == [1, 1, 1]
    labels = {"operation": "CREATE", "rejected": "false", "type": "admit"}
    assert registry.get_sample_value("apiserver_admission_step_admission_duration_seconds_sum", labels) == 1


def bucket(registry: CollectorRegistry, name: str, bound: str) -> float | None:
    labels = {"name": name, "operation": "CREATE", "rejected": "false", "type": "admit", "le": bound}
    metric = "apiserver_admission_controller_admission_duration_seconds_bucket"
    return registry.get_sample_value(metric, labels)


def counted(registry: CollectorRegistry, name: str, *, rejected: str = "false") -> float | None:
    labels = {"name": name, "operation": "CREATE", "rejected": rejected, "type": "admit"}
    metric = "apiserver_admission_controller_admission_duration_seconds_count"
    return registry.get_sample_value(metric, labels)
