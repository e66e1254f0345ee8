"""The line to the master: requests and answers told apart by number, over one socket. When it is gone, so are
we.

`Present` is how often the master may be asked how the app is: who asks while an asking waits shares its
answer, and two askings are PAUSE apart, so that no number of scrapers costs the master more than that.
"""

import asyncio
import itertools
import os
import socket
from functools import partial

from forkcluster.admin.shared import Shared
from forkcluster.errors import PeerError, from_json
from forkcluster.wire.control import MOST_ANSWER, Body, Frames, encode

PATIENCE = 2.0  # seconds that the master has for its status
PAUSE = 0.1


class MasterLine:
    """Owns the control connection; belongs to the running loop."""

    def __init__(self, descriptor: int) -> None:
        self._line = socket.socket(fileno=descriptor)
        self._line.setblocking(False)
        self._frames = Frames(MOST_ANSWER)
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[Body]] = {}
        self._sending = asyncio.Lock()
        self._loop = asyncio.get_running_loop()
        self._loop.add_reader(self._line.fileno(), self._hear)

    async def ask(self, command: str, *, patience: float | None, **arguments: object) -> Body:
        """Give the master's answer to one command. Raise PeerError when there is none within `patience`
        seconds (None: as long as it takes), or the error it answers with.
        """
        number = next(self._numbers)
        future: asyncio.Future[Body] = self._loop.create_future()
        self._waiting[number] = future
        try:
            async with self._sending:
                frame = encode({"id": number, "command": command, **arguments})
                await self._loop.sock_sendall(self._line, frame)
            answer = await asyncio.wait_for(future, patience)
        except asyncio.TimeoutError as error:
            text = f"asking the master for {command}: no answer within {patience:g} s"
            raise PeerError(text, "it is stopped or very busy") from error
        finally:
            del self._waiting[number]
        if answer.get("ok") is not True:
            raise from_json(answer.get("error"))
        return answer

    def _hear(self) -> None:
        try:
            data = self._line.recv(1 << 20)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            os._exit(0)  # the master is gone: nothing that we could still tell is true
        for answer in self._frames.feed(data):
            future = self._waiting.get(int(str(answer.pop("id", 0))))
            if future is not None and not future.done():
                future.set_result(answer)


class Present:
    """The master's `status`, at least as new as the asking for it."""

    def __init__(self, master: MasterLine) -> None:
        self._shared = Shared(partial(master.ask, "status", patience=PATIENCE), PAUSE)

    async def status(self) -> Body:
        """Give the status. Raise PeerError when the master does not answer."""
        return await self._shared.get()
