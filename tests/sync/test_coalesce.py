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


async def test_what_waits_and_may_goes_along_with_another_call_and_shares_its_error() -> None:
    road = Road()
    double = Coalescer(road)
    error: list[Exception] = []

    async def other(numbers: Sequence[int]) -> tuple[list[int], str]:
        if error:
            raise error[0]
        return [20 * number for number in numbers], "own"

    assert await double.take_along(other, lambda _: True) is None, "nothing waits"
    calls = [asyncio.ensure_future(double(number)) for number in range(4)]
    await asyncio.sleep(0)
    assert await double.take_along(other, lambda number: number % 2 == 1) == "own"
    assert await asyncio.gather(*calls) == [0, 20, 4, 60]
    assert road.batches == [[0, 2]]

    error.append(ValueError("no"))
    lost = asyncio.ensure_future(double(5))
    await asyncio.sleep(0)
    with pytest.raises(ValueError, match="no"):
        await double.take_along(other, lambda _: True)
    with pytest.raises(ValueError, match="no"):
        await lost


async def test_items_wait_for_a_call_that_is_expected_to_take_them_along_but_not_for_ever() -> None:
    road, companion = Road(), Road()
    double = Coalescer(road, patience=0.05)
    double.is_expected = True

    async def along(numbers: Sequence[int]) -> tuple[list[int], str]:
        return await companion(numbers), "own answer"

    taken = asyncio.create_task(double(1))
    await asyncio.sleep(0.01)
    assert await double.take_along(along, lambda number: True) == "own answer"
    assert (await taken, road.batches) == (2, [])
    began = asyncio.get_running_loop().time()
    assert await double(2) == 4
    assert asyncio.get_running_loop().time() - began >= 0.045
    assert road.batches == [[2]]
    double.is_expected = False
    began = asyncio.get_running_loop().time()
    assert await double(3) == 6
    assert asyncio.get_running_loop().time() - began < 0.04
