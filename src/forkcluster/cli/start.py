"""`forkcluster start`: applications and registered apps, in the background."""

import contextlib
import os
import signal
from collections.abc import Iterator, Sequence

import click

from forkcluster.cli import choosing
from forkcluster.cli.options import TableCommand, flags, table_options
from forkcluster.cli.results import Results
from forkcluster.cli.serve import directory_of_words, working_directory
from forkcluster.cli.serving import request_of
from forkcluster.errors import ForkclusterError, UsageError
from forkcluster.manager import starting
from forkcluster.manager.register import App, Register
from forkcluster.manager.starting import Flags, Pending
from forkcluster.manager.targets import registered
from forkcluster.wire.outcome import End, Outcome

HELP = """Start applications in the background, each under a master of its own, and wait until they are ready.

TARGET: module:attribute, module, path/to/file.py[:attribute]; a configuration file (- is JSON on standard
input), whose apps run in the environment that --env NAME names; or the name, id or namespace of apps that are
registered already and do not run. Without one, a file with [[apps]], a Django project or an app.py is looked
for."""


class StartCommand(TableCommand):
    """start takes the server's options."""


def build() -> click.Command:
    """Make the command."""
    parameters = [
        click.Argument(["targets"], nargs=-1, metavar="TARGET..."),
        *table_options(),
        click.Option(["--only"], multiple=True, metavar="NAMES", help="Of a file take only these apps."),
        click.Option(["-f", "--force"], is_flag=True, help="Start another app beside one of the same name."),
        *choosing.waiting("until the app is ready"),
        choosing.as_json(),
    ]
    return StartCommand("start", params=parameters, callback=_start, help=HELP)


def _start(
    *,
    targets: Sequence[str],
    only: Sequence[str],
    force: bool,
    wait: bool,
    timeout: float | None,
    as_json: bool,
    **values: object,
) -> int:
    given = flags(values)
    if len(targets) > 1 and "name" in given:
        raise UsageError("--name is given for several targets", "start them one by one")
    results = Results(as_json=as_json)
    files = _start_files(targets, given, only, results, timeout, wait=wait)
    if files and len(files) >= len(targets):
        return results.finish()
    targets = [word for word in targets if word not in files]
    register = Register.find(os.environ)
    pending: list[Pending] = []
    words: Sequence[str | None] = targets or [None]
    with deferred_interrupt() as heard:
        for word in words:
            pending += _begin(register, word, given, results, force=force)
    wait_for(pending, results, heard, wait=wait, timeout=timeout)
    return results.finish()


def _start_files(
    targets: Sequence[str],
    given: Flags,
    only: Sequence[str],
    results: Results,
    timeout: float | None,
    *,
    wait: bool,
) -> list[str]:
    """Start the apps of the files among the targets; give those targets."""
    from forkcluster.cli import files

    found = [word for word in targets if files.is_file(word)]
    if not targets and not {"config", "app", "target"} & given.keys():
        found = files.default(working_directory())
    for word in found:
        files.start(word, given, only, results, timeout, wait=wait)
    return found


def _begin(
    register: Register, word: str | None, given: Flags, results: Results, *, force: bool
) -> list[Pending]:
    """Begin what one word means; what cannot be is told at once."""
    directory = directory_of_words()
    known = [] if word is None or force else registered(word, register.apps())
    if word is not None and known and not _is_another(word, known, given, directory):
        return [p for app in known if (p := _begin_known(register, app, given, results)) is not None]
    request = request_of({**given, **({} if word is None else {"target": (word,)})})
    try:
        pending = starting.begin_new(register, request, os.environ, force=force)
    except ForkclusterError as error:
        results.bad(word or directory, error)
        return []
    if pending.instead_of:
        results.note(pending.name, f"takes the place of {pending.instead_of}, which has never been ready")
    return [pending]


def _is_another(word: str, known: Sequence[App], given: Flags, directory: str) -> bool:
    """Whether a word that means registered apps is a target all the same.

    It is under another --name than theirs, or as a file here while they are another directory's.
    """
    names = {app.name for app in known}
    if word in names and not names.issuperset(given.get("name", ())):
        return True
    files = (word, f"{word}.py", os.path.join(word, "__init__.py"))
    here = any(os.path.isfile(os.path.join(directory, name)) for name in files)
    return here and not any(app.record and app.record.request.directory == directory for app in known)


def _begin_known(register: Register, app: App, given: Flags, results: Results) -> Pending | None:
    try:
        return starting.begin_again(register, starting.renewed(app, given))
    except ForkclusterError as error:
        results.bad(app.name, error)
        return None


@contextlib.contextmanager
def deferred_interrupt() -> Iterator[list[int]]:
    """Let a Ctrl-C wait until every start is begun whole, its master executed; the list then has it."""
    heard: list[int] = []
    before = signal.signal(signal.SIGINT, lambda number, frame: heard.append(number))
    try:
        yield heard
    finally:
        signal.signal(signal.SIGINT, before)


def wait_for(
    pending: Sequence[Pending],
    results: Results,
    heard: Sequence[int] = (),
    *,
    wait: bool = True,
    timeout: float | None = None,
) -> bool:
    """Wait for what was begun, unless told not to; False after a Ctrl-C. `heard`: one came already."""
    if not wait:
        for each in pending:
            each.close()
            results.good(each.name, "is starting", state="starting")
        return not heard
    try:
        if heard:
            raise KeyboardInterrupt
        starting.wait(pending, timeout, lambda name, how: tell(results, name, how))
        return True
    except KeyboardInterrupt:
        for each in pending:
            each.close()
        names = ", ".join(each.name for each in pending)
        results.interrupted(f"not waited for any longer; going on to start: {names} (forkcluster list)")
        return False


def tell(results: Results, name: str, heard: Outcome | ForkclusterError) -> None:
    """Say how one start came out."""
    if isinstance(heard, ForkclusterError):
        results.bad(name, heard)
    elif heard.end is End.READY:
        facts = heard.facts
        if facts.get("workers") == 0:  # its processes have ended for good, each as it should
            results.good(name, "has done its work, and ended", state="stopped")
            return
        urls = facts.get("urls")
        where = f" at {', '.join(map(str, urls))}" if isinstance(urls, list) and urls else ""
        text = f"is up{where}: {facts.get('workers')} ready, pid {facts.get('pid')}"
        results.good(name, f"{text}, in {facts.get('seconds')} s", state="ready", **facts)
    else:
        results.bad(name, heard.failure or ForkclusterError(f"{name} ended"))
