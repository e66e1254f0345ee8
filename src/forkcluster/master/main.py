"""The master's main: takes the frozen options from the terminal, sets this process up, and runs the master
of the app's mode until it finishes.
"""

import os
import resource
from contextlib import ExitStack

from forkcluster import _process, log
from forkcluster.errors import EXIT_INTERNAL, ConfigurationError, ForkclusterError, InternalError
from forkcluster.master.clustered import ClusterMaster, open_sockets
from forkcluster.master.home import adopt_home, open_home
from forkcluster.master.master import Outside
from forkcluster.master.notify import Notifier
from forkcluster.master.pidfile import PidFile
from forkcluster.master.report import Report
from forkcluster.master.signals import Signals
from forkcluster.options.frozen import Launch
from forkcluster.wire.home import AppPlace
from forkcluster.wire.identity import resolve
from forkcluster.wire.program import unshield
from forkcluster.wire.title import set_title, title_of

DESCRIPTORS = 65536


def raise_descriptor_limit() -> None:
    """Let this process and its children open as many descriptors as the system allows, at most DESCRIPTORS.

    The usual soft limit of 1024 is for programs that use select(2); connections are descriptors.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def main(argv: list[str]) -> int:
    """Run the master of the launch that the descriptor `argv[1]` holds; give the exit code."""
    try:
        with open(int(argv[1]), encoding="utf-8") as file:
            launch = Launch.from_json(file.read())
        return serve(launch)
    except ForkclusterError as error:
        log.error(str(error))
        return error.exit_code
    except Exception as error:
        import traceback

        log.error("the master failed: please report this\n" + "".join(traceback.format_exception(error)))
        return EXIT_INTERNAL


def serve(launch: Launch) -> int:
    """Bind, run, clean up; give the exit code. Raise UserError when it cannot start."""
    mine = launch.registration
    report = Report(mine.report, AppPlace(mine.home, mine.name).outcome) if mine else Report()
    try:
        return _serve(launch, report)
    except ForkclusterError as error:
        report.failed(error)
        raise
    except Exception as error:
        report.failed(InternalError(f"the master failed: {error!r}", "please report what its log says"))
        raise


def _serve(launch: Launch, report: Report) -> int:
    options = launch.options
    directory = launch.request.directory
    log_file = options.log_file and os.path.join(directory, options.log_file)
    try:
        log.configure("master", options.log_level, options.log_format, log_file)
    except OSError as error:
        raise ConfigurationError(
            f"cannot open forkcluster's log {log_file}: {error.strerror}",
            "choose a writable place with --log-file",
        ) from error
    if launch.managed:
        unshield()
    signals = Signals()
    notifier = Notifier(os.environ)
    raise_descriptor_limit()
    set_title(title_of("master", options.name))
    _process.set_child_subreaper()
    for note in launch.notes:
        log.info(note)
    resolve(options.user, options.group)
    with ExitStack() as stack:
        stack.callback(notifier.close)
        sockets = open_sockets(launch)
        stack.callback(sockets.close)
        if options.pid:
            pidfile = PidFile(os.path.join(directory, options.pid))
            pidfile.write()
            stack.callback(pidfile.remove)
        if launch.registration:
            home = adopt_home(options.control, launch.registration)
        else:
            home = open_home(options.control, options.name, os.environ)
        stack.callback(home.close)
        outside = Outside(signals, home, notifier, report)
        if options.exec_mode == "fork":
            from forkcluster.master.forked import ForkMaster  # its modules are for this mode only

            return ForkMaster(launch, outside, sockets).run()
        return ClusterMaster(launch, outside, sockets).run()
