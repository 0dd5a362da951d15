"""Joins calls: those that come while one is under way travel together in the next, or along with another call.

A lone call starts at once, so this costs no time; under load it turns many round trips into a few.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
A = TypeVar("A")


class Coalescer(Generic[T, R]):
    """`call` takes a list and gives one answer for each, in order; its error is everybody's of that list."""

    def __init__(self, call: Callable[[Sequence[T]], Awaitable[Sequence[R]]], *, most: int = 100) -> None:
        self._call = call
        self._most = most
        self._waiting: deque[tuple[T, asyncio.Future[R]]] = deque()
        self._carrier: asyncio.Task[None] | None = None

    async def __call__(self, item: T) -> R:
        """The answer for one item."""
        answer: asyncio.Future[R] = asyncio.get_running_loop().create_future()
        self._waiting.append((item, answer))
        if self._carrier is None:
            self._carrier = asyncio.create_task(self._carry(), name="coalescer")
        return await answer

    async def take_along(
        self, call: Callable[[Sequence[T]], Awaitable[tuple[Sequence[R], A]]], may: Callable[[T], bool]
    ) -> A | None:
        """Send what waits, and may, with another call, which gives their answers and one of its own; None: nothing did.

        An error of that call is everybody's who travelled, and the caller's.
        """
        taken: list[tuple[T, asyncio.Future[R]]] = []
        left: deque[tuple[T, asyncio.Future[R]]] = deque()
        for entry in self._waiting:
            if may(entry[0]) and not entry[1].done() and len(taken) < self._most:
                taken.append(entry)
            else:
                left.append(entry)
        if not taken:
            return None
        self._waiting = left
        own: list[A] = []

        async def joint(items: Sequence[T]) -> Sequence[R]:
            answers, answer = await call(items)
            own.append(answer)
            return answers

        await self._send(taken, joint, raising=True)
        return own[0]

    async def _carry(self) -> None:
        try:
            while self._waiting:
                taken = [self._waiting.popleft() for _ in range(min(len(self._waiting), self._most))]
                # Who was cancelled in the meantime does not travel.
                if batch := [entry for entry in taken if not entry[1].done()]:
                    await self._send(batch, self._call)
        finally:
            self._carrier = None
            while self._waiting:
                self._waiting.popleft()[1].cancel()

    async def _send(
        self,
        batch: list[tuple[T, asyncio.Future[R]]],
        call: Callable[[Sequence[T]], Awaitable[Sequence[R]]],
        *,
        raising: bool = False,
    ) -> None:
        try:
            answers: Sequence[R] = await call([item for item, _ in batch])
        except BaseException as error:
            for _, answer in batch:
                if not answer.done():
                    answer.set_exception(error) if isinstance(error, Exception) else answer.cancel()
            if raising or not isinstance(error, Exception):
                raise
        else:
            for (_, answer), value in zip(batch, answers, strict=True):
                if not answer.done():
                    answer.set_result(value)
