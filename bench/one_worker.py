"""Be one worker, as after the fork: `one_worker.py TARGET INTERFACE[:THREADS] CHANNEL SCOREBOARD LISTENER`.

The last three are descriptors. What callgrind counts for instructions.py, whose process plays the master: it
made them and claimed seat 0. Goes past worker.main, which needs a pidfd, which valgrind does not know; the
monitor hardly looks for long calls, since under valgrind each is one.
"""

import importlib
import os
import sys

from forkcluster.options.frozen import Request
from forkcluster.options.read import read
from forkcluster.wire.channel import Channel
from forkcluster.wire.messages import Kind, Message
from forkcluster.worker.asgi import serve_asgi
from forkcluster.worker.engine import make_engine
from forkcluster.worker.line import Line
from forkcluster.worker.spec import WorkerSpec
from forkcluster.worker.threads import serve_wsgi


class Ready(Line):
    """A line that knows no TERM which came at birth: that is the mold's descriptor."""

    def ready(self) -> None:
        """Booting is over."""
        self.channel.send(Message(Kind.READY, "", 0, 1))


def main(target: str, interface: str, channel: int, scoreboard: int, listener: int) -> None:
    """Serve until told to retire."""
    module, _, name = target.partition(":")
    application = getattr(importlib.import_module(module), name)
    interface, _, threads = interface.partition(":")
    asked = {"target": (target,)} | ({"threads": (threads,)} if threads else {})
    request = Request(asked, os.getcwd())
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
        application=application,
        interface=interface,
        load=lambda: (application, interface),
        wants_loop=lambda error: False,
        describe_failure=str,
    )
    engine = make_engine(spec, nested=interface == "asgi", look=3600)
    line = Ready(Channel.adopt(channel), spec.seat, spec.epoch)
    if interface == "asgi":
        serve_asgi(spec, line, engine, application)
    else:
        engine.begin(application)
        line.ready()
        serve_wsgi(engine, spec.options.threads)


if __name__ == "__main__":
    main(*sys.argv[1:3], *map(int, sys.argv[3:]))
