"""The policy of fork mode: one command, run in every slot. `step(event, now)` takes in what happened and
gives the actions that follow.

Two laws, as in `cluster`. First, events only change facts; then one reconciliation compares the facts with
what is wanted (a process of the wanted generation in every slot that does not rest) and asks for the
difference. Second, one slot changes at a time: whatever replaces processes (reload, restart, memory limit)
waits until no other slot is in between. A process that may run beside its successor goes when that one is
ready; another is stopped first.

A process counts as ready when it says so (`wait_ready`), or when it is still there after `min_uptime`.

Pure: knows no descriptor, no clock and no process; `now` is CLOCK_MONOTONIC seconds.
"""

from forkcluster.errors import EXIT_APPLICATION, EXIT_OK
from forkcluster.master import actions as do
from forkcluster.master import events as on
from forkcluster.master import fleet_actions as order
from forkcluster.master import fleet_events as heard
from forkcluster.master.fleet_facts import Process, Slot
from forkcluster.master.fleet_roll import FleetRoll
from forkcluster.master.restarts import Verdict
from forkcluster.master.roll import REFUSED, STOPPED, UNBOUND
from forkcluster.wire.states import State

QUIT_TIMEOUT = 1.0  # seconds for a stop at once


class Fleet(FleetRoll):
    """The state of one app's processes and the decisions about them."""

    # -- the outside -----------------------------------------------------------------------------------------

    def step(self, event: heard.Event, now: float) -> list[order.Action]:
        """Take in one event; give the actions to perform, in order."""
        self._actions = []
        if not self._finished:
            self._take_in(event, now)
            self._reconcile(now)
        return self._actions

    def deadline(self, now: float) -> float | None:
        """Give the time of the next Tick that would change something, None when nothing is waited for."""
        times = [
            time for process in self.processes.values() for time in (process.deadline, process.ready_due)
        ]
        times += [slot.start_at for number, slot in self.slots.items() if not self.of(number)]
        times += [self.roll.observe_until] if self.roll else []
        return min((time for time in times if time is not None and time > now), default=None)

    def state_of(self, number: int) -> State:
        """Give the word for a slot that has no process."""
        return self.slots[number].rest or State.WAITING

    # -- taking in -------------------------------------------------------------------------------------------

    def _take_in(self, event: heard.Event, now: float) -> None:  # noqa: PLR0912  one line per event
        match event:
            case heard.Begin():
                self._begun = True
            case heard.Spawned(number, pid):
                if number in self.processes:
                    self.processes[number].pid = pid
                self.tally.starts += 1
            case heard.SpawnFailed(number, text):
                process = self.processes.pop(number, None)
                if process is not None and not process.ending:
                    self._judge(process, 127, text, now)
            case heard.ProcessReady(number):
                self._process_ready(number, now)
            case heard.ProcessStopping(number):
                if number in self.processes:
                    self.processes[number].stopping = True
            case heard.ProcessLeaves(number, reason):
                self._process_leaves(number, reason)
            case heard.ProcessEnded(number, code, how):
                self._process_ended(number, code, how, now)
            case heard.TreeGone(number):
                self.processes.pop(number, None)
            case on.ReloadAsked():
                self._reload_asked(now)
            case on.Configured():
                self._configured(event, now)
            case on.ConfigurationRefused(generation, text, bind):
                if self.roll and self.roll.generation == generation:
                    self._roll_back(UNBOUND if bind else REFUSED, text, now)
            case on.Scaled(by, to):
                self._scale(self.target + by if to is None else to)
            case on.RenewAsked():
                self._renew()
            case on.StopAsked(at_once):
                self._stop(now, at_once)
            case on.Tick():
                pass

    def _process_ready(self, number: int, now: float) -> None:
        process = self.processes.get(number)
        if process is None or process.ready_at is not None or process.ending:
            return
        process.ready_at = now
        process.ready_due = process.deadline = None
        self._say("info", "process ready", event="ready", **names(process))

    def _process_leaves(self, number: int, reason: str) -> None:
        process = self.processes.get(number)
        if process is None or process.ending or process.leaving:
            return
        self._say("info", "process is to be replaced", event="recycle", reason=reason, **names(process))
        process.leaving = True
        process.why = "recycle"
        slot = self.slots[process.slot]
        slot.restarts += 1
        slot.last = reason

    def _process_ended(self, number: int, code: int, how: str, now: float) -> None:
        process = self.processes.get(number)
        if process is None:
            return
        expected = process.ending
        if not expected:
            process.ending = True
            process.deadline = now + self.limits_of(process.generation).drain_timeout
            self._judge(process, code, how, now)
        else:
            self._ended_as_asked(process, how)
        self._actions.append(order.KillTree(number) if process.killed else order.Sweep(number))

    def _ended_as_asked(self, process: Process, how: str) -> None:
        self._count(process, process.why or "stop", how)
        level = "warning" if process.killed else "info"
        self._say(level, "process ended", event="end", why=process.why or "stop", how=how, **names(process))

    def _count(self, process: Process, reason: str, how: str) -> None:
        """Count an end once: what was judged for being late has yet to be killed."""
        if not process.counted:
            process.counted = True
            self.tally.ended(process.slot, reason, how)

    def _judge(self, process: Process, code: int, how: str, now: float) -> None:
        """Say what follows from an end that nobody asked for."""
        slot = self.slots[process.slot]
        slot.last = how
        if self._stopping:
            self._ended_as_asked(process, how)
            return
        if process.leaving or process.generation != self._wanted(process.slot):
            self._count(process, process.why or "reload", how)
            text, event = "process ended before it was replaced", "crash" if code else "end"
            self._say("warning", text, event=event, how=how, **names(process))
            return
        limits = self.limits_of(process.generation)
        uptime = None if process.ready_at is None else now - process.started_at
        verdict, wait = slot.tries.after(code, uptime, limits.rules)
        reason, event = unasked(process, code, verdict)
        self._count(process, reason, how)
        if verdict is Verdict.STOPPED:
            self._rest(slot, process, State.STOPPED, failed=limits.rules.restart == "never" and code != 0)
            level = "error" if slot.failed else "info"
            self._say(level, "process ended; it is not started again", event=event, how=how, **names(process))
        elif self.roll is not None and process.generation == self.roll.generation:
            self._say("error", "process died", event=event, how=how, **names(process))
            what = "a new process died" if process.ready_at else "a new process died before it was ready"
            self._actions.append(order.Blame(process.slot))
            self._roll_back(what, f"slot {process.slot}, pid {process.pid}: the process {how}", now)
        elif verdict is Verdict.ERRORED:
            self._rest(slot, process, State.ERRORED, failed=True)
            text = f"process died early {slot.tries.early} times in a row; it is not started again"
            self._say("error", text, event=event, how=how, **names(process))
        else:
            slot.restarts += 1
            slot.start_at = now + wait
            slot.renewing = False
            fields = {"how": how, "next_in": round(wait, 3), **names(process)}
            self._say("error", "process died", event=event, **fields)
        if not self.announced and verdict is not Verdict.STOPPED:
            self._stumbled(f"the process {how}", process.slot)

    def _rest(self, slot: Slot, process: Process, state: State, *, failed: bool) -> None:
        slot.rest, slot.rested, slot.failed, slot.renewing = state, process.generation, failed, False
        if failed:
            self.failed_slot = process.slot
            self.failure = f"slot {process.slot}: the process {slot.last}, and is not started again"

    def _stumbled(self, text: str, slot: int) -> None:
        if not self._has_stumbled:
            self._has_stumbled = True
            self._actions.append(order.Stumbled(text, slot))

    # -- scale, renew, stop ----------------------------------------------------------------------------------

    def _scale(self, asked: int) -> None:
        wanted = min(max(asked, 1), self.most_workers)
        if wanted != asked:
            self._say("warning", "cannot scale", workers=asked, most=self.most_workers, least=1)
        if wanted != self.target:
            self._say("info", "scaled", event="scale", before=self.target, workers=wanted)
        self.target = wanted

    def _renew(self) -> None:
        """Have every process replaced, and what rests started; one at a time."""
        for slot in self.slots.values():
            slot.forgive()
            slot.renewing = True
        for process in self.processes.values():
            process.leaving = True
            process.why = process.why or "restart"

    def _stop(self, now: float, at_once: bool) -> None:
        if not self._stopping:
            text = "stopping at once" if at_once else "stopping"
            self._say("info", text, event="stop", processes=len(self.processes))
        self._stopping = True
        if self.roll is not None:
            self._roll_back(STOPPED, "", now)
        for process in self.processes.values():
            self._retire(process, now, "stop")
            if at_once and not process.killed:
                process.deadline = min(process.deadline or now, now + QUIT_TIMEOUT)

    # -- reconciliation --------------------------------------------------------------------------------------

    def _reconcile(self, now: float) -> None:
        self._expire(now)
        self._advance_roll(now)
        if self._stopping:
            if not self.processes:
                self._finish(EXIT_OK)
            return
        if not self._begun:
            return
        self._keep_slots(now)
        self._announce()
        if self._reload_again and self.roll is None:
            self._reload_again = False
            self._reload_asked(now)
        elif self._over():
            self.over = True
            failed = any(slot.failed for slot in self.slots.values())
            self._finish(EXIT_APPLICATION if failed else EXIT_OK)

    def _expire(self, now: float) -> None:
        for process in list(self.processes.values()):
            if process.ready_due is not None and now >= process.ready_due:
                self._process_ready(process.number, now)
            if process.deadline is None or now < process.deadline:
                continue
            process.deadline = None
            process.killed = True
            self._actions.append(order.KillTree(process.number))
            if not process.ending:
                seconds = self.limits_of(process.generation).boot_timeout
                process.ending = True
                self._judge(process, 127, f"was not ready within {seconds:g} s", now)

    def _keep_slots(self, now: float) -> None:
        for process in self.processes.values():
            if process.slot >= self.target:
                self._retire(process, now, "scale")
        for number in [each for each in self.slots if each >= self.target and not self.of(each)]:
            del self.slots[number]
        for number in range(self.target - 1, -1, -1):
            self._keep_slot(number, now)

    def _keep_slot(self, number: int, now: float) -> None:
        slot = self.slots.setdefault(number, Slot())
        mine = [process for process in self.of(number) if not process.ending]
        wanted = self._wanted(number)
        good = [process for process in mine if process.generation == wanted and not process.leaving]
        old = [process for process in mine if process not in good]
        for process in old:
            if process.ready_at is None:  # nobody counts on it yet
                self._retire(process, now, "reload")
        if slot.rest or any(process.ready_at is not None for process in good):
            slot.renewing = False
            for process in old:
                self._retire(process, now, "reload")
        elif good or now < slot.start_at or not self._turn_of(number, now):
            return
        elif old and not self.limits_of(wanted).overlap:
            for process in old:
                self._retire(process, now, "reload")
        elif not any(process.ending for process in self.of(number)):
            self._spawn(number, wanted, now)

    def _turn_of(self, number: int, now: float) -> bool:
        """Tell whether that slot may change now: if nothing of it runs, or no other is in between."""
        if not self.of(number):
            return True
        return not any(self._between(other, now) for other in self.slots if other != number)

    def _between(self, number: int, now: float) -> bool:
        """Tell whether a process of that slot starts or ends, or is about to be started."""
        if number >= self.target:
            return False
        mine = self.of(number)
        if not mine:
            return self.slots[number].rest is None and now >= self.slots[number].start_at
        return any(process.ending or process.ready_at is None for process in mine)

    def _spawn(self, slot: int, generation: int, now: float) -> None:
        self._newest_process += 1
        limits = self.limits_of(generation)
        process = Process(self._newest_process, slot, generation, now)
        if limits.wait_ready:
            process.deadline = now + limits.boot_timeout
        else:
            process.ready_due = now + limits.rules.min_uptime
        self.processes[process.number] = process
        self._actions.append(order.Spawn(process.number, slot, generation))

    def _retire(self, process: Process, now: float, why: str) -> None:
        if process.ending:
            return
        process.ending = True
        process.why = process.why or why
        process.ready_due = None
        process.deadline = now + self.limits_of(process.generation).drain_timeout
        self._actions.append(order.Ask(process.number))

    def _announce(self) -> None:
        scheduled = self.limits_of(self.current).scheduled and not self._over()
        if not self.announced and self._settled() and (self.ready() or scheduled):
            self.announced = True
            self._actions.append(do.Announce())

    def _settled(self) -> bool:
        """Tell whether every slot has a ready process, or rests."""
        ready = {process.slot for process in self.ready()}
        return all(number in ready or self.slots[number].rest for number in range(self.target))

    def _over(self) -> bool:
        """Tell whether nothing runs and nothing will."""
        if self.processes or self.roll is not None:
            return False
        slots = self.slots.values()
        scheduled = self.limits_of(self.current).scheduled and not any(s.rest is State.ERRORED for s in slots)
        return not scheduled and all(slot.rest for slot in slots)

    def _finish(self, code: int) -> None:
        self._finished = True
        self._stopping = True
        self._actions.append(do.Finish(code))


def unasked(process: Process, code: int, verdict: Verdict) -> tuple[str, str]:
    """Say why a process ended that nobody asked to (one of tally.REASONS), and what event that is. Pure."""
    if code == 0:
        return ("done" if verdict is Verdict.STOPPED else "exit"), "end"
    return ("boot", "boot-failure") if process.ready_at is None else ("crash", "crash")


def names(process: Process) -> dict[str, str | int | float]:
    """Name a process for the log."""
    return {"slot": process.slot, "generation": process.generation, "pid": process.pid}
