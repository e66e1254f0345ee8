"""Does what a plan says, as many apps at a time as their dependencies allow.

Each step is a generator: what is quick, executing a master above all, it does itself, in the main thread;
what has to be waited for it yields, and a thread of its own waits. The plan is another's; here is only how a
step is done, and in which order.
"""

import queue
import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence

from forkcluster.dataclass import dataclass, replace
from forkcluster.errors import ForkclusterError, InternalError, StateError
from forkcluster.manager import ending, starting
from forkcluster.manager.control import ask
from forkcluster.manager.ecosystem import File, FileApp
from forkcluster.manager.plan import Step, Verb
from forkcluster.manager.record import STOPPED, Record
from forkcluster.manager.register import App, Register
from forkcluster.manager.schedule import Depends, Schedule, among
from forkcluster.manager.status import look
from forkcluster.wire.control import Body
from forkcluster.wire.home import make_place
from forkcluster.wire.outcome import End, Outcome

Result = Body | Outcome | ForkclusterError
Waiting = Callable[[], object]
Doing = Generator[Waiting, object, Body | Outcome]
Heard = Callable[[Step, Result], None]
Waited = tuple[Step, Doing, object]


@dataclass(frozen=True, slots=True)
class Applying:
    """How steps are done: in which register, from which file, with whose environment, in how many seconds."""

    register: Register
    file: File
    environment: Mapping[str, str]
    timeout: float | None = None
    wait: bool = True  # False: what starts is not waited for

    def perform(self, steps: Sequence[Step], heard: Heard) -> None:
        """Do the steps; `heard` is called with what each came to. To be called in the main thread.

        Apps that leave go first, those that come or change in the order of their dependencies. An app whose
        dependency has failed is left as it is, and has an error. Ctrl-C ends the waiting with
        KeyboardInterrupt; what has been begun by then is begun whole.
        """
        removed = [step for step in steps if step.verb is Verb.REMOVE]
        changed = {step.name: step for step in steps if step.verb.changes and step.verb is not Verb.REMOVE}
        waited: queue.SimpleQueue[Waited | None] = queue.SimpleQueue()
        before = signal.signal(signal.SIGINT, lambda *_: waited.put(None))
        try:
            self._run(
                {step.name: step for step in removed}, {step.name: {} for step in removed}, waited, heard
            )
            self._run(changed, among(self.file.depends, set(changed)), waited, heard)
        finally:
            signal.signal(signal.SIGINT, before)

    def _run(
        self,
        steps: Mapping[str, Step],
        depends: Depends,
        waited: "queue.SimpleQueue[Waited | None]",
        heard: Heard,
    ) -> None:
        order = Schedule(depends)

        def advance(step: Step, doing: Doing, value: object) -> None:
            result = _advance(step, doing, value, waited)
            if result is not None:
                heard(step, result)
                (order.failed if _failed(result) else order.ready).add(step.name)

        while True:
            while names := order.next():
                for name in names:
                    advance(steps[name], self._doing(steps[name]), None)
            for name, because in order.blocked():
                text = f"{name} is left as it is: {because}, which it depends on, failed"
                heard(steps[name], StateError(text))
            if order.done:
                return
            one = waited.get()
            if one is None:
                raise KeyboardInterrupt
            advance(*one)

    # -- how one step is done

    def _doing(self, step: Step) -> Doing:
        match step.verb:
            case Verb.START:
                return (yield from self._start(step.name))
            case Verb.ADD:
                return self._add(step.name)
            case Verb.RESTART:
                app = self._app(step.name)
                restarts = look([app], figures=False)[0].restarts + 1
                yield from self._stop(app)
                return (yield from self._start(step.name, restarts))
            case Verb.RELOAD:
                return (yield from self._reload(step.name))
            case Verb.SCALE:
                path = self._control(step.name)
                answer = yield lambda: ask(path, "scale", workers=str(step.workers))
                self._forget_scaling(step.name)
                return _body(answer)
            case _:
                app = self._app(step.name)
                yield from self._stop(app)
                self.register.forget(app)
                return {}

    def _add(self, name: str) -> Body:
        """Register an app that is not started: its name is known, and starts it."""
        app = self._of_file(name)
        place = self.register.place(name)
        with self.register.changing():
            if self.register.app(name) is None:
                make_place(place)
                environment = starting.base_environment(self.environment)
                record = Record(self.register.free_id(), name, app.request, environment, wanted=STOPPED)
                record.come_to(app.reading.options).save(place.record)
        return {}

    def _start(self, name: str, restarts: int | None = None) -> Generator[Waiting, object, Outcome]:
        """Start an app; one that is known keeps the environment that it was first started in."""
        known = self.register.app(name)
        environment = known.record.environment if known and known.record else self.environment
        pending = starting.begin_new(
            self.register, self._of_file(name).request, environment, claim=True, restarts=restarts
        )
        if not self.wait:
            pending.close()
            return Outcome(End.STARTING)
        heard: list[Outcome | ForkclusterError] = []
        yield lambda: starting.wait([pending], self.timeout, lambda _, result: heard.append(result))
        if isinstance(heard[0], ForkclusterError):
            raise heard[0]
        return heard[0]

    def _reload(self, name: str) -> Generator[Waiting, object, Body]:
        """Reload an app as the file asks for it now; that is written down when it has come about."""
        record, path, wanted = self._app(name).record, self._control(name), self._of_file(name)
        if record is None or record.request == wanted.request:
            return _body((yield lambda: ask(path, "reload", timeout=self.timeout)))
        asked = {"flags": dict(wanted.request.flags), "directory": wanted.request.directory}
        answer = yield lambda: ask(path, "reload", timeout=self.timeout, request=asked)
        with self.register.changing():
            app = self._app(name)
            if app.record is not None:
                record = replace(app.record, request=wanted.request).come_to(wanted.reading.options)
                replace(record, namespace=app.record.namespace).save(app.place.record)  # holds from its start
        return _body(answer)

    def _stop(self, app: App) -> Generator[Waiting, object, None]:
        errors: list[ForkclusterError] = []
        ending.want_stopped(self.register, [app])
        yield lambda: ending.stop(
            [app], self.timeout, lambda _, error: errors.extend([error] if error else [])
        )
        if errors:
            raise errors[0]

    def _forget_scaling(self, name: str) -> None:
        """What was scaled by hand counts no more: the file does."""
        with self.register.changing():
            app = self._app(name)
            if app.record is not None and app.record.scaled != (0, 0):
                replace(app.record, scaled=(0, 0)).save(app.place.record)

    def _of_file(self, name: str) -> FileApp:
        return next(each for each in self.file.apps if each.name == name)

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


def _advance(
    step: Step, doing: Doing, value: object, waited: "queue.SimpleQueue[Waited | None]"
) -> Result | None:
    """Let a step go on, with what was waited for; give its result, None when it waits again."""

    def wait(waiting: Waiting) -> None:
        try:
            waited.put((step, doing, waiting()))
        except ForkclusterError as error:
            waited.put((step, doing, error))
        except Exception as error:
            # A thread that ended without a word would leave the caller waiting.
            waited.put((step, doing, InternalError(f"{step.verb.value} {step.name}: {error!r}")))

    try:
        waiting = doing.throw(value) if isinstance(value, ForkclusterError) else doing.send(value)
    except StopIteration as done:
        result: Body | Outcome = done.value
        return result
    except ForkclusterError as error:
        return error
    threading.Thread(target=wait, args=(waiting,), daemon=True).start()  # Ctrl-C does not wait for it
    return None


def _failed(result: Result) -> bool:
    return isinstance(result, ForkclusterError) or (
        isinstance(result, Outcome) and result.end not in (End.READY, End.STARTING)
    )


def _body(value: object) -> Body:
    return value if isinstance(value, dict) else {}
