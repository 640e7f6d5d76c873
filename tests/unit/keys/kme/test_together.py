from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest

from qwarden.keys.kme.together import Together


class Served:
    """Counts what is served together, and when told, fails."""

    def __init__(self, steps: int = 1) -> None:
        self.batches: list[list[int]] = []
        self.running = self.most_running = 0
        self._steps = steps

    async def __call__(self, requests: list[int]) -> Sequence[int | Exception]:
        self.batches.append(requests)
        self.running += 1
        self.most_running = max(self.most_running, self.running)
        for _ in range(self._steps):
            await asyncio.sleep(0)
        self.running -= 1
        if 13 in requests:
            raise LookupError("all of them")
        return [ValueError("one") if request < 0 else 10 * request for request in requests]


async def ask(together: Together[int, int], *requests: int) -> list[int | BaseException]:
    return await asyncio.gather(*(together(one) for one in requests), return_exceptions=True)


def test_what_comes_meanwhile_is_served_together_in_order() -> None:
    served = Served()

    async def main() -> list[int | BaseException]:
        return await ask(Together(served, lambda _: 1, 3), *range(8))

    assert asyncio.run(main()) == [0, 10, 20, 30, 40, 50, 60, 70]
    assert [one for batch in served.batches for one in batch] == list(range(8))
    assert max(map(len, served.batches)) == 3
    assert served.most_running == 1


def test_weight_limits_a_batch_and_one_may_exceed_it() -> None:
    served = Served()

    async def main() -> list[int | BaseException]:
        return await ask(Together(served, lambda one: one, 5), 1, 9, 2, 3, 4)

    assert asyncio.run(main()) == [10, 90, 20, 30, 40]
    assert all(len(batch) == 1 or sum(batch) <= 5 for batch in served.batches)


def test_an_error_is_one_request_s_or_its_batch_s_and_the_next_is_served() -> None:
    served = Served()

    async def main() -> list[int | BaseException]:
        together = Together(served, lambda _: 1, 2)
        return [*await ask(together, 1, -1, 13, 2, 3), *await ask(together, 4)]

    found = asyncio.run(main())
    assert [type(one) for one in found] == [int, ValueError, LookupError, LookupError, int, int]


def test_no_more_than_asked_run_at_once() -> None:
    served = Served(steps=3)

    async def main() -> list[int | BaseException]:
        return await ask(Together(served, lambda _: 1, 1, 2), *range(9))

    assert asyncio.run(main()) == [10 * n for n in range(9)]
    assert served.most_running == 2


@pytest.mark.parametrize("pause", range(6))
def test_a_call_at_any_moment_of_the_end_of_another_is_served(pause: int) -> None:
    async def main() -> None:
        together = Together(Served(), lambda _: 1, 8)
        for number in range(20, 40):
            first = asyncio.create_task(together(number))
            for _ in range(pause):
                await asyncio.sleep(0)
            assert await asyncio.wait_for(together(number), 5) == 10 * number
            await first

    asyncio.run(main())


def test_a_caller_that_goes_does_not_disturb_the_others() -> None:
    async def main() -> None:
        together = Together(Served(steps=3), lambda _: 1, 8)
        gone, stays = asyncio.create_task(together(1)), asyncio.create_task(together(2))
        await asyncio.sleep(0)
        gone.cancel()
        assert await stays == 20
        assert await together(3) == 30

    asyncio.run(main())
