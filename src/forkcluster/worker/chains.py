"""What the tasks of a loop wait for: each down its chain of awaits, in words for the log.

Knows no engine and no signal: it is given the requests that wait, and looks at asyncio's tasks.
"""

import asyncio
import traceback
from collections.abc import Iterable, Iterator
from types import FrameType
from typing import Any, Final

LATE: Final = 0.1  # seconds; a younger request is nobody's business
REQUESTS: Final = 10  # told at most, the oldest first
OTHERS: Final = 10  # tasks that are no request's own
DEPTH: Final = 5  # tasks that wait for each other

Task = asyncio.Task[Any]
Waiting = tuple[float, str, str, Task]  # seconds, method, target, task


def describe(waiting: Iterable[Waiting], mine: Iterable[Task]) -> str:
    """Tell what each late request waits for, then what the tasks do that belong to no request.

    `mine` are tasks of the server itself, left out. Call it in the loop. Empty when there is nothing to tell.
    """
    late = sorted((row for row in waiting if row[0] >= LATE), key=lambda row: row[0], reverse=True)
    seen: set[Task] = {row[3] for row in late} | set(mine)
    lines = []
    for seconds, method, target, task in late[:REQUESTS]:
        lines.append(f"{method} {target} waits for {seconds:.1f} s:")
        lines += _chain(task, seen)
    if len(late) > REQUESTS:
        lines.append(f"and {len(late) - REQUESTS} more requests")
    others = [task for task in asyncio.all_tasks() if task not in seen]
    for task in others[:OTHERS]:
        lines.append(f"task {task.get_name()!r}:")
        lines += _chain(task, seen)
    if len(others) > OTHERS:
        lines.append(f"and {len(others) - OTHERS} more tasks")
    return "\n".join(lines)


def _chain(task: Task, seen: set[Task], depth: int = 1) -> Iterator[str]:
    """The frames that wait for each other, the outermost first, and what the innermost waits for."""
    seen.add(task)
    for step in _awaits(task.get_coro()):
        if isinstance(step, FrameType):
            summary = traceback.extract_stack(step, limit=1)
            yield from (line for text in summary.format() for line in text.rstrip().split("\n"))
        else:
            yield f"  in {step}"
    yield from _waiter(getattr(task, "_fut_waiter", None), seen, depth)


def _awaits(awaitable: object) -> Iterator[FrameType | str]:
    """Each coroutine, generator or awaitable of ours, from the outermost in: its frame or its name."""
    met: list[object] = []  # by identity: an awaitable may compare equal to another
    while awaitable is not None and not any(awaitable is each for each in met):
        met.append(awaitable)
        frame = _first(awaitable, "cr_frame", "gi_frame", "ag_frame")
        name = getattr(awaitable, "__qualname__", None)
        if frame is not None:
            yield frame
        elif isinstance(name, str):
            yield f"{name}()"
        awaitable = _first(awaitable, "cr_await", "gi_yieldfrom", "ag_await")


def _waiter(future: object, seen: set[Task], depth: int) -> Iterator[str]:
    """What the innermost waits for; tasks are followed, those of gather() too."""
    if future is None:
        yield "  is running, or about to"
        return
    children = getattr(future, "_children", None)  # of gather()
    tasks = [future] if isinstance(future, asyncio.Task) else [*(children or ())]
    tasks = [task for task in tasks if isinstance(task, asyncio.Task) and not task.done()]
    if not tasks:
        yield f"  waits for {future!r}"
    for task in tasks[:OTHERS]:
        again = task in seen or depth >= DEPTH
        yield f"  waits for task {task.get_name()!r}{', told elsewhere' if again else ':'}"
        if not again:
            yield from _chain(task, seen, depth + 1)


def _first(thing: object, *names: str) -> Any:  # noqa: ANN401  an attribute of whatever is awaited
    """The first of these attributes that there is and is not None."""
    for name in names:
        value = getattr(thing, name, None)
        if value is not None:
            return value
    return None
