"""Which apps a person means: one grammar for every command. Pure.

`all`, `/regex/` on names, a name, a namespace, an id, or the target or configuration file that an app was
started with, tried in this order for each word. `all` and namespaces mean managed apps; an app in somebody's
terminal is meant only by its name or its target.
"""

import os
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from forkcluster.errors import NotFoundError, UsageError, did_you_mean
from forkcluster.manager.register import App

GRAMMAR: Final = "id, name, namespace, all, /regex/, or what it was started with"


def resolve(words: Sequence[str], apps: Sequence[App], directory: str) -> list[App]:
    """Give the apps that the words mean, each once, in the order of the words.

    `directory` is where relative paths start. Raise NotFoundError for a word that means none (`all` may mean
    none) and UsageError for a pattern that is none.
    """
    found: dict[str, App] = {}
    for word in words:
        for app in find(word, apps, directory):
            found.setdefault(app.name, app)
    return list(found.values())


def find(word: str, apps: Sequence[App], directory: str) -> list[App]:
    """Give the apps that one word means. Raise as `resolve`."""
    managed = [app for app in apps if not app.foreground]
    if word == "all":
        return managed
    if len(word) > 1 and word.startswith("/") and word.endswith("/"):
        pattern = _pattern(word[1:-1])
        found = [app for app in managed if pattern.search(app.name)]
    else:
        found = next(filter(None, (way(word, apps, directory) for way in WAYS)), [])
    if not found:
        raise _nothing(word, apps)
    return found


def registered(word: str, apps: Sequence[App]) -> list[App]:
    """Give the apps that a word means without regard to what they were started with; none is no error."""
    if word == "all" or (len(word) > 1 and word.startswith("/") and word.endswith("/")):
        try:
            return find(word, apps, "/")
        except NotFoundError:
            return []
    return next(filter(None, (way(word, apps, "/") for way in (_by_name, _by_namespace, _by_id))), [])


def only(words: Iterable[str], apps: Sequence[App]) -> list[App]:
    """Give those apps whose names stand in --only, whose words may be parted by commas."""
    names = {name.strip() for word in words for name in word.split(",") if name.strip()}
    unknown = names - {app.name for app in apps}
    if unknown:
        raise _nothing(min(unknown), apps)
    return [app for app in apps if app.name in names] if names else list(apps)


def _by_name(word: str, apps: Sequence[App], _directory: str) -> list[App]:
    return [app for app in apps if app.name == word]


def _by_namespace(word: str, apps: Sequence[App], _directory: str) -> list[App]:
    return [app for app in apps if app.record and app.record.namespace == word]


def _by_id(word: str, apps: Sequence[App], _directory: str) -> list[App]:
    if not word.isdecimal():
        return []
    return [app for app in apps if app.record and app.record.id == int(word)]


def _by_target(word: str, apps: Sequence[App], directory: str) -> list[App]:
    """By the target, in the directory it was started in if several have it; a path is that file's."""
    same = [app for app in apps if app.record and _means(app, word, directory)]
    here = [app for app in same if app.record and app.record.request.directory == directory]
    return here or same


def _means(app: App, word: str, directory: str) -> bool:
    record = app.record
    if record is None:
        return False
    if record.target == word:
        return True
    place, mark, attribute = word.partition(":")
    if "/" not in place and not place.endswith(".py"):
        return False
    theirs, their_mark, their_attribute = record.target.partition(":")
    asked, started = (
        os.path.join(base, os.path.expanduser(path))
        for base, path in ((directory, place), (record.request.directory, theirs))
    )
    same_file = os.path.normpath(asked) == os.path.normpath(started)
    return same_file and (not mark or attribute == (their_attribute if their_mark else ""))


def _by_file(word: str, apps: Sequence[App], directory: str) -> list[App]:
    path = os.path.normpath(os.path.join(directory, os.path.expanduser(word)))
    return [app for app in apps if app.record and path == _file_of(app)]


def _file_of(app: App) -> str | None:
    """The configuration file that an app was started with."""
    record = app.record
    asked = record.request.flags.get("config", ()) if record else ()
    return os.path.normpath(os.path.join(record.request.directory, asked[-1])) if record and asked else None


Way = Callable[[str, Sequence[App], str], list[App]]
WAYS: Final[tuple[Way, ...]] = (_by_name, _by_namespace, _by_id, _by_target, _by_file)


def _pattern(text: str) -> re.Pattern[str]:
    try:
        return re.compile(text)
    except re.error as error:
        raise UsageError(f"/{text}/ is no pattern: {error}") from None


def _nothing(word: str, apps: Sequence[App]) -> NotFoundError:
    names = {app.name for app in apps} | {app.record.namespace for app in apps if app.record}
    near = did_you_mean(word, names)
    known = f"registered: {', '.join(sorted(app.name for app in apps))}" if apps else "no app is registered"
    return NotFoundError(f"no app is meant by {word} ({GRAMMAR})", near or known)
