"""What many who ask share: made after the asking, seldom, and never twice at a time."""

import asyncio

import pytest

from forkcluster.admin.shared import Shared

PAUSE = 0.05


class Making:
    """Counts its values; `asked` is told when one begins, and none ends before `go`."""

    def __init__(self):
        self.begun = 0
        self.running = 0
        self.go = asyncio.Event()

    async def __call__(self):
        self.begun += 1
        self.running += 1
        assert 1 == self.running
        number = self.begun
        await self.go.wait()
        self.running -= 1
        if number == 3:
            raise ValueError("the third")
        return number


def test_who_asks_together_shares_one_value():
    """A hundred cost what one costs."""

    async def ask():
        making = Making()
        making.go.set()
        shared = Shared(making, PAUSE)
        return await asyncio.gather(*(shared.get() for _ in range(100)))

    assert [1] * 100 == asyncio.run(ask())


def test_a_value_is_never_older_than_the_asking():
    """Who asks while one is being made gets the next, which begins when that is over and a pause with it."""

    async def ask():
        making = Making()
        shared = Shared(making, PAUSE)
        loop = asyncio.get_running_loop()
        began = loop.time()
        first = asyncio.create_task(shared.get())
        while not making.begun:
            await asyncio.sleep(0)
        second = asyncio.create_task(shared.get())
        making.go.set()
        return [await first, await second], loop.time() - began

    values, seconds = asyncio.run(ask())
    assert [1, 2] == values
    assert seconds >= PAUSE


def test_a_failure_is_told_to_who_asked_and_to_nobody_later():
    """The next one is made anew."""

    async def ask():
        making = Making()
        making.go.set()
        shared = Shared(making, 0.0)
        assert [1, 2] == [await shared.get(), await shared.get()]
        with pytest.raises(ValueError, match="the third"):
            await shared.get()
        return await shared.get()

    assert 4 == asyncio.run(ask())


def test_one_who_leaves_takes_nothing_from_the_others():
    """A client that is cut does not cancel the value."""

    async def ask():
        making = Making()
        shared = Shared(making, 0.0)
        leaves, stays = asyncio.create_task(shared.get()), asyncio.create_task(shared.get())
        while not making.begun:
            await asyncio.sleep(0)
        leaves.cancel()
        making.go.set()
        return await stays

    assert 1 == asyncio.run(ask())
