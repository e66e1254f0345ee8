"""The worker's main: from the fork to the exit, everything but serving.

Built from a small frozen spec, never from the master. The engine's native monitor reads the channel from its
making on, and takes a direct TERM as "retire me"; other signals to the group do nothing.
"""

import gc
import os
import select

from forkcluster import _process
from forkcluster.wire.channel import Channel
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.title import set_title, title_of
from forkcluster.worker.engine import make_engine
from forkcluster.worker.inherit import guard_forks
from forkcluster.worker.spec import Application, WorkerSpec

__all__ = ["WorkerSpec", "work"]  # the door by which the mold becomes a worker


def work(spec: WorkerSpec) -> int:
    """Be the worker; give the exit code."""
    set_title(title_of("worker", spec.options.name, spec.slot, f"g{spec.generation}"))
    channel = Channel.adopt(spec.channel)
    _say_hello(channel, spec)
    try:
        engine = make_engine(spec)
        guard_forks(channel, [spec.inbox, spec.scoreboard, _process.leave_fd()])
        application = spec.application or _import(spec)
    except BaseException as error:  # the boundary of the app's import: SystemExit and KeyboardInterrupt too
        channel.send(Message(Kind.FAILED, spec.describe_failure(error), spec.seat, spec.epoch))
        return 1
    channel.send(Message(Kind.READY, "", spec.seat, spec.epoch))
    if _told_to_leave():
        channel.send(Message(Kind.LEAVE, "SIGTERM", spec.seat, spec.epoch))
    engine.serve_wsgi(application)
    return 0


def _say_hello(channel: Channel, spec: WorkerSpec) -> None:
    pid = os.getpid()
    pidfd = os.pidfd_open(pid)
    channel.send(Message(Kind.HELLO, "", spec.seat, spec.epoch, arg=pid), [pidfd])
    os.close(pidfd)


def _import(spec: WorkerSpec) -> Application:
    """Import the app here, since the mold is bare; what it leaves is out of the collector's sight."""
    application = spec.load()
    gc.freeze()
    return application


def _told_to_leave() -> bool:
    """Tell whether a TERM came before the engine took that signal over."""
    return bool(select.select([_process.leave_fd()], [], [], 0)[0])
