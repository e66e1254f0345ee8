"""The worker's main: from the fork to the exit, everything but serving.

Built from a small frozen spec, never from the master. The engine's native monitor reads the channel from its
making on, and takes a direct TERM as "retire me"; other signals to the group do nothing.
"""

import os

from forkcluster.wire.channel import Channel
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.title import set_title, title_of
from forkcluster.worker.engine import make_engine
from forkcluster.worker.spec import WorkerSpec

def work(spec: WorkerSpec) -> int:
    """Be the worker; give the exit code."""
    set_title(title_of("worker", spec.options.name, spec.slot, f"g{spec.generation}"))
    channel = Channel.adopt(spec.channel)
    pidfd = os.pidfd_open(os.getpid())
    channel.send(Message(Kind.HELLO, "", spec.seat, spec.epoch, arg=os.getpid()), [pidfd])
    os.close(pidfd)
    engine = make_engine(spec)
    try:
        application = spec.application or spec.load()
    except BaseException as error:  # the boundary of the app's import: SystemExit and KeyboardInterrupt too
        channel.send(Message(Kind.FAILED, spec.describe_failure(error), spec.seat, spec.epoch))
        return 1
    channel.send(Message(Kind.READY, "", spec.seat, spec.epoch))
    engine.serve_wsgi(application)
    return 0
