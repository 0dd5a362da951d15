"""Joins calls: those that come while one is under way travel together in the next, or along with another call.

A lone call starts at once, so this costs no time, unless another call is expected to take it along; under load it turns
many round trips into a few.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    item: T
    answer: asyncio.Future[R]
    since: float


class Coalescer(Generic[T, R]):
    """`call` takes a list and gives one answer for each, in order; its error is everybody's of that list.

    While another call `is_expected` to take them along, items wait for it, `patience` seconds at most.
    """

    def __init__(
        self, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int = 100, patience: float = 0.0
    ) -> None:
        self._call = call
        self._most = most
        self._patience = patience
        self.is_expected = False
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._carrier: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """The answer for one item."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, answer, time.monotonic()))
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry(), name="coalescer")
        return await answer

    async def take_along(
        self, call: Callable[[Sequence[T]], Awaitable[tuple[Sequence[R], A]]], may: Callable[[T], bool]
    ) -> A | None:
        """Send what waits, and may, with another call, which gives their answers and one of its own; None: nothing did.

        An error of that call is everybody's who travelled, and the caller's.
        """
        taken: list[_Waiting[T, R]] = []
        left: deque[_Waiting[T, R]] = deque()
        for entry in self._waiting:
            if may(entry.item) and not entry.answer.done() and len(taken) < self._most:
                taken.append(entry)
            else:
                left.append(entry)
        if not taken:
            return None
        self._waiting = left
        try:
            answers, own = await call([entry.item for entry in taken])
            _answer(taken, answers)
        except BaseException as error:
            _refuse(taken, error)
            raise
        return own

    async def _carry(self) -> None:
        try:
            while self._waiting:
                left = self._waiting[0].since + self._patience - time.monotonic()
                if self.is_expected and left > 0:
                    await asyncio.sleep(left)
                    continue
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
                # Who was cancelled in the meantime does not travel.
                if batch := [entry for entry in taken if not entry.answer.done()]:
                    try:
                        _answer(batch, await self._call([entry.item for entry in batch]))
                    except BaseException as error:
                        _refuse(batch, error)
                        if not isinstance(error, Exception):
                            raise
        finally:
            self._carrier = None
            while self._waiting:
                self._waiting.popleft().answer.cancel()


def _answer(batch: Sequence[_Waiting[T, R]], answers: Sequence[R]) -> None:
    for entry, value in zip(batch, answers, strict=True):
        if not entry.answer.done():
            entry.answer.set_result(value)


def _refuse(batch: Sequence[_Waiting[T, R]], error: BaseException) -> None:
    for entry in batch:
        if not entry.answer.done():
            entry.answer.set_exception(error) if isinstance(error, Exception) else entry.answer.cancel()
