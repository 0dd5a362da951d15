"""Joined calls: everybody gets their own answer, and nobody waits for company."""

import asyncio
from collections.abc import Sequence

import pytest

from sauti_sync.coalesce import Coalescer
from tests.sync.waiting import until


class Road:
    """Doubles numbers; waits at the gate when it is closed."""

    def __init__(self) -> None:
        self.batches: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: BaseException | None = None

    async def __call__(self, numbers: Sequence[int]) -> list[int]:
        self.batches.append(list(numbers))
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return [2 * number for number in numbers]


async def test_a_lone_call_travels_at_once_and_those_that_come_meanwhile_together() -> None:
    road = Road()
    double = Coalescer(road)
    road.gate.clear()
    calls = [asyncio.create_task(double(1))]
    await until(lambda: road.batches == [[1]])
    calls += [asyncio.create_task(double(number)) for number in range(2, 6)]
    await asyncio.sleep(0)
    road.gate.set()
    assert await asyncio.gather(*calls) == [2, 4, 6, 8, 10]
    assert road.batches == [[1], [2, 3, 4, 5]]


async def test_no_batch_is_larger_than_allowed() -> None:
    road = Road()
    double = Coalescer(road, most=3)
    assert await asyncio.gather(*(double(number) for number in range(7))) == [0, 2, 4, 6, 8, 10, 12]
    assert max(map(len, road.batches)) == 3


async def test_an_error_is_everybodys_of_that_batch_and_of_no_other() -> None:
    road = Road()
    road.error = ValueError("no")
    double = Coalescer(road)
    answers = await asyncio.gather(double(1), double(2), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ValueError, ValueError]
    road.error = None
    assert await double(3) == 6


async def test_one_who_gave_up_holds_nobody_up() -> None:
    road = Road()
    double = Coalescer(road)
    road.gate.clear()
    first, second = asyncio.create_task(double(1)), asyncio.create_task(double(2))
    await until(lambda: road.batches == [[1, 2]])
    waiting = asyncio.create_task(double(3))
    await asyncio.sleep(0)
    first.cancel()
    waiting.cancel()
    road.gate.set()
    assert await second == 4
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await double(4) == 8
    assert [3] not in road.batches


async def test_items_wait_for_company_that_is_expected_but_not_for_ever() -> None:
    road = Road()
    double = Coalescer(road, patience=0.05, company=2)
    double.expects_more = True

    async def seconds(*numbers: int) -> float:
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*map(double, numbers))
        return asyncio.get_running_loop().time() - began

    assert await seconds(1) >= 0.045, "nobody came"
    first = asyncio.create_task(seconds(2))
    await asyncio.sleep(0.01)
    assert await seconds(3) < 0.04, "two are enough"
    assert await first < 0.05
    first = asyncio.create_task(seconds(6))
    await asyncio.sleep(0.01)
    assert await double(7, may_wait=False) == 14
    assert await first < 0.04, "it goes along with one that cannot wait"
    lone = asyncio.create_task(seconds(4))
    await asyncio.sleep(0.01)
    double.expects_more = False
    assert await lone < 0.04, "there is nobody to wait for"
    assert await seconds(5) < 0.04
    assert road.batches == [[1], [2, 3], [6, 7], [4], [5]]
