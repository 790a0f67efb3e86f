"""Deadlines of requests: who ends when, and who does not."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from kplane.apiserver.config import ApiServerConfig
from kplane.apiserver.http.deadlines import Deadline, Deadlines
from kplane.apiserver.server import ApiServer

from ..conftest import Api


async def forever() -> None:
    await asyncio.Event().wait()


async def test_what_takes_too_long_ends_in_the_order_in_which_it_began() -> None:
    deadlines, ended = Deadlines(0.02), []

    async def request(number: int) -> None:
        try:
            with Deadline(deadlines):
                await forever()
        except TimeoutError:
            ended.append(number)

    async with asyncio.TaskGroup() as tasks:
        for number in range(3):
            tasks.create_task(request(number))

    assert ended == [0, 1, 2]
    assert not deadlines.running


async def test_one_that_begins_once_another_has_ended_has_its_own_time() -> None:
    deadlines = Deadlines(0.02)
    for _ in range(2):
        with pytest.raises(TimeoutError), Deadline(deadlines):
            await forever()


async def test_what_is_lifted_goes_on() -> None:
    deadlines, others = Deadlines(0.01), Deadlines(0.03)
    with Deadline(deadlines) as deadline:
        deadline.lift()
        with pytest.raises(TimeoutError), Deadline(others):
            await forever()


async def test_being_cancelled_is_no_timeout() -> None:
    deadlines = Deadlines(10)

    async def request() -> None:
        with Deadline(deadlines):
            await forever()

    task = asyncio.create_task(request())
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert not deadlines.running


async def test_faults_pass_through() -> None:
    with pytest.raises(KeyError), Deadline(Deadlines(10)):
        raise KeyError


async def test_a_request_that_does_not_end_in_time_is_told_so(config: ApiServerConfig) -> None:
    async with ApiServer(replace(config, request_timeout=0.05)) as server:
        # The revision is one that is never reached.
        answer = await Api(server.app)("GET", "/api/v1/pods", resourceVersion="99999999")

    assert answer.code == 504
    assert answer.body["message"] == "Timeout: request did not complete within the allotted timeout"
