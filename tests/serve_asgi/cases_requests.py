"""Cases of what is asked: scopes, bodies, receive()."""

import asyncio

import anyio
from case_tools import answer, body, case, gate, joined, note, refusal, start, whole_body

# -- scopes


def shown(value):
    """A value of a scope in JSON; bytes as Latin-1."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {key: shown(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [shown(each) for each in value]
    return value


@case
async def scope(scope, receive, send):
    await answer(send, shown(scope))


@case
async def own_scope(scope, receive, send):
    """What one request does to its scope is not seen by the next."""
    seen = [
        scope["state"].get("mine"),
        scope.get("mine"),
        scope["extensions"].get("mine"),
        scope["asgi"].get("mine"),
    ]
    scope["state"]["mine"] = scope["mine"] = "changed"
    scope["headers"].append((b"mine", b"changed"))
    await answer(send, seen)


# -- request bodies


@case
async def events(scope, receive, send):
    received = await whole_body(receive)
    await answer(
        send, [[event["type"], event["body"].decode("latin-1"), event["more_body"]] for event in received]
    )


@case
async def digest(scope, receive, send):
    """The length and a sum of the body, and its longest event."""
    length = total = longest = 0
    more = True
    while more:
        event = await receive()
        length += len(event["body"])
        longest = max(longest, len(event["body"]))
        total = (total + sum(event["body"][::997])) % 65521
        more = event["more_body"]
    await answer(send, {"length": length, "sum": total, "longest": longest})


@case
async def echo(scope, receive, send):
    await start(send)
    more = True
    while more:
        event = await receive()
        more = event.get("more_body", False)
        await body(send, event.get("body", b""), more)


@case
async def gated_body(scope, receive, send):
    """Receive one event, then nothing until the gate opens."""
    first = await receive()
    note(scope, "first")
    await gate(scope).wait()
    rest = await whole_body(receive)
    await answer(send, len(joined([first, *rest])))


@case
async def until_disconnect(scope, receive, send):
    kinds = []
    while not kinds or kinds[-1] != "http.disconnect":
        event = await receive()
        kinds.append(event["type"])
        note(scope, event["type"])
    again = await receive()
    note(scope, again["type"])
    note(scope, await refusal(send, {"type": "http.response.start", "status": 200}))


@case
async def ignore_body(scope, receive, send):
    await answer(send, "ignored")


@case
async def one_event(scope, receive, send):
    await receive()
    await answer(send, "one")


@case
async def hint_then_body(scope, receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a>; rel=preload"]})
    await answer(send, joined(await whole_body(receive)).decode())


@case
async def raise_after_disconnect(scope, receive, send):
    event = await receive()
    while event["type"] != "http.disconnect":
        event = await receive()
    raise ValueError("client left")


@case
async def answer_after_disconnect(scope, receive, send):
    """An error handler's habit: answer 400 when the body fails."""
    events = await whole_body(receive)
    note(scope, events[-1]["type"])
    await start(send, 400)
    await body(send)


# -- receive


@case
async def watch(scope, receive, send):
    """Wait for the client's leaving beside the gate."""
    await whole_body(receive)
    leaving = asyncio.ensure_future(receive())
    opened = asyncio.ensure_future(gate(scope).wait())
    note(scope, "watching")
    await asyncio.wait([leaving, opened], return_when=asyncio.FIRST_COMPLETED)
    if leaving.done():
        note(scope, leaving.result()["type"])
        opened.cancel()
        return
    leaving.cancel()
    await answer(send, "still there")


@case
async def wait_for_receive(scope, receive, send):
    """Ask for the leaving again and again with a time limit."""
    await whole_body(receive)
    timeouts = 0
    for _ in range(50):
        try:
            await asyncio.wait_for(receive(), 0.002)
        except asyncio.TimeoutError:
            timeouts += 1
    await answer(send, timeouts)


@case
async def cancelled_body_waits(scope, receive, send):
    """Read a body with time limits far too short for the client."""
    received, timeouts = [], 0
    while not received or received[-1]["more_body"]:
        try:
            received.append(await asyncio.wait_for(receive(), 0.001))
            note(scope, len(joined(received)))
        except asyncio.TimeoutError:
            timeouts += 1
            if timeouts == 1:
                note(scope, "timeout")
    await answer(send, {"body": joined(received).decode(), "timeouts": timeouts > 0})


@case
async def cancelled_body_task(scope, receive, send):
    """Cancel a task that waits for the body, then read the body."""
    task = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    note(scope, task.cancelled())
    await answer(send, joined(await whole_body(receive)).decode())


@case
async def cancelled_then_busy(scope, receive, send):
    """Cancel a wait for the body; then no receive until the gate opens."""
    try:
        await asyncio.wait_for(receive(), 0.01)
    except asyncio.TimeoutError:
        note(scope, "timeout")
    await gate(scope).wait()
    body = asyncio.ensure_future(whole_body(receive))
    await asyncio.sleep(0)
    note(scope, "waits again")
    await answer(send, joined(await body).decode())


@case
async def two_body_waiters(scope, receive, send):
    async def take():
        event = await receive()
        note(scope, event["body"].decode())

    takers = [asyncio.ensure_future(take()) for _ in range(2)]
    await asyncio.sleep(0)
    note(scope, "waiting")
    await asyncio.gather(*takers)
    await answer(send, "both")


@case
async def two_leaving_waiters(scope, receive, send):
    await whole_body(receive)
    waiters = [asyncio.ensure_future(receive()) for _ in range(2)]
    await asyncio.sleep(0)
    note(scope, "waiting")
    for event in await asyncio.gather(*waiters):
        note(scope, event["type"])


@case
async def after_completion(scope, receive, send):
    await answer(send, "done")
    note(scope, (await receive())["type"])
    note(scope, (await receive())["type"])
    note(scope, await refusal(send, {"type": "http.response.body", "body": b"more"}))
    note(scope, await refusal(send, {"type": "http.response.start", "status": 200}))


@case
async def waiting_at_completion(scope, receive, send):
    """A task that waits in receive() when the response is completed hears http.disconnect."""
    await whole_body(receive)
    waiter = asyncio.ensure_future(receive())
    await asyncio.sleep(0)
    await answer(send, "done")
    note(scope, (await waiter)["type"])


@case
async def await_again(scope, receive, send):
    once = receive()
    await once
    words = []
    for again in (once, once):
        try:
            await again
        except RuntimeError as error:
            words.append(str(error))
    await answer(send, words)


@case
async def is_disconnected(scope, receive, send):
    """Starlette's and anyio's way to ask: receive inside a scope that is cancelled already."""
    await whole_body(receive)
    found = []
    for _ in range(3):
        event = {}
        with anyio.CancelScope() as cancel:
            cancel.cancel()
            event = await receive()
        found.append(event.get("type"))
    await answer(send, found)


@case
async def anyio_group(scope, receive, send):
    """A task group whose child waits in receive() is cancelled."""
    await whole_body(receive)
    async with anyio.create_task_group() as group:
        group.start_soon(receive)
        await anyio.sleep(0)
        await anyio.sleep(0)
        group.cancel_scope.cancel()
    await answer(send, "left the group")


@case
async def anyio_fail_after(scope, receive, send):
    await whole_body(receive)
    try:
        with anyio.fail_after(0.01):
            await receive()
    except TimeoutError:
        await answer(send, "timed out")


@case
async def asyncio_timeout(scope, receive, send):
    await whole_body(receive)
    try:
        async with asyncio.timeout(0.01):
            await receive()
    except TimeoutError:
        await answer(send, [asyncio.current_task().cancelling()])
