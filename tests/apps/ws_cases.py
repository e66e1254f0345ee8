"""WebSocket cases, one for each path. What a client cannot see the application prints as `id: words`."""

import asyncio
import json
import os
import time
from urllib.parse import parse_qs

PIECE = b"x" * 65536


class Talk:
    """One conversation: the connect event is taken."""

    def __init__(self, scope, receive, send):
        self.scope, self.receive, self._send = scope, receive, send
        self.query = {name: values[0] for name, values in parse_qs(scope["query_string"].decode()).items()}

    def say(self, *words):
        """Print in one write: standard output is the master's, too."""
        os.write(1, (" ".join(map(str, [f"{self.query.get('id')}:", *words])) + "\n").encode())

    async def send(self, kind, **values):
        await self._send({"type": f"websocket.{kind}", **values})

    async def hear(self):
        """The rest of the messages; says how it ended."""
        while (event := await self.receive())["type"] == "websocket.receive":
            yield event.get("text") if event.get("text") is not None else event["bytes"]
        self.say("disconnect", event["code"], json.dumps(event["reason"]))

    async def trying(self, kind, **values):
        """Send and say what came of it."""
        try:
            await self.send(kind, **values)
        except Exception as error:
            name = "OSError" if isinstance(error, OSError) else type(error).__name__
            self.say(kind, name)
        else:
            self.say(kind, "fine")


async def echo(talk):
    await talk.send("accept")
    async for message in talk.hear():
        await talk.send("send", **{"text" if isinstance(message, str) else "bytes": message})


async def note(talk):
    """Say what is heard."""
    await talk.send("accept")
    async for message in talk.hear():
        talk.say("heard", message)


async def scope(talk):
    await talk.send("accept")
    told = {
        **talk.scope,
        "headers": None,
        "kinds": [[type(n).__name__, type(v).__name__] for n, v in talk.scope["headers"]],
    }
    await talk.send("send", text=json.dumps(told, default=lambda value: value.decode("latin-1")))


async def accept(talk):
    """Accept as the query says."""
    headers = [(b"X-Mine", b"one"), (b"x-mine", b"two")] if "headers" in talk.query else []
    await talk.send("accept", subprotocol=talk.query.get("subprotocol"), headers=headers)
    async for _ in talk.hear():
        pass


async def bad_accept(talk):
    name, value = talk.query["name"].encode(), talk.query["value"].encode()
    await talk.send("accept", headers=[(name, value)])


async def refuse(talk):
    await talk.send("close", code=4000, reason="no")
    talk.say((await talk.receive())["type"])
    await talk.trying("send", text="late")


async def deny(talk):
    headers = [(b"content-type", b"text/plain"), (b"x-why", b"because")]
    await talk.send("http.response.start", status=int(talk.query["status"]), headers=headers)
    await talk.send("http.response.body", body=b"not ", more_body=True)
    await talk.send("http.response.body", body=b"you")
    talk.say((await talk.receive())["type"])


async def deny_in_part(talk):
    await talk.send("http.response.start", status=401, headers=[(b"content-length", b"10")])
    await talk.send("http.response.body", body=b"not ", more_body=True)


async def raise_early(talk):
    raise LookupError(f"raised for {talk.query['id']}")


async def return_early(talk):
    pass


async def raise_late(talk):
    await talk.send("accept")
    await talk.receive()
    raise LookupError(f"raised for {talk.query['id']}")


async def return_late(talk):
    await talk.send("accept")


async def close(talk):
    await talk.send("accept")
    options = {"code": int(talk.query["code"])} if "code" in talk.query else {}
    if "reason" in talk.query:
        options["reason"] = talk.query["reason"]
    await talk.trying("close", **options)
    await talk.trying("send", text="late")
    await talk.trying("close")
    async for message in talk.hear():
        talk.say("heard", message)


async def outlive(talk):
    """Go on after the client has left."""
    await talk.send("accept")
    async for _ in talk.hear():
        pass
    await talk.trying("send", text="late")
    await talk.trying("close")
    talk.say((await talk.receive())["type"], "again")


async def hesitate(talk):
    """Wait for the client to leave before the answer."""
    event = await talk.receive()
    talk.say(event["type"], event["code"])
    await talk.trying("accept")


async def nonsense(talk):
    await talk.trying("sned", text="x")
    await talk.trying("send", text="too early")
    await talk.send("accept")
    await talk.trying("accept")
    await talk.trying("send")
    await talk.trying("send", text=None, bytes=None)
    await talk.send("send", text="still here")


async def hold(talk):
    """Take nothing until the FIFO lets go; then count."""
    await talk.send("accept")
    talk.say("holding")
    await asyncio.to_thread(lambda: os.close(os.open(talk.query["fifo"], os.O_RDONLY)))
    count = total = 0
    async for message in talk.hear():
        if message == "end":
            await talk.send("send", text=f"{count} {total}")
            continue
        count += 1
        total += len(message)


async def flood(talk):
    """Send more than any buffer holds."""
    await talk.send("accept")
    total = int(talk.query["pieces"])
    for number in range(total):
        send = asyncio.ensure_future(talk.send("send", bytes=PIECE))
        done, _ = await asyncio.wait([send], timeout=0.5)
        if not done:
            talk.say("waiting after", number)
        try:
            await send
        except OSError:
            talk.say("cut after", number)
            return
    talk.say("sent all")


async def duplex(talk):
    """Send pieces while messages come, until there are so many bytes."""
    await talk.send("accept")

    async def pieces():
        for _ in range(int(talk.query["pieces"])):
            await talk.send("send", bytes=PIECE)

    sending = asyncio.ensure_future(pieces())
    left = int(talk.query["bytes"])
    while left > 0:
        left -= len((await talk.receive())["bytes"])
    await sending


async def push(talk):
    """Send without ever receiving."""
    await talk.send("accept")
    await asyncio.to_thread(lambda: os.close(os.open(talk.query["fifo"], os.O_RDONLY)))
    await talk.trying("send", text="pushed")


async def impatient(talk):
    """Cancel a receive; nothing is lost by it."""
    await talk.send("accept")
    for _ in range(20):
        try:
            await asyncio.wait_for(talk.receive(), 0.01)
        except asyncio.TimeoutError:
            continue
    await talk.send("send", text="now")
    async for message in talk.hear():
        await talk.send("send", text=message)


async def pid(talk):
    await talk.send("accept")
    await talk.send("send", text=str(os.getpid()))
    async for _ in talk.hear():
        pass


CASES = {function.__name__: function for function in (
    echo, note, scope, accept, bad_accept, refuse, deny, deny_in_part, raise_early, return_early, raise_late,
    return_late, close, outlive, hesitate, nonsense, hold, flood, duplex, push, impatient, pid,
)}  # fmt: skip


async def application(scope, receive, send):
    """Serve the case that the path names."""
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["path"] == "/block":
        time.sleep(0.6)  # the case: a handler that blocks its loop
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"blocked"})
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"plain"})
    else:
        assert (await receive()) == {"type": "websocket.connect"}
        await CASES[scope["path"].strip("/")](Talk(scope, receive, send))


async def lifespan(scope, receive, send):
    scope["state"]["started"] = True
    for phase in ("startup", "shutdown"):
        assert (await receive())["type"] == f"lifespan.{phase}"
        await send({"type": f"lifespan.{phase}.complete"})
