"""Answers that many may share: made anew for whoever asks, yet seldom, however many ask.

A value that is given was made after it was asked for; so nobody is told what was true before. Two makings
are `pause` seconds apart: who asks in between waits together with all others for the next one.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

Value = TypeVar("Value")


class Shared(Generic[Value]):
    """One value, made by `make`. Belongs to the running loop."""

    def __init__(self, make: Callable[[], Awaitable[Value]], pause: float) -> None:
        self._make = make
        self._pause = pause
        self._next: asyncio.Task[Value] | None = None  # a making that has not begun yet
        self._last: asyncio.Task[Value] | None = None
        self._at = 0.0

    async def get(self) -> Value:
        """Give a value that is as new as this call. Raise what the making raises."""
        if self._next is None:
            self._next = asyncio.create_task(self._begin())
        return await asyncio.shield(self._next)

    async def _begin(self) -> Value:
        loop = asyncio.get_running_loop()
        if self._last is not None and not self._last.done():
            await asyncio.wait([self._last])
        await asyncio.sleep(max(0.0, self._at + self._pause - loop.time()))
        self._last, self._next = self._next, None
        self._at = loop.time()
        return await self._make()
