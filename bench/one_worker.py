"""Be one worker, as after the fork: `one_worker.py CHANNEL SCOREBOARD LISTENER`, all descriptors.

What callgrind counts for instructions.py, whose process plays the master: it made the descriptors and claimed
seat 0. Goes past worker.main, which needs a pidfd, which valgrind does not know.
"""

import os
import sys

from apps import wsgi
from forkcluster.options.frozen import Request
from forkcluster.options.read import read
from forkcluster.wire.channel import Channel
from forkcluster.wire.messages import Kind, Message
from forkcluster.worker.engine import make_engine
from forkcluster.worker.spec import WorkerSpec


def main(channel: int, scoreboard: int, listener: int) -> None:
    """Serve until told to retire."""
    request = Request({"target": ("apps:wsgi",)}, os.getcwd())
    spec = WorkerSpec(
        seat=0,
        epoch=1,
        slot=0,
        generation=1,
        hold=False,
        channel=channel,
        scoreboard=scoreboard,
        inbox=-1,
        listeners=(listener,),
        options=read(request, {}).launch(request).options,
        access_log=None,
        application=wsgi,
        interface="wsgi",
        load=lambda: (wsgi, "wsgi"),
        wants_loop=lambda error: False,
        describe_failure=str,
    )
    engine = make_engine(spec, nested=False)
    ours = Channel.adopt(channel)
    ours.send(Message(Kind.READY, "", 0, 1))
    engine.serve_wsgi(wsgi)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
