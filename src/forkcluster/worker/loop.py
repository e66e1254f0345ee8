"""The event loop of an ASGI worker: which one, and its life around one coroutine.

uvloop is imported here, after the fork, never in the mold.
"""

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar
from weakref import WeakSet

from forkcluster._taskset import quicken
from forkcluster.errors import ConfigurationError

Result = TypeVar("Result")


def make_loop(choice: str) -> asyncio.AbstractEventLoop:
    """Make the loop of that name; auto is uvloop where it can be imported. Raises ConfigurationError."""
    if choice == "asyncio":
        return asyncio.new_event_loop()
    try:
        import uvloop
    except ImportError as error:
        if choice == "auto":
            return asyncio.new_event_loop()
        raise ConfigurationError(
            f"making the event loop: uvloop cannot be imported ({error})",
            "pip install uvloop where the application is installed, or --loop asyncio",
        ) from error
    return uvloop.new_event_loop()


def quicken_tasks() -> None:
    """Let asyncio keep account of tasks in C, where it does so in Python (before 3.14)."""
    for name in ("_all_tasks", "_scheduled_tasks"):  # until 3.11, from 3.12 on
        tasks = getattr(asyncio.tasks, name, None)
        if type(tasks) is WeakSet:
            with contextlib.suppress(AttributeError, TypeError):  # made otherwise than we know: let it be
                quicken(tasks)


def run(
    loop: asyncio.AbstractEventLoop,
    main: Coroutine[Any, Any, Result],
    outlives: Callable[[BaseException], bool] = lambda error: False,
) -> Result:
    """Run the coroutine, then end what else runs on the loop and close it.

    `outlives` hears what another task or a callback would end the loop with (SystemExit, KeyboardInterrupt),
    and tells whether it goes on. What the coroutine raises is raised without the loop's own frames.
    """

    async def guarded() -> Result | Exception:
        try:
            return await main
        except Exception as error:
            return error

    quicken_tasks()
    asyncio.set_event_loop(loop)
    try:
        result = _complete(loop, loop.create_task(guarded(), name="serve"), outlives)
    finally:
        try:
            _cancel_rest(loop)
            loop.run_until_complete(loop.shutdown_asyncgens())
            loop.run_until_complete(loop.shutdown_default_executor())
        finally:
            asyncio.set_event_loop(None)
            with contextlib.suppress(RuntimeError):
                loop.close()
    if isinstance(result, Exception):
        raise result
    return result


def _complete(
    loop: asyncio.AbstractEventLoop, task: asyncio.Task[Result], outlives: Callable[[BaseException], bool]
) -> Result:
    """Run the loop until the task is done, across exits of others that are to be outlived."""
    while not task.done():
        try:
            loop.run_until_complete(task)
        except (SystemExit, KeyboardInterrupt) as error:
            if not task.done() and not outlives(error):
                raise
    return task.result()


def _cancel_rest(loop: asyncio.AbstractEventLoop) -> None:
    """Cancel the application's own tasks; what they raise goes to the loop's exception handler."""
    rest = asyncio.all_tasks(loop)
    for task in rest:
        task.cancel()
    loop.run_until_complete(asyncio.gather(*rest, return_exceptions=True))
    for task in rest:
        if not task.cancelled() and task.exception() is not None:
            context = {"message": "exception while the loop was ended", "task": task}
            loop.call_exception_handler({**context, "exception": task.exception()})
