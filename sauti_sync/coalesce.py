"""Joins calls: those that come while one is under way travel together in the next.

A lone call starts at once, so this costs no time, unless more is expected; under load it turns many round trips into a
few.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T, R]):
    item: T
    answer: asyncio.Future[R]
    until: float


class Coalescer(Generic[T, R]):
    """`call` takes a list and gives one answer for each, in order; its error is everybody's of that list.

    While it `expects_more`, items that may wait do so until `company` of them are there, `patience` seconds at most.
    """

    def __init__(
        self,
        call: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        most: int = 100,
        patience: float = 0.0,
        company: int = 1,
    ) -> None:
        self._call = call
        self._most = most
        self._patience = patience
        self._company = company
        self._expects_more = False
        self._go = asyncio.Event()
        self._waiting: deque[_Waiting[T, R]] = deque()
        self._carrier: asyncio.Task[None] | None = None

    @property
    def expects_more(self) -> bool:
        """Whether waiting for company may pay."""
        return self._expects_more

    @expects_more.setter
    def expects_more(self, value: bool) -> None:
        self._expects_more = value
        if not value:
            self._go.set()

    async def __call__(self, item: T, *, may_wait: bool = True) -> R:
        """The answer for one item; one that may not wait takes those that do along."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting(item, answer, time.monotonic() + self._patience * may_wait))
        if not may_wait or len(self._waiting) >= self._company:
            self._go.set()
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry(), name="coalescer")
        return await answer

    async def _carry(self) -> None:
        try:
            while self._waiting:
                left = min(entry.until for entry in self._waiting) - time.monotonic()
                if self._expects_more and len(self._waiting) < self._company and left > 0:
                    self._go.clear()
                    with suppress(TimeoutError):
                        async with asyncio.timeout(left):
                            await self._go.wait()
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
