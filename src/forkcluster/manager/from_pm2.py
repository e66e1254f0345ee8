"""A PM2 ecosystem file as ours: our names, durations with their unit, and what is left out. Pure."""

from collections.abc import Iterator, Mapping

from forkcluster.errors import did_you_mean
from forkcluster.manager.imported import Imported
from forkcluster.options import mode, pm2
from forkcluster.options.ecosystem import Ecosystem, Entry, is_environment
from forkcluster.options.entry import MANAGER_KEYS
from forkcluster.options.table import BY_KEY


def carry(ecosystem: Ecosystem) -> Imported:
    """Give the apps of a file in our words. Raises ConfigurationError for a value that has no meaning."""
    lost = [note.partition(": ")[2] for note in ecosystem.notes]
    apps = []
    for entry in ecosystem.entries:
        app, missing = _app(entry)
        apps.append(app)
        lost += [f"{entry.name}: {line}" for line in missing]
    if ecosystem.deploy:
        lost.append("deploy: the tables are below, but there is no command deploy yet")
    return Imported(ecosystem.document.path, tuple(apps), ecosystem.deploy, tuple(lost))


def _app(entry: Entry) -> tuple[dict[str, object], list[str]]:
    app: dict[str, object] = {"name": entry.name} if entry.name else {}
    lost: list[str] = []
    script = next((str(entry.values[key]) for key in pm2.ROOTS if entry.values.get(key)), "")
    for key, value in entry.values.items():
        if value is None or key == "name":
            continue
        if key == "exec_mode" and _is_nodes(script, value):
            lost.append("exec_mode cluster: only Python applications are served; the program is run instead")
            continue
        try:
            app.update(_carried(key, value))
        except ValueError as error:
            lost.append(f"{key}: {error}")
    return _ordered(app), lost


def _carried(key: str, value: object) -> Iterator[tuple[str, object]]:
    """Give what a key becomes. Raises ValueError with the reason when it cannot be carried."""
    if key == "env" or is_environment(key):
        yield key, pm2.variables(value)
        return
    if key in pm2.NODE_ONLY:
        raise ValueError("for Node, or PM2's own service")
    if key in pm2.UNSUPPORTED or key == "log_file":
        raise ValueError(pm2.UNSUPPORTED["log" if key == "log_file" else key])
    if key in MANAGER_KEYS:
        yield key, value
        return
    converted = pm2.convert(key, value)
    if converted is None:
        converted = {key: pm2.milliseconds(key, value)}
    for name, each in converted.items():
        if name not in BY_KEY:
            near = did_you_mean(name, BY_KEY)
            raise ValueError(f"no key of ours{f'; {near}' if near else ''}")
        yield _our_name(name), each


def _our_name(key: str) -> str:
    """Our first name for a key; what is run keeps the name that says how."""
    if key in pm2.ROOTS:
        return "script"
    return BY_KEY[key].name


def _is_nodes(script: str, exec_mode: object) -> bool:
    asked = str(exec_mode).removesuffix("_mode")
    try:
        mode.decide("script", script, asked)
    except ValueError:
        return asked == "cluster"
    return False


def _ordered(app: Mapping[str, object]) -> dict[str, object]:
    """Name and script first."""
    first = [key for key in ("name", "script", "target") if key in app]
    return {key: app[key] for key in [*first, *(key for key in app if key not in first)]}
