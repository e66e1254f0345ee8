"""What is registered, as the plan takes it: asks the register and the masters. Changes nothing."""

import os
from collections.abc import Mapping

from forkcluster.errors import InternalError
from forkcluster.manager.control import Answer, ask_all
from forkcluster.manager.ecosystem import File
from forkcluster.manager.plan import Known
from forkcluster.manager.register import App, Register
from forkcluster.manager.status import View, look
from forkcluster.options.frozen import Options, Request

LIMIT = 5.0  # seconds


def known_apps(register: Register, file: File) -> list[Known]:
    """Look at every registered app, from the point of view of a file."""
    apps = register.apps()
    views = look(apps, figures=False)
    paths = {app.name: app.control for app in apps if app.control is not None}
    answers = ask_all(paths, "options", timeout=LIMIT)
    requests = {app.name: app.request for app in file.apps}
    return [
        _known(view, answers.get(view.app.name), file.path, requests.get(view.app.name)) for view in views
    ]


def _known(view: View, answer: Answer | None, path: str, wanted: Request | None) -> Known:
    app = view.app
    ours = file_of(app) == os.path.normpath(path)
    workers = view.status.get("wanted")
    return Known(
        app.name,
        running=app.running,
        options=_options(answer),
        workers=workers if isinstance(workers, int) else 0,
        ours=ours,
        owner="" if ours else _owner(app, path),
        differs="was started without the file" if app.record and wanted and not ours else "",
        asked=_asked(app, wanted),
        state=view.state,
    )


def _options(answer: Answer | None) -> Options | None:
    values = answer.get("options") if isinstance(answer, Mapping) else None
    if not isinstance(values, dict):
        return None
    try:
        return Options.from_mapping(values)
    except InternalError:
        return None


def file_of(app: App) -> str | None:
    """Give the configuration file that an app was started from."""
    record = app.record
    asked = record.request.flags.get("config", ()) if record else ()
    return os.path.normpath(os.path.join(record.request.directory, asked[-1])) if record and asked else None


def _owner(app: App, path: str) -> str:
    """Say to whom a name belongs that was not started from the file at `path`; empty if it may be taken."""
    record = app.record
    if record is None:
        return "" if app.fault else f"an app in the foreground (pid {app.pid})"
    file = file_of(app)
    if file is not None:
        return file
    if record.request.directory == os.path.dirname(path):
        return ""
    return f"{record.target} in {record.request.directory}"


def _asked(app: App, wanted: Request | None) -> str:
    """Say what of the way it was asked for is another now."""
    if app.record is None or wanted is None:
        return ""
    was, becomes = (request.flags.get("env_name", ("",))[-1] for request in (app.record.request, wanted))
    if was != becomes:
        return f"was started with {f'--env {was}' if was else 'no --env'}"
    theirs, now = ({n: t for n, t in r.flags.items() if n != "config"} for r in (app.record.request, wanted))
    return "" if theirs == now else "was started with other flags"
