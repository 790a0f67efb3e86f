"""Whatever fails, and wherever the manager is killed, each story ends as it ends in calm."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplane.controllers.registry import CONTROLLERS

from . import cleanup, devices, identity, network, nodeplane, policies, storage, workloads
from .scenario import Scenario, calm, killed, storm

STORIES = {
    **workloads.STORIES,
    **network.STORIES,
    **cleanup.STORIES,
    **nodeplane.STORIES,
    **storage.STORIES,
    **policies.STORIES,
    **identity.STORIES,
    **devices.STORIES,
}

every_story = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)


def test_every_controller_has_a_story() -> None:
    told = {name for story in STORIES.values() for name in story.controllers}
    assert told == set(CONTROLLERS)


@every_story
@pytest.mark.slow
async def test_a_manager_killed_at_any_write_ends_where_a_calm_one_does(
    story: Scenario, tmp_path: Path
) -> None:
    writes = await calm(story, tmp_path)

    assert writes > 0
    for last in range(1, writes + 1):
        await killed(story, tmp_path, last, done=False)
        await killed(story, tmp_path, last, done=True)


@every_story
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_a_storm_ends_where_calm_does(story: Scenario, seed: int, tmp_path: Path) -> None:
    await storm(story, tmp_path, seed)
