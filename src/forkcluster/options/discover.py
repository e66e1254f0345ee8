"""What to serve when nobody said, and with which Python. Looks at files, imports nothing."""

import os
import re
from collections.abc import Mapping

from forkcluster.dataclass import dataclass
from forkcluster.errors import UsageError


@dataclass(frozen=True, slots=True)
class Found:
    """A target and why it was taken."""

    target: str
    why: str


def discover(directory: str, environment: Mapping[str, str]) -> Found:
    """Find the target in `directory`. `environment` is the application's. Raises UsageError."""
    manage = read_text(os.path.join(directory, "manage.py"))
    if manage is not None:
        found = _django(directory, manage, environment)
        if found is not None:
            return found
    if os.path.isfile(os.path.join(directory, "app.py")):
        return Found("app", "there is an app.py")
    tried = (
        "manage.py names no settings with a wsgi module" if manage is not None else "there is no manage.py"
    )
    raise UsageError(
        f"nothing to serve was named, and none found in {directory}: {tried}, and there is no app.py",
        "name it: forkcluster module:attribute (such as app:application), or forkcluster path/to/file.py",
    )


def find_venv(directory: str) -> str | None:
    """Find the application's virtual environment in its directory: .venv, or venv. None if there is none."""
    for name in (".venv", "venv"):
        path = os.path.join(directory, name)
        if os.path.isfile(os.path.join(path, "pyvenv.cfg")) and os.path.exists(venv_python(path)):
            return path
    return None


def venv_python(venv: str) -> str:
    """The interpreter of a virtual environment."""
    return os.path.join(venv, "bin", "python")


def _django(directory: str, manage: str, environment: Mapping[str, str]) -> Found | None:
    named = re.search(r"""DJANGO_SETTINGS_MODULE['"]\s*,\s*['"]([\w.]+)['"]""", manage)
    for settings, source in (
        (environment.get("DJANGO_SETTINGS_MODULE"), "DJANGO_SETTINGS_MODULE is"),
        (named and named[1], "manage.py names"),
    ):
        target = _wsgi_target(directory, settings) if settings else None
        if target is not None:
            return Found(target, f"{source} {settings}")
    return None


def _wsgi_target(directory: str, settings: str) -> str | None:
    """`WSGI_APPLICATION` of the settings, else the nearest wsgi.py beside or above them."""
    text = read_text(os.path.join(directory, *settings.split(".")) + ".py") or ""
    named = re.search(r"""^WSGI_APPLICATION\s*=\s*['"]([\w.]+)\.(\w+)['"]""", text, re.MULTILINE)
    if named is not None:
        return f"{named[1]}:{named[2]}"
    packages = settings.split(".")[:-1]
    for depth in range(len(packages), 0, -1):
        if os.path.isfile(os.path.join(directory, *packages[:depth], "wsgi.py")):
            return ".".join([*packages[:depth], "wsgi"]) + ":application"
    return None


def app_name(target: str) -> str:
    """The name of an app that was given none: the target's first package, or its file's name."""
    location = target.split(maxsplit=1)[0].partition(":")[0]
    if "/" in location or location.endswith(".py"):
        word = os.path.splitext(os.path.basename(location))[0]
    else:
        word = location.partition(".")[0]
    return re.sub(r"[^A-Za-z0-9._-]", "-", word).lstrip(".-")[:64] or "app"


def read_text(path: str) -> str | None:
    """A file's text, None if it cannot be read."""
    try:
        with open(path, encoding="utf-8", errors="replace") as file:
            return file.read()
    except OSError:
        return None
