"""The master of cluster mode: performs what `cluster.Cluster` decides about molds and workers."""

import os
from collections import deque
from functools import partial

from forkcluster import _process, _scoreboard, log
from forkcluster.errors import ConfigurationError, ForkclusterError
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.app_metrics import Directories
from forkcluster.master.bind import BindSpec
from forkcluster.master.cluster import Cluster
from forkcluster.master.cluster_commands import ClusterCommands
from forkcluster.master.crew import Crew
from forkcluster.master.facts import Limits
from forkcluster.master.listeners import open_all
from forkcluster.master.master import Master, Outside, Timed, restart_notes
from forkcluster.master.notify import Standing
from forkcluster.master.output import is_special
from forkcluster.master.probe import Probe, Question
from forkcluster.master.ready import screen, show
from forkcluster.master.release import Release
from forkcluster.master.restarts import Rules
from forkcluster.master.roll import Outcome
from forkcluster.master.rounds import Rounds
from forkcluster.master.seats import Ref
from forkcluster.master.sockets import Sockets
from forkcluster.master.status import Status, unready
from forkcluster.options import cpus
from forkcluster.options.frozen import Launch, Options
from forkcluster.wire.identity import acting_as, resolve
from forkcluster.wire.messages import Kind, Message
from forkcluster.wire.orders import LoadReport

ORPHANS_GONE = 3.0  # seconds after which no worker of a killed master is left


class ClusterMaster(Master):
    """One web application's master; owns the listeners."""

    def __init__(self, launch: Launch, outside: Outside, sockets: Sockets) -> None:
        check_access_log(launch.options)
        super().__init__(launch, outside)
        options = launch.options
        self._events: deque[on.Event] = deque()
        self._sockets = sockets
        self._probe: Probe | None = None
        self._cluster = Cluster(count_workers(options), limits_of(options))
        board = _scoreboard.create(options.name)
        wanted = options.app_metrics and options.admin != "off"
        self._app_metrics = Directories(options.name, outside.home.place.directory, wanted=wanted)
        self._crew = Crew(
            self._loop,
            self._children,
            self._events.append,
            board=board,
            cluster=self._cluster,
            listeners=sockets.all_descriptors,
            app_metrics=self._app_metrics,
            output=self._output,
        )
        status = Status(
            self._cluster,
            lambda: sockets.of(self._cluster.current),
            self._started,
            options.min_ready,
            self._open_admin(outside.home, board, self._app_metrics.of(options.user, options.group)),
            self._crew.rates.figures,
            self._crew.molds.pids,
        )
        self._commands = ClusterCommands(
            self._cluster,
            self._crew,
            self._events.append,
            self._history,
            options=options,
            placed=self._placed,
            status=status,
        )
        self._rounds = Rounds(self._cluster, self._crew, self._events.append, self._say, launch.options)
        self._timed += [
            Timed(self._crew.stacks.deadline, self._crew.stacks.expire),
            Timed(self._crew.inboxes.look_at, self._crew.inboxes.look),
            Timed(self._rounds.deadline, self._rounds.look),
            Timed(self._crew.rates.deadline, self._crew.rates.look),
        ]

    def _begin(self) -> None:
        self._events.append(on.Start(bare=self._launch.options.preload == "never"))

    def _take(self, event: on.Common) -> None:
        self._events.append(event)

    def _settle(self) -> None:
        while self._events:
            actions = self._cluster.step(self._events.popleft(), self._loop.now())
            # Before anybody is told of it: who hears that the app is up may ask at once.
            self._crew.publish(ready=not unready(self._cluster, self._launch.options.min_ready))
            for action in actions:
                self._perform(action)

    def _policy_deadline(self, now: float) -> float | None:
        return self._cluster.deadline(now)

    def _wanted(self) -> int:
        return self._cluster.target

    def _failure(self) -> str:
        return self._cluster.failure

    def _expecting(self) -> bool:
        return self._crew.molds.expecting()

    def _close(self) -> None:
        self._app_metrics.close()
        self._crew.close()

    def _standing(self) -> Standing:
        cluster = self._cluster
        roll = cluster.roll
        status = f"{len(cluster.ready())} of {cluster.target} workers ready, generation {cluster.current}"
        if roll is not None:
            status = f"reloading: {roll.phase.value}"
        return Standing(cluster.announced, roll.generation if roll else 0, cluster.stopping, status)

    def _perform(self, action: do.Action) -> None:  # noqa: PLR0912  one line per action
        match action:
            case do.ReadConfiguration(generation):
                self._read_configuration(generation)
            case do.StartMold(mold, generation, bare):
                self._crew.molds.start(mold, self._releases[generation], bare=bare)
            case do.EndMold(mold):
                self._crew.molds.end(mold)
            case do.KillMold(mold):
                self._crew.molds.kill(mold)
            case do.WakeMold(mold):
                self._crew.molds.wake(mold)
            case do.Fork():
                self._crew.fork(action, self._sockets.descriptors(action.generation))
            case do.Probe(who, generation):
                self._ask(who, generation)
            case do.Listen(who, generation):
                self._listen(who, generation)
            case do.CountAnswers(generation):
                self._events.append(on.Answered(generation, *self._crew.answers(generation)))
            case do.Conclude(outcome):
                self._conclude(outcome)
            case do.Retire(who, deadline, final):
                self._crew.retire(who, deadline, final=final)
            case do.CloseListeners():
                self._sockets.stop()
            case do.Quit(who):
                self._crew.tell(who, Message(Kind.QUIT, "", *who))
            case do.Examine(who):
                self._crew.examine(who, partial(self._examined, who))
            case do.Kill(who):
                self._crew.kill(who)
            case do.Say(level, text, fields):
                self._say(level, text, dict(fields))
            case do.Announce():
                self._announce()
            case do.Commit(generation):
                self._releases = {n: r for n, r in self._releases.items() if n >= generation}
                self._sockets.commit(generation)
                options = self._releases[generation].options
                self._rounds.configure(options)
                self._committed(options, self._app_metrics.of(options.user, options.group))
            case do.Abandon(generation):
                self._releases.pop(generation, None)
                self._sockets.abandon(generation)
            case do.Finish(code):
                self._exit_code = code

    def _examined(self, who: Ref | int, stacks: str) -> None:
        self._events.append(on.Examined(who, stacks))

    def _configured(self, generation: int, result: Release | str) -> None:
        if isinstance(result, str):
            self._events.append(on.ConfigurationRefused(generation, result))
            return
        options = result.options
        if self._cluster.roll is None or self._cluster.roll.generation != generation:
            return  # given up meanwhile, by a stop
        try:
            self._app_metrics.of(options.user, options.group)
            self._sockets.prepare(generation, options.bind, self._cluster.current)
        except ForkclusterError as error:
            self._refuse(generation, error)
            return
        self._releases[generation] = result
        self._events.append(
            on.Configured(
                generation,
                count_workers(options),
                limits_of(options),
                bare=options.preload == "never",
                probe_timeout=options.probe_timeout if options.probe_path else None,
                drops=self._sockets.drops(generation, self._cluster.current),
                notes=restart_notes(self._launch.options, options),
            )
        )

    def _ask(self, who: Ref, generation: int) -> None:
        options = self._releases[generation].options
        question = Question(options.probe_path or "/", options.probe_host, options.probe_header)
        if self._probe is not None:
            self._probe.close()
        try:
            self._probe = Probe(
                self._loop, question, lambda fault: self._events.append(on.Probed(who, fault))
            )
        except OSError as error:
            self._events.append(on.Probed(who, f"it could not be asked: {error.strerror}"))
            return
        if self._crew.tell(who, Message(Kind.PROBE, "", *who), [self._probe.theirs.fileno()]):
            self._probe.ask()
        else:
            self._probe.close()
            self._events.append(on.Probed(who, "it could not be asked: it is gone"))

    def _listen(self, who: Ref, generation: int) -> None:
        try:
            self._sockets.listen(generation)
        except ForkclusterError as error:
            self._refuse(generation, error)
            return
        self._crew.tell(who, Message(Kind.LISTEN, "", *who))
        self._events.append(on.Listens(who))

    def _conclude(self, outcome: Outcome) -> None:
        if self._probe is not None:
            self._probe.close()
            self._probe = None
        super()._conclude(outcome)

    def _logs_reopened(self) -> None:
        self._crew.reopen_own_logs()
        release = self._releases[self._cluster.current]
        path = release.access_log
        if path is None or path == "-":
            return
        try:
            with acting_as(resolve(release.options.user, release.options.group)):
                descriptor = log.open_append(path)
        except (OSError, ForkclusterError) as error:
            log.error("cannot reopen the access log; keeping the old one", path=path, error=str(error))
            return
        self._crew.tell_all(Kind.LOG, [descriptor])
        os.close(descriptor)

    def _announce(self) -> None:
        options = self._launch.options
        urls = tuple(listener.url for listener in self._sockets.of(self._cluster.current))
        workers = len(self._cluster.ready())
        report = self._crew.molds.reports.get(self._cluster.current) or LoadReport()
        fields: dict[str, log.Field] = {"app": options.name, "listening": " ".join(urls)}
        self._say("info", "ready", {**fields, "workers": workers, "pid": os.getpid(), "event": "up"})
        seconds = self._loop.now() - self._started
        if not self._launch.managed:
            admin = self._admin.url if self._admin else None
            show(screen(options, report, urls, workers=workers, seconds=seconds, admin=admin))
        self._report.ready(pid=os.getpid(), urls=urls, workers=workers, seconds=round(seconds, 3))
        if self._watching is not None:
            self._watching.start()
        if options.when_ready:
            self._crew.molds.run_hook(self._cluster.current, "when_ready")
        _process.trim_memory()  # of the boot


def open_sockets(launch: Launch) -> Sockets:
    """Bind the listeners, or take over systemd's; none in fork mode without them. Raise UserError."""
    options = launch.options
    spec = BindSpec(
        launch.request.directory,
        options.backlog,
        options.socket_mode,
        options.socket_owner,
        options.reuse,
        patience=ORPHANS_GONE,
    )
    passed = os.environ.get("LISTEN_PID") == str(os.getpid())
    if options.exec_mode == "fork" and not options.bind and not passed:
        return Sockets((), spec)
    return Sockets(open_all(options.bind, spec, os.environ), spec)


def check_access_log(options: Options) -> None:
    """Open the access log as a worker will, which makes it. Raise ConfigurationError when that cannot be."""
    path = options.access_log
    if path is None or path == "-" or is_special(path):
        return  # to open a pipe would wait for its reader
    old = os.umask(options.umask) if options.umask is not None else None
    try:
        with acting_as(resolve(options.user, options.group)):
            os.close(log.open_append(path))
    except OSError as error:
        text = f"cannot open the access log {path}: {error.strerror}"
        raise ConfigurationError(text, "choose a writable place with --access-log") from error
    finally:
        if old is not None:
            os.umask(old)


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
        rules=rules_of(options, 0),
    )


def rules_of(options: Options, most: int) -> Rules:
    """Pick the rules of restarts; `most` is max_restarts where nobody says."""
    return Rules(
        restart=options.restart if options.autorestart else "never",
        stop_exit_codes=frozenset(map(int, options.stop_exit_codes)),
        min_uptime=options.min_uptime,
        max_restarts=most if options.max_restarts is None else options.max_restarts,
        restart_delay=options.restart_delay,
        exp_backoff=options.exp_backoff_restart_delay,
    )
