"""In which order registered apps leave or come together: by the `depends_on` of the files they are from.

A file that is gone or broken has nothing to say, and the apps of it go at once.
"""

import time
from collections.abc import Mapping, Sequence

from forkcluster.errors import ForkclusterError
from forkcluster.manager import ecosystem, ending
from forkcluster.manager.known import file_of
from forkcluster.manager.register import App
from forkcluster.manager.schedule import Depends, Schedule, among, turned


def leaving(apps: Sequence[App], environment: Mapping[str, str]) -> list[list[App]]:
    """Give the apps in groups: those on which none of the others depends go first."""
    return _groups(apps, turned(_depends(apps, environment)))


def coming(apps: Sequence[App], environment: Mapping[str, str]) -> list[list[App]]:
    """Give the apps in groups: those that depend on none of the others come first."""
    return _groups(apps, _depends(apps, environment))


def stop(
    apps: Sequence[App],
    environment: Mapping[str, str],
    timeout: float | None,
    done: ending.Done,
    *,
    at_once: bool = False,
) -> None:
    """Stop these apps as `ending.stop` does, those first on which none of the others depends.

    `timeout`: seconds in all.
    """
    deadline = None if timeout is None else time.monotonic() + timeout
    for group in leaving(apps, environment):
        left = None if deadline is None else max(0.0, deadline - time.monotonic())
        ending.stop(group, left, done, at_once=at_once)


def _groups(apps: Sequence[App], depends: Depends) -> list[list[App]]:
    by_name = {app.name: app for app in apps}
    order = Schedule({name: dict.fromkeys(wanted, "ready") for name, wanted in depends.items()})
    groups = []
    while names := order.next():
        groups.append([by_name[name] for name in names])
        order.ready.update(names)
    return groups


def _depends(apps: Sequence[App], environment: Mapping[str, str]) -> Depends:
    """Who depends on whom among these apps, by registered name."""
    found: dict[str, dict[str, str]] = {app.name: {} for app in apps}
    for path in dict.fromkeys(path for app in apps if (path := file_of(app))):
        by_own = {_own_name(app): app.name for app in apps if file_of(app) == path}
        try:
            told = ecosystem.depends_of(ecosystem.from_file(path, environment))
        except ForkclusterError:
            continue
        for own, wanted in told.items():
            if own in by_own:
                found[by_own[own]] = {by_own[each]: how for each, how in wanted.items() if each in by_own}
    return among(found, set(found))


def _own_name(app: App) -> str:
    """The name an app has in its file."""
    asked = app.record.request.flags.get("app", ()) if app.record else ()
    return asked[-1] if asked else app.name
