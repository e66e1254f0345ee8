"""The master's main: takes the frozen options from the terminal, builds the edge, runs the policy until it
finishes.

The only place where signals, configuration, processes and policy meet. Runs no user code, has one thread,
never forks.
"""

import os
import resource
import signal
from collections import deque

from forkcluster import _process, _scoreboard, log
from forkcluster.errors import EXIT_INTERNAL, ApplicationError, ForkclusterError, InternalError
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.bind import BindSpec
from forkcluster.master.cluster import Cluster
from forkcluster.master.commands import Commands, Placed
from forkcluster.master.control import ControlServer
from forkcluster.master.crew import Crew
from forkcluster.master.facts import Limits
from forkcluster.master.history import History
from forkcluster.master.home import Home, adopt_home, open_home
from forkcluster.master.listeners import open_all
from forkcluster.master.loop import Loop
from forkcluster.master.notify import Notifier, Standing
from forkcluster.master.pidfile import PidFile
from forkcluster.master.probe import Probe, Question
from forkcluster.master.ready import screen
from forkcluster.master.release import Release, pin
from forkcluster.master.reload import Reader
from forkcluster.master.report import Report
from forkcluster.master.roll import Outcome
from forkcluster.master.rounds import Rounds
from forkcluster.master.seats import Ref
from forkcluster.master.signals import Signals
from forkcluster.master.sockets import Sockets
from forkcluster.master.watching import Watching
from forkcluster.options import cpus
from forkcluster.options.frozen import Launch, Options
from forkcluster.wire.home import AppPlace
from forkcluster.wire.identity import acting_as, resolve
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.orders import LoadReport
from forkcluster.wire.title import set_title, title_of

NEED_RESTART = (
    "name",
    "backlog",
    "socket_mode",
    "socket_owner",
    "pid",
    "log_file",
    "log_format",
    "log_level",
)

DESCRIPTORS = 65536


class Master:
    """One app's master, from bound listeners to exit code."""

    def __init__(
        self,
        launch: Launch,
        sockets: Sockets,
        signals: Signals,
        *,
        home: Home,
        notifier: Notifier,
        report: Report,
    ) -> None:
        options = launch.options
        self._loop = Loop()
        self._signals = signals
        self._events: deque[on.Event] = deque()
        self._exit_code: int | None = None
        self._sockets = sockets
        self._probe: Probe | None = None
        self._launch = launch
        self._releases = {1: pin(1, launch.request, options)}
        self._cluster = Cluster(count_workers(options), limits_of(options))
        self._started = self._loop.now()
        board = _scoreboard.create(options.name)
        self._crew = Crew(self._loop, self._events.append, board)
        self._reader = Reader(self._crew.children, launch.request)
        self._interrupted = False
        self._history = History()
        placed = Placed(home.place.name, home.managed, self._urls)
        self._commands = Commands(
            self._cluster,
            self._crew,
            self._events.append,
            self._history,
            options=launch.options,
            place=placed,
        )
        self._rounds = Rounds(self._cluster, self._crew, self._events.append, self._say, launch.options)
        self._notifier = notifier
        self._report = report
        control = home.control
        path = control.path if control else None
        self._watching = self._make_watching(path) if path and launch.options.watch else None
        self._control: ControlServer | None = None
        if control is not None:
            self._control = ControlServer(self._loop, control.socket, self._commands.handle)

    def run(self) -> int:
        """Serve until told to stop; give the exit code."""
        self._loop.watch(self._signals.reader, self._hear_signals)
        self._events.append(on.Start(bare=self._launch.options.preload == "never"))
        configured, scaled = self._launch.registration.scaled if self._launch.registration else (0, 0)
        if scaled and configured == self._cluster.target:
            self._events.append(on.Scaled(to=scaled))
        while self._exit_code is None:
            self._settle()
            self._commands.look()
            self._notifier.update(self._standing())
            if self._exit_code is None:
                self._loop.turn(self._wake_at())
                self._expire(self._loop.now())
                self._crew.children.reap_strays(expecting=self._crew.expecting())
                self._events.append(on.Tick())
        self._reader.cancel()
        self._commands.finished(self._exit_code)
        if self._cluster.failure:
            text = "the application could not be started"
            self._report.failed(ApplicationError(text, details=self._cluster.failure))
        else:
            self._report.ended(self._exit_code)
        if self._watching is not None:
            self._watching.stop()
        if self._control is not None:
            self._control.close()
        self._crew.close()
        self._loop.close()
        return self._exit_code

    def _standing(self) -> Standing:
        cluster = self._cluster
        roll = cluster.roll
        status = f"{len(cluster.ready())} of {cluster.target} workers ready, generation {cluster.current}"
        if roll is not None:
            status = f"reloading: {roll.phase.value}"
        return Standing(cluster.announced, roll.generation if roll else 0, cluster.stopping, status)

    def _make_watching(self, control: str) -> Watching:
        directory = self._releases[1].directory
        return Watching(self._loop, self._crew.children, self._launch.options, directory, control)

    def _settle(self) -> None:
        while self._events:
            for action in self._cluster.step(self._events.popleft(), self._loop.now()):
                self._perform(action)

    def _wake_at(self) -> float | None:
        times = [self._cluster.deadline(self._loop.now()), self._reader.overdue_at()]
        times += [self._crew.stacks.deadline(), self._crew.inboxes.look_at(), self._rounds.deadline()]
        times.append(self._notifier.deadline())
        times += [each.deadline() for each in (self._control, self._watching) if each is not None]
        return min((time for time in times if time is not None), default=None)

    def _expire(self, now: float) -> None:
        self._reader.expire(now)
        self._crew.stacks.expire(now)
        self._crew.inboxes.look(now)
        self._rounds.look(now)
        self._notifier.expire(now)
        for each in (self._control, self._watching):
            if each is not None:
                each.expire(now)

    def _perform(self, action: do.Action) -> None:  # noqa: PLR0912  one line per action
        match action:
            case do.ReadConfiguration(generation):
                self._reader.start(generation, lambda result: self._configured(generation, result))
            case do.StartMold(mold, generation, bare):
                self._crew.start_mold(mold, self._releases[generation], bare=bare)
            case do.EndMold(mold):
                self._crew.end_mold(mold)
            case do.KillMold(mold):
                self._crew.kill_mold(mold)
            case do.Fork():
                self._crew.fork(action, self._sockets.descriptors(action.generation))
            case do.Probe(who, generation):
                self._ask(who, generation)
            case do.Listen(who):
                self._crew.tell(who, Message(Kind.LISTEN, "", *who))
            case do.CountAnswers(generation):
                self._events.append(on.Answered(generation, *self._crew.answers(generation)))
            case do.Conclude(outcome):
                self._conclude(outcome)
            case do.Retire(who, deadline, final):
                self._crew.retire(who, deadline, final=final)
            case do.Quit(who):
                self._crew.tell(who, Message(Kind.QUIT, "", *who))
            case do.Kill(who):
                self._crew.kill(who)
            case do.Say(level, text, fields):
                self._say(level, text, dict(fields))
            case do.Announce():
                self._announce()
            case do.Commit(generation):
                self._releases = {n: r for n, r in self._releases.items() if n >= generation}
                self._sockets.commit(generation)
                self._rounds.configure(self._releases[generation].options)
            case do.Abandon(generation):
                self._releases.pop(generation, None)
                self._sockets.abandon(generation)
            case do.Finish(code):
                self._exit_code = code

    def _configured(self, generation: int, result: Release | str) -> None:
        if isinstance(result, str):
            self._events.append(on.ConfigurationRefused(generation, result))
            return
        options = result.options
        try:
            self._sockets.prepare(generation, options.bind, self._cluster.current)
        except ForkclusterError as error:
            self._events.append(on.ConfigurationRefused(generation, str(error)))
            return
        self._releases[generation] = result
        self._events.append(
            on.Configured(
                generation,
                count_workers(options),
                limits_of(options),
                bare=options.preload == "never",
                probe_timeout=options.probe_timeout if options.probe_path else None,
                notes=restart_notes(self._launch.options, options),
            )
        )

    def _ask(self, who: Ref, generation: int) -> None:
        options = self._releases[generation].options
        question = Question(options.probe_path or "/", options.probe_host, options.probe_header)
        self._probe = Probe(self._loop, question, lambda fault: self._events.append(on.Probed(who, fault)))
        self._crew.tell(who, Message(Kind.PROBE, "", *who), [self._probe.theirs.fileno()])
        self._probe.ask()

    def _conclude(self, outcome: Outcome) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        fields: dict[str, log.Field] = {"generation": outcome.generation, "seconds": outcome.seconds}
        self._say("info" if outcome.done else "error", outcome.text, fields)
        self._commands.concluded(outcome)

    def _say(self, level: str, text: str, fields: dict[str, log.Field]) -> None:
        log.log.write(level, text, fields)
        if level != "debug":
            self._history.add(level, text, fields)

    def _hear_signals(self) -> None:
        for number in self._signals.read():
            match number:
                case signal.SIGTERM:
                    self._events.append(on.StopAsked())
                case signal.SIGINT:
                    self._events.append(on.StopAsked(at_once=self._interrupted))
                    self._interrupted = True
                case signal.SIGQUIT:
                    self._events.append(on.StopAsked(at_once=True))
                case signal.SIGHUP:
                    self._events.append(on.ReloadAsked())
                case signal.SIGTTIN | signal.SIGTTOU:
                    self._events.append(on.Scaled(1 if number == signal.SIGTTIN else -1))
                case signal.SIGUSR1:
                    self._reopen_logs()
                case signal.SIGUSR2:
                    log.warning("USR2 does nothing yet")

    def _reopen_logs(self) -> None:
        log.reopen()
        log.info("logs reopened")
        path = self._launch.options.access_log
        if path is None or path == "-":
            return
        try:
            with acting_as(resolve(self._launch.options.user, self._launch.options.group)):
                descriptor = log.open_append(path)
        except OSError as error:
            log.error("cannot reopen the access log; keeping the old one", path=path, error=str(error))
            return
        self._crew.tell_all(Kind.LOG, [descriptor])
        os.close(descriptor)

    def _urls(self) -> tuple[str, ...]:
        return tuple(listener.url for listener in self._sockets.of(self._cluster.current))

    def _announce(self) -> None:
        options = self._launch.options
        urls = self._urls()
        workers = len(self._cluster.ready())
        report = self._crew.reports.get(self._cluster.current) or LoadReport()
        log.info("ready", app=options.name, listening=" ".join(urls), workers=workers, pid=os.getpid())
        seconds = self._loop.now() - self._started
        if not self._launch.managed:
            show(screen(options, report, urls, workers, seconds))
        self._report.ready(pid=os.getpid(), urls=urls, workers=workers, seconds=round(seconds, 3))
        if self._watching is not None:
            self._watching.start()
        if options.when_ready:
            self._crew.run_hook(self._cluster.current, "when_ready")


def show(text: str) -> None:
    """Print to standard output; a terminal that went away is nobody's fault."""
    try:
        os.write(1, text.encode("utf-8", "backslashreplace"))
    except OSError:
        return


def count_workers(options: Options) -> int:
    """Turn --instances into a number, by the CPUs this process may use now."""
    return cpus.workers(options.instances, cpus.observe()).count


def limits_of(options: Options) -> Limits:
    """Pick what the policy obeys."""
    return Limits(
        boot_timeout=options.boot_timeout,
        drain_timeout=options.drain_timeout,
        min_uptime=options.min_uptime,
        observe=options.observe,
        max_surge=options.max_surge,
        drain_delay=options.drain_delay,
    )


def raise_descriptor_limit() -> None:
    """Let this process and its children open as many descriptors as the system allows, at most DESCRIPTORS.

    The usual soft limit of 1024 is for programs that use select(2); connections are descriptors.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = DESCRIPTORS if hard == resource.RLIM_INFINITY else min(hard, DESCRIPTORS)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def restart_notes(now: Options, wanted: Options) -> tuple[str, ...]:
    """Name the changed options that a reload cannot bring about."""
    changed = [name for name in NEED_RESTART if getattr(now, name) != getattr(wanted, name)]
    return (f"changed, but only a restart brings it about: {', '.join(changed)}",) if changed else ()


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
    log.configure("master", options.log_level, options.log_format, log_file)
    signals = Signals()
    notifier = Notifier(os.environ)
    raise_descriptor_limit()
    set_title(title_of("master", options.name))
    _process.set_child_subreaper()
    for note in launch.notes:
        log.info(note)
    resolve(options.user, options.group)
    spec = BindSpec(directory, options.backlog, options.socket_mode, options.socket_owner, options.reuse)
    sockets = Sockets(open_all(options.bind, spec, os.environ), spec)
    pidfile = PidFile(os.path.join(directory, options.pid)) if options.pid else None
    home: Home | None = None
    try:
        if pidfile:
            pidfile.write()
        if launch.registration:
            home = adopt_home(options.control, launch.registration)
        else:
            home = open_home(options.control, options.name, os.environ)
        return Master(launch, sockets, signals, home=home, notifier=notifier, report=report).run()
    finally:
        notifier.close()
        if home:
            home.close()
        if pidfile:
            pidfile.remove()
        sockets.close()
