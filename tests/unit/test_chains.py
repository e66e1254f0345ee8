"""What tasks wait for, in words."""

import asyncio

from forkcluster.worker.chains import describe


async def inner(event):
    await event.wait()


async def outer(event):
    await inner(event)


def told(*names):
    """What is told of a late request's task while these others are there."""

    async def main():
        event = asyncio.Event()
        late = asyncio.create_task(outer(event), name="late")
        others = [asyncio.create_task(inner(event), name=name) for name in names]
        await asyncio.sleep(0)
        text = describe(
            [(1.25, "GET", "/x", late), (0.01, "GET", "/young", others[0])], [asyncio.current_task()]
        )
        event.set()
        await asyncio.gather(late, *others)
        return text

    return asyncio.run(main())


def test_each_coroutine_is_told_from_the_outside_in():
    """The reader follows the awaits."""
    text = told("other")
    assert text.startswith("GET /x waits for 1.2 s:\n")
    assert text.index("in outer") < text.index("in inner") < text.index("waits for <Future pending")


def test_a_young_request_is_not_told_as_late():
    """Its task is one of the others."""
    text = told("other")
    assert "/young" not in text
    assert "task 'other':" in text


def test_many_tasks_are_counted_and_not_all_told():
    """A worker with thousands of tasks must not flood the log."""
    text = told(*(f"other {number}" for number in range(25)))
    assert text.endswith("and 15 more tasks")


def test_tasks_that_wait_for_each_other_end():
    """A circle is told once."""

    async def main():
        tasks = []

        async def wait_for_other():
            await asyncio.sleep(0)
            await asyncio.wait([tasks[1]])
            await tasks[1]

        async def back():
            await asyncio.sleep(0)
            await tasks[0]

        tasks[:] = [asyncio.create_task(wait_for_other(), name="a"), asyncio.create_task(back(), name="b")]
        for _ in range(5):
            await asyncio.sleep(0)
        text = describe([(1.0, "GET", "/", tasks[1])], [asyncio.current_task()])
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        return text

    assert "waits for task 'a':" in asyncio.run(main())
