"""A configuration file as the manager sees it: its apps, how each is asked for, who depends on whom.

Reads the file once; starts nothing and knows no register.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Final

from forkcluster.dataclass import dataclass, replace
from forkcluster.errors import ConfigurationError, UsageError, UserError, did_you_mean
from forkcluster.manager import schedule
from forkcluster.manager.plan import Wanted
from forkcluster.manager.schedule import Depends
from forkcluster.options import cpus, ecosystem, entry
from forkcluster.options.file import reference
from forkcluster.options.formats import read as formats
from forkcluster.options.formats.document import Document
from forkcluster.options.frozen import Request
from forkcluster.options.read import Reading, read
from forkcluster.wire.files import write_whole
from forkcluster.wire.home import inputs_of, make_private

NAMES: Final = (
    "forkcluster.toml", "forkcluster.json", "forkcluster.yaml", "forkcluster.yml", "forkcluster.config.py",
    "ecosystem.json", "ecosystem.config.json", "ecosystem.yaml", "ecosystem.yml", "ecosystem.config.js",
    "ecosystem.config.cjs",
)  # fmt: skip
"""What is taken in a directory when no file is named, the first that is there."""

Flags = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, slots=True)
class FileApp:
    """One app of a file. `own` is its name there; `request` is how it is asked for, at every reload anew."""

    own: str
    request: Request
    reading: Reading
    depends_on: Mapping[str, str]
    autostart: bool

    @property
    def name(self) -> str:
        """The name it is registered under."""
        return self.reading.options.name

    def wanted(self, cpus_here: cpus.Cpus) -> Wanted:
        """Give it as the plan takes it."""
        options = self.reading.options
        count = cpus.workers(options.instances, cpus_here).count
        return Wanted(self.name, options, count, self.depends_on, self.autostart)


@dataclass(frozen=True, slots=True)
class File:
    """The apps of a file, in its order; `partial` when --only left some out.

    `unsaved` is what must be at `path` before an app is started: it came through standard input.
    """

    path: str
    apps: tuple[FileApp, ...]
    partial: bool = False
    unsaved: bytes | None = None

    @property
    def depends(self) -> Depends:
        """Who depends on whom, by registered names, among the apps that are here."""
        own = {app.own: app.name for app in self.apps}
        return {
            app.name: {own[each]: how for each, how in app.depends_on.items() if each in own}
            for app in self.apps
        }

    def started(self) -> "File":
        """Give the apps that starting the file starts: all but those with autostart = false, unless named."""
        apps = tuple(app for app in self.apps if app.autostart or self.partial)
        return replace(self, apps=apps)

    def save(self) -> None:
        """Write down what came through standard input, for reloads to read. Raises ConfigurationError."""
        if self.unsaved is None:
            return
        make_private(os.path.dirname(self.path))
        try:
            write_whole(self.path, self.unsaved)
        except OSError as error:
            raise ConfigurationError(f"writing {self.path}: {error.strerror}") from error


def find(directory: str) -> str:
    """Give the path of the file in a directory. Raises UsageError if there is none."""
    for name in NAMES:
        path = os.path.join(directory, name)
        if os.path.lexists(path):
            return path
    raise UsageError(
        f"no file was named, and there is none in {directory}",
        f"forkcluster init writes one; it is called {', '.join(NAMES[:4])} …",
    )


@dataclass(frozen=True, slots=True)
class Source:
    """A document, and where relative paths in it start. `data`: it is not in its file yet."""

    document: Document
    directory: str
    data: bytes | None = None


def from_file(path: str, environment: Mapping[str, str]) -> Source:
    """Read the file at `path`, which is absolute and stays unresolved. Raises ConfigurationError."""
    return Source(formats.read(path, environment), os.path.dirname(path))


def from_input(data: bytes, home: str, directory: str) -> Source:
    """Read JSON that came through standard input, as if it were a file in `directory`.

    Raises ConfigurationError. It will be kept in the home, the latest one of each directory.
    """
    name = hashlib.sha256(os.fsencode(directory)).hexdigest()[:16]
    path = os.path.join(inputs_of(home), f"{name}.json")
    with _of_input(path):
        return Source(formats.parse(path, "json", data), directory, data)


def depends_of(source: Source) -> Depends:
    """Give who depends on whom in a file, by their own names. Raises ConfigurationError."""
    found = ecosystem.understand(source.document)
    depends = {each.name: entry.describe(found, each).depends_on for each in found.entries}
    schedule.check(depends, source.document.path)
    return depends


def load(
    source: Source,
    environment: Mapping[str, str],
    *,
    env_name: str | None = None,
    only: Sequence[str] = (),
    flags: Flags = MappingProxyType({}),
) -> File:
    """Understand the apps of a file.

    `only` names apps, `flags` are stronger than the file for each of them. Raises ConfigurationError for
    whatever is wrong with any app of the file, and UsageError for a name that no app has.
    """
    if source.data is None:
        return _loaded(source, environment, env_name, only, flags)
    with _of_input(source.document.path):
        return _loaded(source, environment, env_name, only, flags)


@contextlib.contextmanager
def _of_input(path: str) -> Iterator[None]:
    """Have errors name standard input, not the file that it is kept in."""
    try:
        yield
    except UserError as error:
        told = (each.replace(path, "standard input") for each in (error.message, error.remedy))
        raise type(error)(*told) from None


def _loaded(
    source: Source, environment: Mapping[str, str], env_name: str | None, only: Sequence[str], flags: Flags
) -> File:
    path = source.document.path
    found = ecosystem.understand(source.document)
    if env_name is not None:
        found.check_environment(env_name)
    if not found.entries:
        raise ConfigurationError(f"reading the configuration {path}: it has no apps", "add an [[apps]] table")
    asking = _Asking(found, source.directory, env_name, environment, flags)
    apps = tuple(asking.app(each) for each in found.entries)
    schedule.check({app.own: app.depends_on for app in apps}, path)
    _check_names(apps, path)
    chosen = _only(apps, only, path)
    return File(path, chosen, len(chosen) < len(apps), source.data)


@dataclass(frozen=True, slots=True)
class _Asking:
    """How the apps of a file are asked for."""

    found: ecosystem.Ecosystem
    directory: str
    env_name: str | None
    environment: Mapping[str, str]
    flags: Flags

    def app(self, each: ecosystem.Entry) -> FileApp:
        """Read one app."""
        described = entry.describe(self.found, each, self.env_name)
        asked = reference(self.found.document.path, each.name if self.found.several else None, self.env_name)
        request = Request({**self.flags, **asked.flags}, self.directory)
        try:
            reading = read(request, self.environment, described)
        except ConfigurationError as error:
            path = self.found.document.path
            if path in error.message:
                raise
            text = f"reading the configuration {path}: app {each.name}: {error.message}"
            raise ConfigurationError(text, error.remedy) from error
        return FileApp(each.name, request, reading, described.depends_on, described.autostart)


def _check_names(apps: Sequence[FileApp], path: str) -> None:
    """Two own names may come to one, by a prefix."""
    names = [app.name for app in apps]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        both = " and ".join(app.own for app in apps if app.name == twice)
        raise ConfigurationError(f"reading the configuration {path}: {both} would both be called {twice}")


def _only(apps: tuple[FileApp, ...], only: Sequence[str], path: str) -> tuple[FileApp, ...]:
    names = [name.strip() for word in only for name in word.split(",") if name.strip()]
    known = {name for app in apps for name in (app.own, app.name)}
    for name in names:
        if name not in known:
            raise UsageError(
                f"--only {name}: {path} has no such app",
                did_you_mean(name, known) or f"it has {', '.join(app.own for app in apps)}",
            )
    return tuple(app for app in apps if app.own in names or app.name in names) if names else apps
