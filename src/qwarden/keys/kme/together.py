"""Calls served together: what comes while one batch is being served makes the next one.

One commit to disk and one message to the other entity then pay for many requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Generic, TypeVar

Request = TypeVar("Request")
Answer = TypeVar("Answer")


class Together(Generic[Request, Answer]):
    """Collects calls and serves them batch after batch, in order.

    Parameters
    ----------
    serve : answers a batch, an answer or an error for each request; if it raises, all of them failed.
    weight : of a request.
    most : weight of a batch; one request may exceed it.
    at_once : batches that may be on their way side by side.
    """

    def __init__(
        self,
        serve: Callable[[list[Request]], Awaitable[Sequence[Answer | Exception]]],
        weight: Callable[[Request], int],
        most: int,
        at_once: int = 1,
    ) -> None:
        self._serve, self._weight, self._most, self._at_once = serve, weight, most, at_once
        self._waiting: list[tuple[Request, asyncio.Future[Answer]]] = []
        self._running = 0
        self._tasks: set[asyncio.Task[None]] = set()  # the loop alone would not keep them alive

    async def __call__(self, request: Request) -> Answer:
        """Have a request served with others; return its answer or raise its error."""
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.append((request, future))
        if self._running < self._at_once:
            self._running += 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await future

    async def _run(self) -> None:
        try:
            while self._waiting:
                batch = self._next()
                try:
                    answers = await self._serve([request for request, _ in batch])
                except Exception as error:
                    answers = [error] * len(batch)
                for (_, future), answer in zip(batch, answers, strict=True):
                    _settle(future, answer)
        finally:  # at once: no call may find it running that it will not serve
            self._running -= 1

    def _next(self) -> list[tuple[Request, asyncio.Future[Answer]]]:
        total, count = 0, 0
        for request, _ in self._waiting:
            total += self._weight(request)
            if count and total > self._most:
                break
            count += 1
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        return batch


def _settle(future: asyncio.Future[Answer], answer: Answer | Exception) -> None:
    if future.done():  # the caller has gone
        return
    if isinstance(answer, Exception):
        future.set_exception(answer)
    else:
        future.set_result(answer)
