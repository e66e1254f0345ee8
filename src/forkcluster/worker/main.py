"""The worker's main: from the fork to the exit, everything but serving.

Built from a small frozen spec, never from the master. The engine's native monitor reads the channel from its
making on, and takes a direct TERM as "retire me"; other signals to the group do nothing.
"""

import gc
import os

from forkcluster import _process, log
from forkcluster.wire.channel import Channel
from forkcluster.wire.hooks import Occasion, run
from forkcluster.wire.stacks import register
from forkcluster.wire.stops import stop_here
from forkcluster.wire.title import set_title, title_of
from forkcluster.worker.engine import make_engine
from forkcluster.worker.inherit import Inheritance
from forkcluster.worker.line import Line
from forkcluster.worker.spec import Application, WorkerSpec
from forkcluster.worker.threads import serve_wsgi
from forkcluster.worker.vigil import end_with_master

__all__ = ["WorkerSpec", "work"]  # the door by which the mold becomes a worker


def work(spec: WorkerSpec) -> int:
    """Be the worker; give the exit code."""
    set_title(title_of("worker", spec.options.name, spec.slot, f"g{spec.generation}"))
    os.environ[spec.options.instance_var] = str(spec.slot)
    for number, stream in enumerate(spec.streams or (), 1):
        os.dup2(stream, number)
        os.close(stream)
    log.configure(
        "worker", spec.options.log_level, spec.options.log_format, fd=log.log.fd, stamped=spec.stamped
    )
    line = Line(Channel.adopt(spec.channel), spec.seat, spec.epoch)
    reader, writer = register()
    stop_here("worker-before-hello", spec.slot, spec.epoch, spec.generation)
    line.hello(reader)
    os.close(reader)
    try:
        run(spec.options, _occasion("post_fork", spec))
        code = _serve(spec, line, writer)
        run(spec.options, _occasion("worker_exit", spec))
        return code
    except BaseException as error:  # the boundary of the app's import: SystemExit and KeyboardInterrupt too
        line.failed(spec.describe_failure(error))
        if line.booted:
            raise
        return 1


def _occasion(hook: str, spec: WorkerSpec) -> Occasion:
    return Occasion(hook, spec.options.name, spec.generation, spec.slot)


def _serve(spec: WorkerSpec, line: Line, stacks: int) -> int:
    """Boot as what the app is and serve. An app that nobody knows yet is imported before the engine."""
    others = [spec.inbox, spec.scoreboard, stacks, _process.leave_fd()]
    inheritance = Inheritance(line.channel, spec.listeners, others)
    application, interface = spec.application, spec.interface
    if application is None and not interface:
        application, interface = _find_out(spec, line)
    if interface == "asgi":
        from forkcluster.worker.asgi import serve_asgi

        inheritance.engine = make_engine(spec, nested=True)
        return serve_asgi(spec, line, inheritance.engine, application, stacks)
    inheritance.engine = engine = make_engine(spec)
    if application is None:
        application, _ = spec.load()
        gc.freeze()
    stop_here("worker-before-ready", spec.slot, spec.epoch, spec.generation)
    engine.begin(application)  # it listens before the master hears so: another worker may go then
    line.ready()
    serve_wsgi(engine, spec.options.threads)
    return 0


def _find_out(spec: WorkerSpec, line: Line) -> tuple[Application | None, str]:
    """Import the app; None, when that can only be done in a running loop."""
    try:
        with end_with_master(line.channel.fileno()):
            found = spec.load()
    except Exception as error:
        if not spec.wants_loop(error):
            raise
        return None, "asgi"
    gc.freeze()
    return found
