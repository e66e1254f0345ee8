"""The worker's main: from the fork to the exit, everything but serving.

Built from a small frozen spec, never from the master. TERM means "retire me" and reaches us as a readable
`_process.leave_fd()`; other signals to the group do nothing, since commands come by the channel.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass

from forkcluster.options.frozen import Options
from forkcluster.wire.channel import Channel
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.title import set_title, title_of
from forkcluster.worker import plain

Application = Callable[..., object]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All a worker needs. Descriptors are owned; `application` is None when it must be imported here, by
    `load`.
    """

    seat: int
    epoch: int
    slot: int
    generation: int
    channel: int
    scoreboard: int
    inbox: int
    listeners: tuple[int, ...]
    options: Options
    application: Application | None
    load: Callable[[], Application]
    describe_failure: Callable[[BaseException], str]


def work(spec: WorkerSpec) -> int:
    """Be the worker; give the exit code."""
    set_title(title_of("worker", spec.options.name, spec.slot, f"g{spec.generation}"))
    channel = Channel.adopt(spec.channel)
    pidfd = os.pidfd_open(os.getpid())
    channel.send(Message(Kind.HELLO, "", spec.seat, spec.epoch, arg=os.getpid()), [pidfd])
    os.close(pidfd)
    try:
        application = spec.application or spec.load()
    except BaseException as error:  # the boundary of the app's import: SystemExit and KeyboardInterrupt too
        channel.send(Message(Kind.FAILED, spec.describe_failure(error), spec.seat, spec.epoch))
        return 1
    channel.send(Message(Kind.READY, "", spec.seat, spec.epoch))
    plain.serve(application, channel, spec.listeners, spec.seat, spec.epoch)
    return 0
