"""asyncio's set of all tasks, with its add and its forgetting in C (csrc/py_taskset.c)."""

import asyncio
from weakref import WeakSet

def quicken(tasks: WeakSet[asyncio.Task[object]], /) -> None:
    """Let this set add and forget in C; everything else about it stays as it is.

    Raises ``TypeError`` and ``AttributeError`` where it is not made as we know it, and leaves it as it was.
    """
