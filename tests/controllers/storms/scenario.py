"""One story of a cluster: what is there, what the world does to it, and how it must end, whatever fails.

`calm` tells it without a fault, `storm` with every fault at once, and `killed` kills the controller manager
at one write. All three must end in the same state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from kplane.api.clock import Entropy
from kplane.api.errors import ApiError, Conflict, InternalError, Timeout, TooManyRequests
from kplane.api.resource import Object
from kplane.client.rest import Client
from kplane.client.transport import Transport
from kplane.controllers.config import Config
from kplane.controllers.manager import Manager
from kplane.testing.cluster import FakeCluster
from kplane.testing.discoverable import DiscoverableCluster
from kplane.testing.mortal import Mortal
from kplane.testing.weather import Weather

REST = 1200.0
"""Longer than any back-off that the faults have earned."""

RESTART_SECONDS = 2.0


def nothing(cluster: FakeCluster, step: int) -> None:
    """A world that stands still."""


def in_order(cluster: FakeCluster) -> None:
    """No rule beside the outcome."""


def no_options(cluster: FakeCluster, folder: Path) -> Mapping[str, Any]:
    """The defaults."""
    return {}


def nothing_in_front(cluster: FakeCluster) -> Transport:
    return cluster


@dataclass(frozen=True)
class Scenario:
    controllers: Sequence[str]
    """Upstream's names; they share one process."""
    objects: Callable[[], Sequence[Object]]
    """What is there at the start."""
    outcome: Callable[[FakeCluster], Any]
    """The end state, told in plain values."""
    expected: Any
    world: Callable[[FakeCluster, int], None] = nothing
    """What users and nodes do before each step, counted from 0, and on during the rest."""
    rule: Callable[[FakeCluster], None] = in_order
    """Asserts what must hold after every step."""
    steps: int = 8
    pace: float = 10.0
    """Seconds of a step."""
    rest: float = REST
    """Seconds of quiet at the end."""
    options: Callable[[FakeCluster, Path], Mapping[str, Any]] = no_options
    """The manager's configuration; the folder is there for its files."""
    front: Callable[[FakeCluster], Transport] = nothing_in_front
    """What the manager's requests go through."""


@dataclass(frozen=True)
class Life:
    """How long one process of the manager lives."""

    last: int = 0
    """The write at which it dies, counted from 1; 0: it does not."""
    done: bool = False
    """Whether that write is carried out."""


async def calm(scenario: Scenario, folder: Path) -> int:
    """Play it without faults; how many writes the manager needs."""
    return await _play(scenario, folder, lives=[Life()])


async def killed(scenario: Scenario, folder: Path, last: int, *, done: bool) -> None:
    """Play it with a manager that is killed at write number `last`, and started anew."""
    await _play(scenario, folder, lives=[Life(last, done), Life()])


async def storm(scenario: Scenario, folder: Path, seed: int) -> None:
    """Play it with late, doubled and swapped events, lost watches, failing writes and short lives."""
    dice = Entropy(seed)
    lives = [Life(int(dice.uniform(2, 12)), dice.choice([True, False])) for _ in range(4)]
    await _play(scenario, folder, lives=[*lives, Life()], seed=seed, dice=dice)


async def _play(
    scenario: Scenario, folder: Path, *, lives: Sequence[Life], seed: int = 0, dice: Entropy | None = None
) -> int:
    """How many writes the last life made."""
    async with DiscoverableCluster(seed=seed) as cluster:
        front = scenario.front(cluster)
        mortals = [Mortal(front, last=life.last, done=life.done) for life in lives]
        config = Config(controllers=tuple(scenario.controllers), **scenario.options(cluster, folder))
        cluster.load(*scenario.objects())
        if dice is not None:
            cluster.server.state.weather = Weather(dice, cluster.clock)
        cluster.start(_live(cluster, config, mortals))
        for step in range(scenario.steps):
            if dice is not None:
                _strike(cluster, dice)
            scenario.world(cluster, step)
            await cluster.clock.advance(scenario.pace)
            scenario.rule(cluster)
        cluster.faults.clear()
        for step in range(scenario.steps, 3 * scenario.steps):
            scenario.world(cluster, step)
            await cluster.clock.advance(scenario.rest / scenario.steps / 2)
            scenario.rule(cluster)
        outcome = scenario.outcome(cluster)
        assert outcome == scenario.expected, f"{outcome} instead of {scenario.expected}"
        return mortals[-1].writes


async def _live(cluster: FakeCluster, config: Config, lives: Sequence[Mortal]) -> None:
    """One manager after another; each has caches and queues of its own, as a new process has."""
    for life in lives:
        client = Client(life, clock=cluster.clock)
        manager = Manager(client, cluster.clock, cluster.entropy, config)
        async with asyncio.TaskGroup() as group:
            running = group.create_task(manager.run())
            await life.dead.wait()
            running.cancel()
        await cluster.clock.sleep(RESTART_SECONDS)


ERRORS: Sequence[type[ApiError]] = (InternalError, Conflict, TooManyRequests, Timeout)


def _strike(cluster: FakeCluster, dice: Entropy) -> None:
    """One fault more."""
    match dice.choice(["refuse", "lose", "break", "expire", "none"]):
        case "refuse":
            cluster.faults.fail_next(dice.choice(ERRORS)("struck"), times=int(dice.uniform(1, 4)))
        case "lose":
            cluster.faults.lose_next_answers(times=int(dice.uniform(1, 4)))
        case "break":
            cluster.drop_watches()
        case "expire":
            cluster.compact()
            cluster.drop_watches()
