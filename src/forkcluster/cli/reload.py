"""`forkcluster reload`: new code and configuration, worker by worker, or no change at all."""

import contextlib
import os
from collections.abc import Sequence

import click

from forkcluster.cli import choosing, files
from forkcluster.cli.results import Results, notes_of
from forkcluster.cli.start import deferred_interrupt, wait_for
from forkcluster.errors import ForkclusterError, LateError, StateError, UsageError
from forkcluster.manager import ecosystem, starting
from forkcluster.manager.control import Answer, NoAnswerError, ask_all
from forkcluster.manager.plan import Mode
from forkcluster.manager.register import App, Register
from forkcluster.manager.starting import Pending
from forkcluster.manager.status import number

HELP = """Load new code and configuration and replace the workers, one by one: no request is lost.

If the new release does not start, the old one goes on serving and its traceback is printed. An app that does
not run is started."""


def build() -> click.Command:
    """Make the command."""
    options = [
        click.Option(["--running"], is_flag=True, help="Pass over apps that do not run."),
        click.Option(
            ["env_name", "--env"],
            metavar="NAME",
            help="Of a FILE: take the variables of env_NAME over those of env from now on.",
        ),
        choosing.update_env(),
        choosing.parallel(),
    ]
    return choosing.command(
        "reload",
        _reload,
        HELP,
        choosing.targets(),
        options,
        choosing.waiting("for the outcome")[1:],
        [choosing.as_json()],
    )


def _reload(
    targets: Sequence[str],
    only: Sequence[str],
    *,
    running: bool,
    env_name: str | None,
    update_env: bool,
    parallel: int,
    timeout: float | None,
    as_json: bool,
) -> int:
    results = Results(as_json=as_json)
    if env_name is not None:
        planned = files.prepare(_file_of(targets, env_name), only, env_name, Mode.RELOAD)
        files.perform(planned, results, timeout)
        return results.finish()
    register, apps = choosing.chosen(targets, only)
    resting = _resting(targets, only)
    apps = [app for app in apps if app.running or not (running or app.name in resting)]
    for app in [app for app in apps if app.running and not app.control]:
        results.bad(app.name, StateError("has no control socket", f"kill -HUP {app.pid} reloads it"))
    environment = starting.base_environment(os.environ) if update_env else None
    for batch in choosing.batches(apps, parallel):
        paths = {app.name: app.control for app in batch if app.running and app.control}
        asked = {"environment": environment} if environment is not None else {}
        answers = ask_all(
            paths,
            "reload",
            timeout=timeout,
            done=lambda name, answer: _tell(results, name, answer),
            **asked,
        )
        if environment is not None:
            starting.keep_environment(
                register, environment, [n for n, a in answers.items() if isinstance(a, dict)]
            )
        with deferred_interrupt() as heard:
            pending = _start(register, [app for app in batch if not app.running], results, environment)
        if not wait_for(pending, results, heard, timeout=timeout):
            break
    return results.finish("there is nothing to reload")


def _resting(targets: Sequence[str], only: Sequence[str]) -> set[str]:
    """Give the apps of the files among the targets that are not started unless they are named."""
    found: set[str] = set()
    for word in targets if not only else ():
        if word != "-" and files.is_file(word):
            with contextlib.suppress(ForkclusterError):  # told by the reloads themselves
                source = ecosystem.from_file(os.path.abspath(word), os.environ)
                apps = ecosystem.load(source, os.environ).apps
                found |= {app.name for app in apps if not app.autostart}
    return found - set(targets)


def _file_of(targets: Sequence[str], env_name: str) -> str:
    """Give the one file whose environment is to hold. Raise UsageError."""
    if len(targets) == 1 and files.is_file(targets[0]):
        return targets[0]
    raise UsageError(
        f"--env {env_name}: names variables of an ecosystem file, and {' '.join(targets)} is none",
        f"forkcluster reload FILE --env {env_name}; restart TARGET --env KEY=VALUE sets a variable",
    )


def _tell(results: Results, name: str, answer: Answer) -> None:
    if isinstance(answer, NoAnswerError):
        results.bad(
            name, LateError("is not reloaded yet; the reload goes on", "forkcluster history tells how")
        )
        return
    if isinstance(answer, ForkclusterError):
        results.bad(name, answer)
        return
    words = notes_of(answer)
    seconds = number(answer, "seconds") or 0.0
    text = f"is reloaded: generation {answer.get('generation')}, in {seconds:.1f} s{words}"
    results.good(name, text, **{key: value for key, value in answer.items() if key != "ok"})


def _start(
    register: Register, apps: Sequence[App], results: Results, environment: starting.Env | None
) -> list[Pending]:
    pending: list[Pending] = []
    for app in apps:
        try:
            pending.append(starting.begin_again(register, starting.renewed(app, environment=environment)))
        except ForkclusterError as error:
            results.bad(app.name, error)
    return pending
