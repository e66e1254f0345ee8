"""Does what a plan says, as many apps at a time as their dependencies allow.

Each step is a thread of this terminal's process, which waits for masters and for nothing else. The plan is
another's; here is only how a step is done, and in which order.
"""

import queue
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from forkcluster.errors import ForkclusterError, InternalError, StateError
from forkcluster.manager import ending, starting
from forkcluster.manager.control import ask
from forkcluster.manager.ecosystem import File
from forkcluster.manager.plan import Step, Verb
from forkcluster.manager.register import App, Register
from forkcluster.manager.schedule import Depends, Schedule, among
from forkcluster.wire.control import Body
from forkcluster.wire.outcome import Outcome

Heard = Callable[[Step, Body | Outcome | ForkclusterError], None]


@dataclass(frozen=True, slots=True)
class Doing:
    """How steps are done: in which register, from which file, with whose environment, in how many seconds."""

    register: Register
    file: File
    environment: Mapping[str, str]
    timeout: float | None = None

    def perform(self, steps: Sequence[Step], heard: Heard) -> None:
        """Do the steps; `heard` is called with what each came to, in the thread of the caller.

        Apps that leave go first, those that come or change in the order of their dependencies. An app whose
        dependency has failed is left as it is, and has an error.
        """
        removed = [step for step in steps if step.verb is Verb.REMOVE]
        changed = {step.name: step for step in steps if step.verb.changes and step.verb is not Verb.REMOVE}
        self._run({step.name: step for step in removed}, {step.name: {} for step in removed}, heard)
        self._run(changed, among(self.file.depends, set(changed)), heard)

    def _run(self, steps: Mapping[str, Step], depends: Depends, heard: Heard) -> None:
        order = Schedule(depends)
        done: queue.SimpleQueue[tuple[Step, Body | Outcome | ForkclusterError]] = queue.SimpleQueue()
        while not order.done:
            while names := order.next():
                for name in names:
                    # A daemon: Ctrl-C ends the waiting, and apps go on starting.
                    threading.Thread(target=self._do, args=(steps[name], done), daemon=True).start()
            step, result = done.get()
            heard(step, result)
            failed = isinstance(result, ForkclusterError) or (isinstance(result, Outcome) and result.failure)
            (order.failed if failed else order.ready).add(step.name)
            for name, because in order.blocked():
                heard(
                    steps[name],
                    StateError(f"{name} is left as it is: {because}, which it depends on, failed"),
                )

    def _do(
        self, step: Step, done: "queue.SimpleQueue[tuple[Step, Body | Outcome | ForkclusterError]]"
    ) -> None:
        try:
            done.put((step, self._result(step)))
        except ForkclusterError as error:
            done.put((step, error))
        except Exception as error:
            # A thread that ends without a word would leave its caller waiting.
            done.put((step, InternalError(f"{step.verb.value} {step.name}: {error!r}")))

    def _result(self, step: Step) -> Body | Outcome:
        match step.verb:
            case Verb.START:
                return self._start(step.name)
            case Verb.RESTART:
                self._stop(self._app(step.name))
                return self._start(step.name, counted=True)
            case Verb.RELOAD:
                return ask(self._control(step.name), "reload", timeout=self.timeout)
            case Verb.SCALE:
                return self._scale(step)
            case _:
                app = self._app(step.name)
                self._stop(app)
                self.register.forget(app)
                return {}

    def _start(self, name: str, *, counted: bool = False) -> Outcome:
        app = next(each for each in self.file.apps if each.name == name)
        pending = starting.begin_new(
            self.register, app.request, self.environment, claim=True, counted=counted
        )
        heard: list[Outcome | ForkclusterError] = []
        starting.wait([pending], self.timeout, lambda _, result: heard.append(result))
        if isinstance(heard[0], ForkclusterError):
            raise heard[0]
        return heard[0]

    def _stop(self, app: App) -> None:
        errors: list[ForkclusterError] = []
        ending.want_stopped(self.register, [app])
        ending.stop([app], self.timeout, lambda _, error: errors.extend([error] if error else []))
        if errors:
            raise errors[0]

    def _scale(self, step: Step) -> Body:
        """Scale to what the file says: what was scaled by hand counts no more."""
        answer = ask(self._control(step.name), "scale", workers=str(step.workers))
        with self.register.changing():
            app = self._app(step.name)
            if app.record is not None and app.record.scaled != (0, 0):
                replace(app.record, scaled=(0, 0)).save(app.place.record)
        return answer

    def _app(self, name: str) -> App:
        app = self.register.app(name)
        if app is None:
            raise StateError(f"{name} was deleted meanwhile", "try again")
        return app

    def _control(self, name: str) -> str:
        app = self._app(name)
        if app.control is None:
            raise StateError(f"{name} has no control socket, or has ended meanwhile", "try again")
        return app.control
