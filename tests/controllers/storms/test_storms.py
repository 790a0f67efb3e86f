"""Whatever fails, and wherever the manager is killed, each story ends as it ends in calm."""

from __future__ import annotations

import pytest

from .scenario import Scenario, calm, killed, storm
from .workloads import STORIES as WORKLOADS

STORIES = {**WORKLOADS}

every_story = pytest.mark.parametrize("story", STORIES.values(), ids=STORIES)


@every_story
@pytest.mark.slow
async def test_a_manager_killed_at_any_write_ends_where_a_calm_one_does(story: Scenario) -> None:
    writes = await calm(story)

    assert writes > 0
    for last in range(1, writes + 1):
        await killed(story, last, done=False)
        await killed(story, last, done=True)


@every_story
@pytest.mark.slow
@pytest.mark.parametrize("seed", range(4))
async def test_a_storm_ends_where_calm_does(story: Scenario, seed: int) -> None:
    await storm(story, seed)
