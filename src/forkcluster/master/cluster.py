"""The policy of a cluster: `step(event, now)` takes in what happened and gives the actions that follow.

Two laws. First, events only change facts; then one reconciliation compares the facts with what is wanted (a
ready worker of the wanted generation in every slot, a mold for every generation wanted) and asks for the
difference, so that boot, crash, roll, rollback, scaling and stop are one mechanism. Second, a worker that
serves is retired only when its replacement is ready or its slot is gone, so that capacity never falls by our
doing.

Pure: knows no descriptor, no clock and no process; `now` is CLOCK_MONOTONIC seconds.
"""

from collections.abc import Iterator

from forkcluster.errors import EXIT_APPLICATION, EXIT_OK
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master.facts import Generation, Limits, Mold, Slot, Worker
from forkcluster.master.restarts import Verdict
from forkcluster.master.roll import REFUSED, STOPPED, UNBOUND, Phase
from forkcluster.master.seats import Ref, SeatTable
from forkcluster.master.transaction import Transaction, names

MOLD_EXIT_TIMEOUT = 2.0
QUIT_TIMEOUT = 1.0
EXAMINE_TIMEOUT = 3.0  # for the stacks of one that is late
MOST_FORK_FAILURES = 2
FORK_PATIENCE = 5.0  # a fork takes milliseconds, also of a big application
EXIT_TIMEOUT = 0.5  # beyond its drain, for a worker's own end: it cuts what it leaves unanswered
HUNG_TIMEOUT = 5.0  # for the other requests of a worker that hangs
ORPHAN_TIMEOUT = 2.0


class Cluster(Transaction):
    """The state of one app's processes and the decisions about them."""

    def __init__(self, workers: int, limits: Limits, seats: int = 1024) -> None:
        super().__init__(workers, limits)
        self.seats = SeatTable(seats)
        self.most_workers = seats // 3
        self.molds: dict[int, Mold] = {}
        self.slots: dict[int, Slot] = {}
        self._newest_mold = 0
        self._announced = False
        self._retire_at: float | None = None  # stopping: when workers are told
        self._closed = False  # stopping: nobody can connect any more
        self._finished = False
        self._exit_code = EXIT_OK
        self.failure = ""  # why the first boot, or the app, was given up

    # -- the outside -----------------------------------------------------------------------------------------

    def step(self, event: on.Event, now: float) -> list[do.Action]:
        """Take in one event; give the actions to perform, in order."""
        self._actions = []
        if not self._finished:
            self._take_in(event, now)
            self._reconcile(now)
        return self._actions

    def deadline(self, now: float) -> float | None:
        """Give the time of the next Tick that would change something, None when nothing is waited for."""
        return min((time for time in self._times() if time > now), default=None)

    @property
    def announced(self) -> bool:
        """Whether the first boot is over."""
        return self._announced

    @property
    def stopping(self) -> bool:
        """Whether the end has been asked for, or has come."""
        return self._stopping

    def renewing(self) -> int:
        """Count the workers that serve until they are replaced."""
        return sum(1 for worker in self.workers.values() if worker.serving and worker.leaving)

    # -- taking in -------------------------------------------------------------------------------------------

    def _take_in(self, event: on.Event, now: float) -> None:  # noqa: PLR0912, PLR0915  one line per event
        match event:
            case on.Start(bare):
                self.generations[1] = Generation(1, bare)
            case on.MoldLoaded():
                self._mold_loaded(event, now)
            case on.MoldFailed(number, text):
                if number in self.molds:
                    self.molds[number].failure = text
            case on.MoldEnded(number, how):
                self._mold_ended(number, how, now)
            case on.ForkFailed():
                self._fork_failed(event, now)
            case on.Examined():
                self._examined(event)
            case on.WorkerBorn(who, pid):
                self._worker_born(who, pid)
            case on.WorkerReady(who):
                self._worker_ready(who, now)
            case on.WorkerFailed(who, text):
                if who in self.workers:
                    self.workers[who].failure = text
            case on.WorkerLeaves():
                self._worker_leaves(event, now)
            case on.WorkerHung(who, text):
                self._worker_hung(who, text, now)
            case on.WorkerLost(who):
                self._worker_lost(who, now)
            case on.WorkerEnded(who, how, oom, text):
                if who in self.workers:
                    self.workers[who].failure = self.workers[who].failure or text
                self._worker_ended(who, how, now, oom=oom)
            case on.ReloadAsked():
                self._reload_asked(now)
            case on.Configured():
                self._configured(event, now)
            case on.ConfigurationRefused(generation, text, bind):
                if self.roll and self.roll.generation == generation:
                    self._roll_back(UNBOUND if bind else REFUSED, text, now)
            case on.Listens(who):
                self._listens(who, now)
            case on.Probed(who, fault):
                self._probed(who, fault, now)
            case on.Answered():
                self._answered(event, now)
            case on.Scaled(by, to):
                self._scale(self.target + by if to is None else to)
            case on.RenewAsked():
                self._renew(now)
            case on.StopAsked(at_once):
                self._stop(now, at_once)
            case on.Tick():
                pass

    def _mold_loaded(self, event: on.MoldLoaded, now: float) -> None:
        mold = self.molds.get(event.mold)
        if mold is None or mold.ending:
            return
        if not event.forkable:
            reasons = "; ".join(event.reasons)
            self._say(
                "warning",
                "the loaded application cannot be forked safely; every worker imports it by itself",
                event="unforkable",
                generation=mold.generation,
                found=reasons,
            )
            self.generations[mold.generation].bare = True
            self._end_mold(mold, now)
            return
        mold.ready_at = now
        mold.deadline = None

    def _mold_ended(self, number: int, how: str, now: float) -> None:
        mold = self.molds.pop(number, None)
        if mold is None or mold.ending:
            return
        reason = mold.failure or f"the mold {how} while loading the application"
        generation = self.generations.get(mold.generation)
        if generation is None or self._stopping:
            return
        uptime = None if mold.ready_at is None else now - mold.ready_at
        if not self._booted and mold.ready_at is None:
            self._give_up(reason, now)
        elif self.roll and self.roll.generation == mold.generation:
            what = "the mold ended" if mold.ready_at else "the application could not be loaded"
            self._roll_back(what, reason, now)
        else:
            generation.start_at = now + generation.backoff.after_death(uptime, self.limits.min_uptime)
            text = "the mold ended; workers go on, a new one is started"
            self._say("error", text, event="mold-end", generation=mold.generation, how=mold.failure or how)

    def _worker_born(self, who: Ref, pid: int) -> None:
        worker = self.workers.get(who)
        if worker is not None:
            worker.pid = pid
            worker.born_by = None
            if worker.mold in self.molds:
                self.molds[worker.mold].fork_failures = 0

    def _fork_failed(self, event: on.ForkFailed, now: float) -> None:
        worker = self.workers.get(event.who)
        mold = self.molds.get(worker.mold) if worker is not None else None
        if mold is not None and not event.scarce:
            mold.fork_failures += 1
            if mold.fork_failures >= MOST_FORK_FAILURES and not mold.ending:
                text = "the mold cannot fork; it is replaced"
                self._say("error", text, generation=mold.generation, why=event.text)
                self._end_mold(mold, now)
        self._worker_ended(event.who, f"could not be forked: {event.text}", now)

    def _worker_ready(self, who: Ref, now: float) -> None:
        worker = self.workers.get(who)
        if worker is None or not worker.booting:
            return
        worker.ready_at = now
        worker.deadline = None
        if worker.hold:
            self._canary_ready(worker, now)
            return
        self._booted = True
        self._say("info", "worker ready", event="ready", **names(worker))

    def _worker_leaves(self, event: on.WorkerLeaves, now: float) -> None:
        worker = self.workers.get(event.who)
        if worker is None or worker.ending or worker.leaving:
            return
        text = "worker asks to be retired"
        self._say("info", text, event="recycle", reason=event.reason, **names(worker))
        worker.leaving = True
        worker.why = "recycle" if event.limit else "asked"
        if worker.booting:
            self._quit(worker, now)

    def _worker_hung(self, who: Ref, text: str, now: float) -> None:
        worker = self.workers.get(who)
        if worker is None or worker.ending:
            return
        self._say("error", "worker hangs; it is replaced", event="hang", request=text, **names(worker))
        worker.why = "hang"
        self._retire(worker, now)
        worker.deadline = now + min(HUNG_TIMEOUT, self.limits.drain_timeout)

    def _worker_lost(self, who: Ref, now: float) -> None:
        worker = self.workers.get(who)
        if worker is not None and not worker.killed:
            sooner = now + ORPHAN_TIMEOUT
            worker.deadline = sooner if worker.deadline is None else min(sooner, worker.deadline)

    def _worker_ended(self, who: Ref, how: str, now: float, *, oom: bool = False) -> None:
        worker = self.workers.pop(who, None)
        if worker is None:
            return
        self.seats.free(who)
        self._count_end(worker, how, oom=oom)
        if worker.ending:
            level = "warning" if worker.killed else "info"
            self._say(level, "worker ended", event="end", why=worker.why or "stop", how=how, **names(worker))
            return
        died_ready = worker.ready_at is not None
        said = "worker died" if died_ready else "worker failed to boot"
        event = "crash" if died_ready else "boot-failure"
        reason = worker.failure or f"the worker {how}"
        if self._stopping:
            return
        if not self._booted:
            self._give_up(reason, now)
        elif self.roll and worker.generation == self.roll.generation:
            self._say("error", said, event=event, how=how, **names(worker))
            what = "a new worker died" if died_ready else "a new worker failed to boot"
            self._roll_back(what, reason, now)
        elif worker.leaving or worker.generation != self.current:
            text = "worker ended before it was retired"
            self._say("warning", text, event=event, how=how, **names(worker))
        else:
            uptime = None if worker.ready_at is None else now - worker.ready_at
            slot = self.slots.setdefault(worker.slot, Slot())
            verdict, wait = slot.tries.judge(uptime, self.limits.rules)
            slot.start_at = now + wait
            text = f"{said}\n{worker.failure}" if worker.failure else said
            self._say("error", text, event=event, how=how, next_in=round(wait, 3), **names(worker))
            if verdict is Verdict.ERRORED:
                self._fail(f"workers of slot {worker.slot} died early {slot.tries.early} times in a row", now)

    def _count_end(self, worker: Worker, how: str, *, oom: bool) -> None:
        unexpected = "oom" if oom else "boot" if worker.ready_at is None else "crash"
        reason = worker.why or ("stop" if self._stopping else unexpected)
        self.tally.ended(worker.slot, reason, how)

    # -- scale, stop -----------------------------------------------------------------------------------------

    def _scale(self, asked: int) -> None:
        wanted = min(max(asked, 1), self.most_workers)
        if wanted != asked:
            self._say("warning", "cannot scale", workers=asked, most=self.most_workers, least=1)
        if wanted != self.target:
            self._say("info", "scaled", event="scale", before=self.target, workers=wanted)
        self.target = wanted

    def _renew(self, now: float) -> None:
        """Have every worker replaced; the everyday business does it, with max_surge at a time."""
        for worker in list(self.workers.values()):
            if worker.serving:
                worker.leaving = True
                worker.why = worker.why or "restart"
            elif worker.booting and not worker.hold:
                self._quit(worker, now)

    def _stop(self, now: float, at_once: bool) -> None:
        if not self._stopping:
            text = "stopping at once" if at_once else "stopping"
            self._say("info", text, event="stop", workers=len(self.workers))
        self._stopping = True
        if self.roll is not None:
            self._roll_back(STOPPED, self.failure, now)
        if self._retire_at is None or at_once:
            self._retire_at = now if at_once else now + self.limits.drain_delay
        for worker in self.workers.values():
            if at_once or worker.booting:
                self._quit(worker, now)
        for mold in self.molds.values():
            if at_once or mold.ready_at is None:
                self._kill_mold(mold)

    def _give_up(self, reason: str, now: float) -> None:
        """End the first boot: nothing was ever ready; a worker that is on its way is not waited for."""
        self._say("error", f"the application could not be started\n{reason}", event="boot-failure")
        self._exit_code = EXIT_APPLICATION
        self.failure = reason
        self._stopping = True
        self._retire_at = now
        for worker in self.workers.values():
            self._quit(worker, now)
        for mold in self.molds.values():
            self._kill_mold(mold)

    def _fail(self, what: str, now: float) -> None:
        """End an app that has been restarted as often as --max-restarts allows."""
        self._say("error", f"{what}; the app has failed")
        self._exit_code = EXIT_APPLICATION
        self.failure = what
        self._stop(now, at_once=False)

    # -- reconciliation --------------------------------------------------------------------------------------

    def _reconcile(self, now: float) -> None:
        self._expire(now)
        self._advance_roll(now)
        if self._stopping:
            self._wind_up(now)
            return
        self._keep_molds(now)
        self._keep_slots(now)
        self._announce()
        if self._reload_again and self._booted and self.roll is None:
            self._reload_again = False
            self._reload_asked(now)

    def _expire(self, now: float) -> None:
        for worker in list(self.workers.values()):
            if worker.deadline is not None and now >= worker.deadline:
                self._overdue(worker, now)
            elif worker.born_by is not None and now >= worker.born_by:
                worker.born_by = None
                self._actions.append(do.WakeMold(worker.mold))
        for mold in list(self.molds.values()):
            if mold.deadline is not None and now >= mold.deadline:
                self._mold_overdue(mold, now)

    def _mold_overdue(self, mold: Mold, now: float) -> None:
        if mold.ready_at is None and not mold.ending and not mold.examined:
            mold.examined = True
            mold.failure = f"the application was not loaded within {self.limits.boot_timeout:g} s"
            mold.deadline = now + EXAMINE_TIMEOUT
            self._actions.append(do.Examine(mold.number))
        else:
            self._kill_mold(mold)

    def _overdue(self, worker: Worker, now: float) -> None:
        if worker.booting and not worker.examined:
            worker.examined = True
            late = f"the worker was not ready within {self.limits.boot_timeout:g} s"
            worker.failure = worker.failure or late
            worker.deadline = now + EXAMINE_TIMEOUT
            self._actions.append(do.Examine(worker.who))
        else:
            self._kill(worker)

    def _examined(self, event: on.Examined) -> None:
        """Add its stacks to what is told of it; then its time is over."""
        if isinstance(event.who, int):
            mold = self.molds.get(event.who)
            if mold is not None and mold.ready_at is None and not mold.ending:
                mold.failure = f"{mold.failure}\n{event.stacks}"
                self._kill_mold(mold)
            return
        worker = self.workers.get(event.who)
        if worker is not None and worker.booting:
            worker.failure = f"{worker.failure}\n{event.stacks}"
            self._kill(worker)

    def _kill(self, worker: Worker) -> None:
        if worker.pid is None and worker.mold in self.molds:
            self._kill_mold(self.molds[worker.mold])
        worker.killed = True
        worker.deadline = None
        self._actions.append(do.Kill(worker.who))

    def _keep_molds(self, now: float) -> None:
        for mold in list(self.molds.values()):
            if mold.generation not in self.generations and not mold.ending:
                self._end_mold(mold, now)
        for generation in self.generations.values():
            if self._present_mold(generation.number) is None and now >= generation.start_at:
                self._start_mold(generation, now)

    def _start_mold(self, generation: Generation, now: float) -> None:
        self._newest_mold += 1
        deadline = now + self.limits.boot_timeout
        mold = Mold(self._newest_mold, generation.number, generation.bare, deadline)
        self.molds[mold.number] = mold
        self._actions.append(do.StartMold(mold.number, mold.generation, mold.bare))

    def _keep_slots(self, now: float) -> None:
        for worker in list(self.workers.values()):
            if worker.slot >= self.target and not worker.ending:
                self._dismiss(worker, now, "scale")
        for slot in [number for number in self.slots if number >= self.target]:
            del self.slots[slot]
        for slot in range(self.target if self._booted else min(self.target, 1)):
            self._keep_slot(slot, now)

    def _keep_slot(self, number: int, now: float) -> None:
        wanted = self.current
        if self.roll and self.roll.wants(number):
            wanted = self.roll.generation
        mine = [worker for worker in self.workers.values() if worker.slot == number and not worker.ending]
        good = [w for w in mine if w.serving and w.generation == wanted and not w.leaving]
        coming = [w for w in mine if w.booting and w.generation == wanted]
        keep = (good or coming)[:1]
        stand_in = bool(keep) and keep[0].hold and not self.ready()  # nobody serves while it is on hold
        if stand_in:
            keep += [worker for worker in mine if worker.generation == self.current][:1]
        for worker in mine:
            if worker not in keep and (good or worker.booting):
                self._dismiss(worker, now, "reload")
        if not keep:
            self._fill_slot(number, wanted, now, surge=any(worker.serving for worker in mine))
        elif stand_in and len(keep) == 1:
            self._fill_slot(number, self.current, now, surge=False)

    def _fill_slot(self, number: int, wanted: int, now: float, *, surge: bool) -> None:
        mold = self._ready_mold(wanted)
        slot = self.slots.setdefault(number, Slot())
        rolling = self.roll is not None and self.roll.generation == wanted
        if mold is None or (now < slot.start_at and not rolling):
            return
        if surge and self._surging() >= self.limits.max_surge:
            return
        who = self.seats.take()
        if who is None:
            self._say("error", "no free seat for a worker", slot=number)
            return
        deadline = now + self.limits.boot_timeout
        hold = self.roll is not None and rolling and self.roll.phase in (Phase.CANARY, Phase.PROBING)
        born_by = now + FORK_PATIENCE
        self.workers[who] = Worker(who, number, wanted, mold.number, deadline, born_by, hold=hold)
        self.tally.starts += 1
        self._actions.append(do.Fork(mold.number, who, number, wanted, hold))

    def _surging(self) -> int:
        serving = {worker.slot for worker in self.workers.values() if worker.serving}
        return sum(1 for worker in self.workers.values() if worker.booting and worker.slot in serving)

    def _announce(self) -> None:
        if self._announced or not self._booted:
            return
        ready = {worker.slot for worker in self.ready()}
        if len(ready) >= self.target or any(slot.tries.early for slot in self.slots.values()):
            self._announced = True
            self._actions.append(do.Announce())

    def _wind_up(self, now: float) -> None:
        if self._retire_at is not None and now >= self._retire_at:
            if not self._closed:
                self._closed = True
                self._actions.append(do.CloseListeners())
            for worker in self.workers.values():
                worker.why = worker.why or "stop"
                self._retire(worker, now)
        if self.workers:
            return
        for mold in self.molds.values():
            if not mold.ending:
                self._end_mold(mold, now)
        if not self.molds:
            self._finished = True
            self._actions.append(do.Finish(self._exit_code))

    # -- orders ----------------------------------------------------------------------------------------------

    def _dismiss(self, worker: Worker, now: float, why: str) -> None:
        if self._serves_what_is_dropped(worker):
            return
        worker.why = worker.why or why
        if worker.serving:
            self._retire(worker, now)
        else:
            self._quit(worker, now)

    def _retire(self, worker: Worker, now: float) -> None:
        if worker.ending:
            return
        worker.ending = True
        drained = now + self.limits.drain_timeout
        worker.deadline = drained + EXIT_TIMEOUT
        self._actions.append(do.Retire(worker.who, drained, self._stopping))

    def _quit(self, worker: Worker, now: float) -> None:
        if worker.killed:
            return
        worker.ending = True
        worker.deadline = now + QUIT_TIMEOUT
        self._actions.append(do.Quit(worker.who))

    def _end_mold(self, mold: Mold, now: float) -> None:
        mold.ending = True
        mold.deadline = now + MOLD_EXIT_TIMEOUT
        self._actions.append(do.EndMold(mold.number))

    def _kill_mold(self, mold: Mold) -> None:
        mold.deadline = None
        if not mold.killed:
            mold.killed = True
            self._actions.append(do.KillMold(mold.number))

    # -- looking ---------------------------------------------------------------------------------------------

    def _present_mold(self, generation: int) -> Mold | None:
        """Find the mold that forks this generation, will, or whose end decides what comes next."""
        molds = (mold for mold in self.molds.values() if not mold.ending)
        return next((mold for mold in molds if mold.generation == generation), None)

    def _ready_mold(self, generation: int) -> Mold | None:
        """Find the mold that can be asked for workers of this generation now."""
        mold = self._present_mold(generation)
        return mold if mold is not None and mold.ready_at is not None and not mold.killed else None

    def _times(self) -> Iterator[float]:
        if self._retire_at is not None:
            yield self._retire_at
        for worker in self.workers.values():
            yield from (t for t in (worker.deadline, worker.born_by) if t is not None)
        for mold in self.molds.values():
            if mold.deadline is not None:
                yield mold.deadline
        for slot in self.slots.values():
            yield slot.start_at
        for generation in self.generations.values():
            yield generation.start_at
        if self.roll is not None:
            yield from (t for t in (self.roll.probe_until, self.roll.observe_until) if t is not None)
