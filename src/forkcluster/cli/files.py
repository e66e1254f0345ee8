"""What the commands that take a configuration file share: its parameters, the plan as text, and doing it."""

import json
import os
import sys
from collections.abc import Sequence

import click

from forkcluster.cli import choosing, streams
from forkcluster.cli.results import Results, notes_of
from forkcluster.cli.serve import working_directory
from forkcluster.cli.start import tell
from forkcluster.dataclass import dataclass
from forkcluster.errors import ForkclusterError, StateError, UsageError
from forkcluster.manager import ecosystem
from forkcluster.manager.applying import Applying, Result
from forkcluster.manager.known import known_apps
from forkcluster.manager.plan import Mode, Step, Verb, plan, summary
from forkcluster.manager.register import Register
from forkcluster.manager.starting import Flags
from forkcluster.options import cpus
from forkcluster.options.ecosystem import understand
from forkcluster.options.formats.read import is_configuration
from forkcluster.wire.outcome import End, Outcome

MARKS = {
    Verb.START: ("+", "green"), Verb.ADD: ("+", "green"), Verb.SCALE: ("~", "yellow"),
    Verb.RELOAD: ("~", "yellow"), Verb.RESTART: ("!", "red"), Verb.REMOVE: ("-", "red"),
    Verb.KEEP: ("=", "bright_black"), Verb.REFUSE: ("?", "red"),
}  # fmt: skip
DONE = {
    Verb.ADD: "is registered, and not started", Verb.SCALE: "is scaled", Verb.RELOAD: "is reloaded",
    Verb.REMOVE: "is deleted",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Planned:
    """A file, the register, and what is to be done."""

    register: Register
    file: ecosystem.File
    steps: tuple[Step, ...]


def parameters() -> list[click.Parameter]:
    """FILE, --only and --env."""
    return [
        click.Argument(["file"], required=False, metavar="[FILE]"),
        click.Option(["--only"], multiple=True, metavar="NAMES", help="Take only the apps named here."),
        click.Option(
            ["env_name", "--env"], metavar="NAME", help="Take the variables of env_NAME over those of env."
        ),
        choosing.as_json(),
    ]


def prepare(
    file: str | None,
    only: Sequence[str],
    env_name: str | None,
    mode: Mode,
    *,
    prune: bool = False,
    flags: Flags | None = None,
) -> Planned:
    """Read the file and compare it with what is registered. Raise ForkclusterError."""
    directory = working_directory()
    register = Register.find(os.environ)
    if file == "-":
        source = ecosystem.from_input(sys.stdin.buffer.read(), register.home, directory)
    else:
        path = ecosystem.find(directory) if file is None else os.path.join(directory, file)
        source = ecosystem.from_file(path, os.environ)
    found = ecosystem.load(source, os.environ, env_name=env_name, only=only, flags=flags or {})
    here = cpus.observe()
    wanted = [app.wanted(here) for app in found.apps]
    if found.partial:  # who is named is meant
        wanted = [app.meant() for app in wanted]
    known = known_apps(register, found)
    return Planned(register, found, plan(wanted, known, mode, prune=prune, partial=found.partial))


def show(planned: Planned) -> str:
    """The plan for a person: a line for each app, and below it what differs."""
    width = max((len(step.name) for step in planned.steps), default=0)
    path = planned.file.path if planned.file.unsaved is None else "standard input"
    lines = [f"{path}: {summary(planned.steps)}", ""]
    for step in planned.steps:
        mark, colour = MARKS[step.verb]
        head = click.style(f"{mark} {step.name.ljust(width)}  {step.verb.value.ljust(7)}", fg=colour)
        lines.append(f"{head}  {step.why}".rstrip())
        lines += [f"      {change}" for change in step.changes]
    return "\n".join(lines)


def as_json(planned: Planned) -> str:
    """The plan for a program."""
    steps = [
        {
            "name": step.name,
            "action": step.verb.value,
            "why": step.why,
            "changes": [{"key": c.key, "before": c.before, "after": c.after} for c in step.changes],
        }
        for step in planned.steps
    ]
    return json.dumps(
        {"file": planned.file.path, "summary": summary(planned.steps), "steps": steps}, indent=2
    )


def refusals(planned: Planned) -> dict[str, StateError]:
    """Why apps of the file cannot be what it says, by name; one is enough that nothing is done."""
    remedy = "call one of them by another name, or forget that app: forkcluster delete"
    return {
        step.name: StateError(step.why, f"{remedy} {step.name}")
        for step in planned.steps
        if step.verb is Verb.REFUSE
    }


def is_file(word: str) -> bool:
    """Tell whether a word of the command line names a configuration file, or standard input."""
    return word == "-" or is_configuration(word)


def default(directory: str) -> list[str]:
    """Give the file that is meant when nothing is named: one with several apps."""
    try:
        path = ecosystem.find(directory)
        return [path] if understand(ecosystem.from_file(path, os.environ).document).several else []
    except UsageError:
        return []


def start(
    file: str, given: Flags, only: Sequence[str], results: Results, timeout: float | None, *, wait: bool
) -> None:
    """Start the apps of a file that do not run. --env NAME is the file's, --env KEY=VALUE a variable's."""
    env = given.get("env", ())
    names = [text for text in env if "=" not in text]
    if len(names) > 1:
        raise UsageError(f"--env {' and --env '.join(names)}: only one environment of a file can hold")
    flags = {name: texts for name, texts in given.items() if name != "env"}
    if variables := tuple(text for text in env if "=" in text):
        flags["env"] = variables
    planned = prepare(file, only, names[0] if names else None, Mode.START, flags=flags)
    perform(planned, results, timeout, wait=wait)


def perform(planned: Planned, results: Results, timeout: float | None, *, wait: bool = True) -> None:
    """Do what was planned, telling what each app came to."""
    if refused := refusals(planned):
        for name, error in refused.items():
            results.bad(name, error)
        return
    for step in planned.steps:
        if step.verb is Verb.KEEP:
            results.good(step.name, step.why, state="kept")
    planned.file.save()
    applying = Applying(planned.register, planned.file, os.environ, timeout, wait=wait)
    try:
        applying.perform(planned.steps, lambda step, result: _tell(results, step, result))
    except KeyboardInterrupt:
        streams.tell("\nnot waited for any longer; what was begun goes on (forkcluster list)", err=True)
        results.finish()
        raise click.Abort from None


def _tell(results: Results, step: Step, result: Result) -> None:
    if isinstance(result, Outcome) and result.end is End.STARTING:
        results.good(step.name, "is starting", state="starting")
        return
    if isinstance(result, Outcome | ForkclusterError):
        tell(results, step.name, result)
        return
    told = ("generation", "seconds", "before", "workers", "notes")
    facts = {name: result[name] for name in told if name in result}
    lines = [*(f"\n    {change}" for change in step.changes), notes_of(result)]
    results.good(step.name, f"{DONE[step.verb]}{''.join(lines)}", state=step.verb.value, **facts)
