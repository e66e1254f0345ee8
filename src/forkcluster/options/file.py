"""The configuration file: where it is found, and which of its apps is meant. What it says is `entry`'s."""

import os
from collections.abc import Mapping

from forkcluster.errors import ConfigurationError
from forkcluster.options import ecosystem, entry
from forkcluster.options.entry import Described
from forkcluster.options.frozen import Request

FILE_NAME = "forkcluster.toml"


def load(
    directory: str,
    asked: str | None,
    environment: Mapping[str, str],
    *,
    app: str | None = None,
    env_name: str | None = None,
    target: str | None = None,
) -> Described:
    """Read the app `app` of the file that was asked for, or of the directory's `forkcluster.toml`, if any.

    Without `app` the file must have one app. The `[[apps]]` of a file that merely lies there are not those
    of a `target` that was named. A Python file sees `environment`. Raises ConfigurationError.
    """
    path = os.path.join(directory, asked or FILE_NAME)
    if asked is None and not os.path.lexists(path):
        if app or env_name:
            raise ConfigurationError(f"{path} does not exist", "name the file with --config")
        return Described()
    from forkcluster.options.formats import read as formats  # parsers, which most starts have no use for

    found = ecosystem.understand(formats.read(path, environment))
    if env_name is not None:
        found.check_environment(env_name)
    if not found.entries and app is None:
        return Described(path)
    if found.several and target is not None and asked is None and app is None and env_name is None:
        return Described(notes=(f"the apps of {path} are left alone: --app NAME takes one",))
    return entry.describe(found, _choose(found, app), env_name)


def _choose(found: ecosystem.Ecosystem, app: str | None) -> ecosystem.Entry:
    if app is not None:
        return found.entry(app)
    if len(found.entries) == 1:
        return found.entries[0]
    names = ", ".join(each.name for each in found.entries)
    raise ConfigurationError(
        f"reading the configuration {found.document.path}: it has several apps: {names}",
        "--app NAME takes one; forkcluster start FILE, or forkcluster run FILE, takes them all",
    )


def reference(path: str, app: str | None, env_name: str | None = None) -> Request:
    """Give the request that means an app of a file, at every reload anew; paths start beside the file.

    `path` is absolute and stays unresolved: a symbolic link to the latest release is followed each time.
    """
    flags = {"config": path, "app": app, "env_name": env_name}
    texts = {name: (value,) for name, value in flags.items() if value is not None}
    return Request(texts, os.path.dirname(path))
