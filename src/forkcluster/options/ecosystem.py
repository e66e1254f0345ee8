"""The shape of a configuration file: one `[app]`, or `[[apps]]` and `[deploy.NAME]`, or what PM2 allows.

Owns which apps a file has and what they are called. What the keys of an app mean is `entry`'s to say.
"""

import os
from collections.abc import Iterator, Mapping
from typing import Final

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError, did_you_mean
from forkcluster.options import discover
from forkcluster.options.formats.document import TABLES, Document, Path, shown
from forkcluster.options.table import BY_KEY, BY_NAME

TARGETS: Final = BY_NAME["target"].names
GUNICORN: Final = frozenset(("workers", "worker_class", "wsgi_app", "bind", "accesslog", "errorlog"))


@dataclass(frozen=True)
class Entry:
    """One app as the file has it: its own name, and its keys as written, at `path` of the document."""

    name: str
    values: Mapping[str, object]
    path: Path

    @property
    def environments(self) -> tuple[str, ...]:
        """The names of its env_NAME tables."""
        return tuple(key[4:] for key in self.values if is_environment(key))


@dataclass(frozen=True)
class Ecosystem:
    """All apps of a file. `several` is false for the one `[app]` table, whose name may be elsewhere."""

    document: Document
    entries: tuple[Entry, ...]
    several: bool
    deploy: Mapping[str, object]
    notes: tuple[str, ...] = ()

    @property
    def environments(self) -> tuple[str, ...]:
        """Every name that --env may have, in the file's order."""
        names = [name for entry in self.entries for name in entry.environments]
        return tuple(dict.fromkeys([*names, *self.deploy]))

    def entry(self, name: str) -> Entry:
        """Give the app of that name. Raises ConfigurationError."""
        for entry in self.entries:
            if entry.name == name:
                return entry
        names = [entry.name for entry in self.entries]
        raise ConfigurationError(
            f"reading the configuration {self.document.path}: it has no app {name}",
            did_you_mean(name, names) or f"it has {', '.join(names) or 'none'}",
        )

    def check_environment(self, name: str) -> None:
        """Raise ConfigurationError unless `name` is one that --env may have."""
        if name not in self.environments:
            known = ", ".join(self.environments)
            raise ConfigurationError(
                f"reading the configuration {self.document.path}: no app has a table env_{name}",
                did_you_mean(name, self.environments) or (f"there is {known}" if known else "there is none"),
            )


def is_environment(key: str) -> bool:
    """Tell whether a key is env_NAME and not an option."""
    return key.startswith("env_") and len(key) > 4 and key not in BY_KEY


def understand(document: Document) -> Ecosystem:
    """Find the apps of a document. Raises ConfigurationError."""
    data = document.data
    if isinstance(data, list):
        return _several(document, data, (), {})
    if not isinstance(data, Mapping):
        raise _fault(document, (), f"expected tables, not {shown(data)}")
    if document.format == "python":
        data = _of_module(document, data)
    if "apps" in data or ("pm2" in data and document.of_pm2):
        return _apps(document, data)
    if "app" in data:
        _refuse_unknown(document, data)
        app = data["app"]
        if not isinstance(app, Mapping):
            raise _fault(document, ("app",), "app must be a table: [app]")
        name = app.get("name")
        entry = Entry(name if isinstance(name, str) else "", app, ("app",))
        return Ecosystem(document, (entry,), False, _deploy(document, data))
    if document.format != "toml" and data.keys() & set(TARGETS):
        return Ecosystem(document, (_entry(document, data, ()),), True, {})
    _refuse_unknown(document, data)
    return Ecosystem(document, (), False, _deploy(document, data))


def _apps(document: Document, data: Mapping[str, object]) -> Ecosystem:
    key = "apps" if "apps" in data else "pm2"
    ignored = {"static"} & set(data)
    _refuse_unknown(document, {name: value for name, value in data.items() if name not in (key, "static")})
    if "app" in data:
        raise _fault(document, ("app",), f"both app and {key}", "move the [app] table into an [[apps]] entry")
    notes = [f"{document.where('static')}: static is ignored: a web server in front serves files"] * len(
        ignored
    )
    apps = data[key]
    if isinstance(apps, Mapping):
        entry = _entry(document, apps, (key,))
        return Ecosystem(document, (entry,), True, _deploy(document, data), tuple(notes))
    if not isinstance(apps, list):
        raise _fault(document, (key,), f"{key} must be a list of apps: [[apps]]")
    return _several(document, apps, (key,), _deploy(document, data), tuple(notes))


def _several(
    document: Document,
    apps: list[object],
    path: Path,
    deploy: Mapping[str, object],
    notes: tuple[str, ...] = (),
) -> Ecosystem:
    entries = tuple(_entries(document, apps, path))
    places: dict[str, Path] = {}
    for entry in entries:
        if entry.name in places:
            before = document.line(*places[entry.name])
            raise _fault(
                document,
                entry.path,
                f"a second app {entry.name}" + (f", after the one in line {before}" if before else ""),
                "give each app a name of its own",
            )
        places[entry.name] = entry.path
    return Ecosystem(document, entries, True, deploy, notes)


def _entries(document: Document, apps: list[object], path: Path) -> Iterator[Entry]:
    for number, app in enumerate(apps):
        if not isinstance(app, Mapping):
            raise _fault(document, (*path, number), f"expected an app's table, not {shown(app)}")
        yield _entry(document, app, (*path, number))


def _entry(document: Document, values: Mapping[str, object], path: Path) -> Entry:
    for key in values:
        if not isinstance(key, str):
            raise _fault(document, path, f"a key is {shown(key)}: expected text")
    name = values.get("name")
    if name is None:
        name = _own_name(document, values, path)
    if not isinstance(name, str):
        raise _fault(document, (*path, "name"), f"name is {shown(name)}: expected a name")
    return Entry(name, values, path)


def _own_name(document: Document, values: Mapping[str, object], path: Path) -> str:
    """The name of an app that has none: taken from what it runs."""
    for key in TARGETS:
        script = values.get(key)
        if isinstance(script, str) and script.strip():
            word = script.split()[0]
            if key == "target" or ":" in word:
                return discover.app_name(word)
            return discover.app_name(os.path.splitext(os.path.basename(word))[0] + ".py")
    raise _fault(document, path, "an app without a name and without a target", 'add name = "…"')


def _deploy(document: Document, data: Mapping[str, object]) -> Mapping[str, object]:
    deploy = data.get("deploy", {})
    if not isinstance(deploy, Mapping) or not all(isinstance(each, Mapping) for each in deploy.values()):
        raise _fault(document, ("deploy",), "deploy must hold tables: [deploy.production]")
    return {str(name): value for name, value in deploy.items()}


def _of_module(document: Document, data: Mapping[str, object]) -> Mapping[str, object]:
    """What a Python module says to us; its other names are its own."""
    found = {name: data[name] for name in TABLES if name in data}
    if found:
        return found
    if data.keys() & GUNICORN:
        raise _fault(
            document, (), "it looks like a configuration of gunicorn", f"forkcluster import {document.path}"
        )
    raise _fault(document, (), "it sets neither apps nor app to tables", "apps = [{...}, {...}]")


def _refuse_unknown(document: Document, data: Mapping[str, object]) -> None:
    for key in data:
        if key in TABLES:
            continue
        if key in BY_KEY:
            raise _fault(document, (key,), f"{key} stands outside a table", "put the line [app] above it")
        raise _fault(
            document,
            (key,),
            f"unknown table or key {key}",
            did_you_mean(str(key), TABLES) or "options belong below [app] or [[apps]]",
        )


def _fault(document: Document, path: Path, text: str, remedy: str = "") -> ConfigurationError:
    return ConfigurationError(f"reading the configuration {document.where(*path)}: {text}", remedy)
