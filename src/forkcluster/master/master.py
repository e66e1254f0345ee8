"""What every master does, whatever its mode: one loop around signals, the control socket, the watcher, the
reading of configurations, and a policy that decides.

The modes (`clustered`, `forked`) bring the policy and perform its actions. Runs no user code, has one thread,
never forks.
"""

import os
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import NamedTuple

from forkcluster import __version__, log
from forkcluster.dataclass import asdict, dataclass, replace
from forkcluster.errors import ApplicationError, BindError, ForkclusterError, InternalError, UsageError
from forkcluster.master import events as on
from forkcluster.master.admin import Admin, open_admin
from forkcluster.master.children import Children
from forkcluster.master.commands import Commands, Placed
from forkcluster.master.control import ControlServer, Reply
from forkcluster.master.cron import Cron
from forkcluster.master.history import History
from forkcluster.master.home import Home
from forkcluster.master.internal import report_internal
from forkcluster.master.loop import Loop
from forkcluster.master.notify import Notifier, Standing
from forkcluster.master.output import Output
from forkcluster.master.release import Release, pin
from forkcluster.master.reload import Reader
from forkcluster.master.report import Report
from forkcluster.master.roll import Outcome
from forkcluster.master.signals import Signals
from forkcluster.master.watching import Watching
from forkcluster.options.frozen import NEED_RESTART, Launch, Options, Request
from forkcluster.wire.control import Body

QUESTIONS = ("status", "stacks", "options")  # commands that change nothing


class Timed(NamedTuple):
    """What wants to be called at a time: `deadline` gives it, None when nothing is waited for; `expire` does
    what is due, and is called more often than asked for.
    """

    deadline: Callable[[], float | None]
    expire: Callable[[float], None]


@dataclass(frozen=True, slots=True)
class Outside:
    """What a master is given by its main, which closes it afterwards."""

    signals: Signals
    home: Home
    notifier: Notifier
    report: Report


class Master(ABC):
    """One app's master, from the first process to the exit code."""

    _commands: Commands  # the mode's

    def __init__(self, launch: Launch, outside: Outside) -> None:
        self._launch = launch
        self._loop = Loop()
        self._children = Children(self._loop)
        self._started = self._loop.now()
        self._signals = outside.signals
        self._notifier = outside.notifier
        self._report = outside.report
        self._placed = Placed(outside.home.place.name, launch.options.namespace, outside.home.managed)
        self._history = History(outside.home.place.events)
        self._releases = {1: pin(1, launch.request, launch.options)}
        self._reader = Reader(self._children, launch.request)
        self._cron = Cron(self._scheduled)
        self._cron.configure(launch.options.cron_restart, self._loop.now())
        self._timed = [
            Timed(self._cron.deadline, self._cron.expire),
            Timed(self._reader.overdue_at, self._reader.expire),
            Timed(self._notifier.deadline, self._notifier.expire),
        ]
        self._output = Output(self._loop, self._children, launch.options, outside.home, self._say)
        if self._output.capture is not None:
            self._timed.append(Timed(self._output.capture.deadline, self._output.capture.expire))
        self._asked_environment: dict[str, str] | None = None  # for the next reload
        self._asked_request: Request | None = None  # as well
        self._admin: Admin | None = None
        self._exit_code: int | None = None
        self._interrupted = False
        control = outside.home.control
        path = control.path if control else None
        self._watching = self._make_watching(path) if path and launch.options.watch else None
        self._control: ControlServer | None = None
        if control is not None:
            self._control = ControlServer(self._loop, control.socket, self._handle)
            self._timed.append(Timed(self._control.deadline, self._control.expire))
        if self._watching is not None:
            self._timed.append(Timed(self._watching.deadline, self._watching.expire))

    def run(self) -> int:
        """Run the app until told to stop, or until it is over; give the exit code."""
        self._loop.watch(self._signals.reader, self._hear_signals)
        self._commands.report("output", self._output.describe)
        self._commands.add("flush", self._output.flush)
        self._commands.add("reopen", self._reopen)
        self._output.start()
        self._say("info", "starting", {"event": "start", "pid": os.getpid(), "version": __version__})
        self._begin()
        self._take_scale()
        while self._exit_code is None:
            self._settle()
            self._commands.look()
            self._notifier.update(self._standing())
            if self._exit_code is None:
                self._loop.turn(self._wake_at())
                self._expire(self._loop.now())
                self._children.reap_strays(expecting=self._expecting())
                self._take(on.Tick())
        self._reader.cancel()
        self._commands.finished(self._exit_code)
        self._tell_end(self._exit_code)
        if self._watching is not None:
            self._watching.stop()
        if self._control is not None:
            self._control.close()
        if self._admin is not None:
            self._admin.close()
        self._close()
        self._say("info", "stopped", {"event": "stopped", "exit_code": self._exit_code})
        self._history.close()
        self._output.close()
        self._loop.close()
        return self._exit_code

    # -- the mode's ------------------------------------------------------------------------------------------

    @abstractmethod
    def _begin(self) -> None:
        """Have the policy start the app."""

    @abstractmethod
    def _take(self, event: on.Common) -> None:
        """Put an event before the policy."""

    @abstractmethod
    def _settle(self) -> None:
        """Let the policy take in all events, and perform what it wants done."""

    @abstractmethod
    def _policy_deadline(self, now: float) -> float | None:
        """Give the time of the next Tick that would change something."""

    @abstractmethod
    def _standing(self) -> Standing:
        """Say how the app is."""

    @abstractmethod
    def _wanted(self) -> int:
        """Give how many processes the policy wants."""

    @abstractmethod
    def _failure(self) -> str:
        """Say why the app never came to run, with its traceback; empty if it did."""

    @abstractmethod
    def _configured(self, generation: int, result: Release | str) -> None:
        """Take a configuration that was read for a reload, or what is wrong with it."""

    @abstractmethod
    def _close(self) -> None:
        """Give back what the mode holds; every process is gone."""

    def _expecting(self) -> bool:
        """Tell whether a child may have been born whose pid is not known."""
        return False

    @abstractmethod
    def _logs_reopened(self) -> None:
        """Open anew what else is written to files; USR1."""

    # -- for the mode ----------------------------------------------------------------------------------------

    def _open_admin(self, home: Home, board: int, app_metrics: str = "") -> str | None:
        """Have the admin's address listened at; give it. `board` is borrowed. Raise UserError."""
        options = self._launch.options
        listener = open_admin(options.admin, home.place.admin, self._launch.request.directory)
        if listener is None:
            return None
        self._admin = Admin(
            self._loop,
            self._children,
            listener=listener,
            board=board,
            options=options,
            app_metrics=app_metrics,
            handle=self._handle,
        )
        self._timed.append(Timed(self._admin.deadline, self._admin.expire))
        return self._admin.url

    def _read_configuration(self, generation: int) -> None:
        if self._asked_environment is not None:
            take_environment(self._asked_environment)
            self._asked_environment = None
        if self._asked_request is not None:
            self._reader.request = self._asked_request
            self._asked_request = None

        def done(result: Release | str) -> None:
            if isinstance(result, Release) and result.options.exec_mode != self._launch.options.exec_mode:
                result = f"exec_mode has become {result.options.exec_mode}: only a restart brings that about"
            try:
                self._configured(generation, result)
            except Exception as error:  # the app that runs must not end by a configuration
                report_internal("taking in a configuration", error)
                self._take(on.ConfigurationRefused(generation, f"internal error: {error!r}"))

        self._reader.start(generation, done)

    def _refuse(self, generation: int, error: ForkclusterError) -> None:
        """Have a reload fail by what its configuration asks for."""
        self._take(on.ConfigurationRefused(generation, str(error), isinstance(error, BindError)))

    def _say(self, level: str, text: str, fields: dict[str, log.Field]) -> None:
        """Log it; with the field `event`, its kind, it is remembered under that, else as a note."""
        kind = str(fields.pop("event", "note"))
        log.log.write(level, text, fields)
        if level != "debug":
            self._history.add(kind, level, text, fields)

    def _committed(self, options: Options, app_metrics: str = "") -> None:
        """Take on what the mode does not know of, from the generation that counts now."""
        self._cron.configure(options.cron_restart, self._loop.now())
        if self._admin is not None:
            self._admin.follow(options.user, options.group, app_metrics)

    def _conclude(self, outcome: Outcome) -> None:
        fields: dict[str, log.Field] = {"generation": outcome.generation, "seconds": outcome.seconds}
        fields["event"] = "reload-done" if outcome.done else "reload-failure"
        self._say("info" if outcome.done else "error", outcome.text, fields)
        if not outcome.done and outcome.serving in self._releases:
            take_environment(self._releases[outcome.serving].environment)
            self._reader.request = self._releases[outcome.serving].request
        self._commands.concluded(outcome)

    # -- ours ------------------------------------------------------------------------------------------------

    def _reopen_logs(self) -> None:
        self._output.reopen()
        log.info("logs reopened")
        self._logs_reopened()

    def _reopen(self, _request: Body, reply: Reply) -> None:
        self._reopen_logs()
        reply({"ok": True})

    def _scheduled(self) -> None:
        self._say("info", "the time of cron_restart has come", {})
        self._take(on.ReloadAsked())

    def _take_scale(self) -> None:
        """Keep what `scale` has set before a restart, unless the configuration has changed its mind."""
        if self._launch.registration:
            configured, scaled = self._launch.registration.scaled
            if scaled and configured == self._wanted():
                self._take(on.Scaled(to=scaled))

    def _tell_end(self, code: int) -> None:
        if failure := self._failure():
            text = "the application could not be started"
            self._report.failed(ApplicationError(text, details=failure))
        else:
            self._report.ended(code)

    def _handle(self, request: Body, reply: Reply) -> None:
        command = request.get("command")
        if command not in QUESTIONS:
            self._asked(f"{command} asked for", str(request.get("asked_by", "")))
        if command == "options":
            reply({"ok": True, "options": asdict(self._holding())})
            return
        if "environment" in request:
            self._asked_environment = environment_of(request.pop("environment"))
        if "request" in request:
            self._asked_request = request_of(request.pop("request"))
        self._commands.handle(request, reply)

    def _holding(self) -> Options:
        """Give the options that hold: a release's, but for what this master has read at its start."""
        # The oldest release that is kept is the one that counts until a reload is final.
        release = self._releases[min(self._releases)].options
        return replace(release, **{name: getattr(self._launch.options, name) for name in NEED_RESTART})

    def _asked(self, what: str, asker: str) -> None:
        self._say("info", what, {"event": "asked", **({"asked_by": asker} if asker else {})})

    def _make_watching(self, control: str) -> Watching:
        directory = self._releases[1].directory
        return Watching(self._loop, self._children, self._launch.options, directory, control)

    def _wake_at(self) -> float | None:
        times = [self._policy_deadline(self._loop.now()), *(each.deadline() for each in self._timed)]
        return min((time for time in times if time is not None), default=None)

    def _expire(self, now: float) -> None:
        for each in self._timed:
            each.expire(now)

    def _hear_signals(self) -> None:
        for number, asker in self._signals.read():
            if number != signal.SIGCHLD:
                self._asked(f"{number.name} came", asker)
            match number:
                case signal.SIGTERM:
                    self._take(on.StopAsked())
                case signal.SIGINT:
                    self._take(on.StopAsked(at_once=self._interrupted))
                    self._interrupted = True
                case signal.SIGQUIT:
                    self._take(on.StopAsked(at_once=True))
                case signal.SIGHUP:
                    self._take(on.ReloadAsked())
                case signal.SIGTTIN | signal.SIGTTOU:
                    self._take(on.Scaled(1 if number == signal.SIGTTIN else -1))
                case signal.SIGUSR1:
                    self._reopen_logs()
                case signal.SIGUSR2:
                    log.warning("USR2 does nothing: HUP reloads, USR1 opens the logs anew")


def restart_notes(now: Options, wanted: Options) -> tuple[str, ...]:
    """Name the changed options that a reload cannot bring about."""
    changed = [name for name in NEED_RESTART if getattr(now, name) != getattr(wanted, name)]
    return (f"changed, but only a restart brings it about: {', '.join(changed)}",) if changed else ()


def environment_of(value: object) -> dict[str, str]:
    """Read the environment that a request brings. Raise UsageError."""
    if not isinstance(value, dict) or not all(isinstance(text, str) for text in value.values()):
        raise UsageError("environment: expected names and texts")
    for name, text in value.items():
        if "=" in name or "\0" in name + text or not _encodable(name + text):
            raise UsageError(f"environment: {name!r} cannot be a variable of that value")
    return {name: text for name, text in value.items() if name}


def _encodable(text: str) -> bool:
    try:
        os.fsencode(text)
    except UnicodeError:
        return False
    return True


def request_of(value: object) -> Request:
    """Read in what other way an app is asked for. Raise UsageError."""
    try:
        request = Request.from_mapping(value if isinstance(value, dict) else {})
    except InternalError as error:
        raise UsageError(f"request: {error}") from error
    if "\0" in request.directory or not _encodable(request.directory):
        raise UsageError(f"request: {request.directory!r} cannot be a directory")
    return request


def take_environment(environment: Mapping[str, str]) -> None:
    """Make this the environment that configurations are read in, and that new generations begin with."""
    for name in os.environ.keys() - environment.keys() - {""}:
        del os.environ[name]
    os.environ.update({name: text for name, text in environment.items() if name})
