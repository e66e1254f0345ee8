"""The saved list: a copy of all records in one file, from which apps that were forgotten come back.

`HOME/dump.json`, the one before it, `dump.json.bak`, and one that was damaged, `dump.json.damaged`; mode
0600, since environments hold secrets. Records themselves outlive a reboot: the copy is for what `delete` or
`kill` has removed.
"""

import contextlib
import json
import os
from collections.abc import Collection, Sequence

from forkcluster.dataclass import replace
from forkcluster.errors import ConfigurationError, StateError
from forkcluster.manager import record as records
from forkcluster.manager.record import Record
from forkcluster.manager.register import App, Register
from forkcluster.wire.files import read_json, write_whole
from forkcluster.wire.home import make_place


def path_of(register: Register) -> str:
    """Where the list is kept."""
    return os.path.join(register.home, "dump.json")


def save(register: Register, apps: Sequence[App]) -> list[str]:
    """Keep the records of all managed apps; give their names. Raise ForkclusterError.

    Of an app whose record is damaged the list goes on to have what it had. A list that is damaged does not
    take the place of the one before it: it becomes `dump.json.damaged`.
    """
    kept = [replace(app.record, proven=app.proven) for app in apps if app.record is not None]
    damaged = {app.name for app in apps if app.record is None}
    kept += [record for record in _latest(register) if record.name in damaged] if damaged else []
    path = path_of(register)
    values = {"version": records.VERSION, "apps": [record.seen() for record in kept]}
    data = json.dumps(values, indent=1).encode("utf-8", "surrogateescape")
    with register.changing():
        try:
            if os.path.exists(path):
                with open(path, "rb") as file:
                    write_whole(f"{path}.bak" if _is_whole(path) else f"{path}.damaged", file.read())
            write_whole(path, data)
        except OSError as error:
            raise ConfigurationError(f"writing {path}: {error.strerror}", "nothing is lost") from error
    return [record.name for record in kept]


def saved(register: Register) -> list[Record]:
    """Give the kept records; none when nothing is kept. Raise ConfigurationError."""
    path = path_of(register)
    try:
        return _read(path)
    except ConfigurationError as error:
        remedy = f"the list before it, {path}.bak, is taken; forkcluster save writes a new one"
        raise ConfigurationError(error.message, remedy) from error


def saved_before(register: Register) -> list[Record]:
    """Give the records of the list before; none when it is not there or damaged, too."""
    with contextlib.suppress(ConfigurationError):
        return _read(f"{path_of(register)}.bak")
    return []


def unreadable(app: App, names: Collection[str]) -> ConfigurationError:
    """Say of an app whose record is damaged whether it is among the saved ones."""
    what = "its record cannot be read; the saved list has"
    if app.name not in names:
        return ConfigurationError(f"{what} none of it", app.fault)
    remedy = f"forkcluster delete {app.name}, then forkcluster resurrect, brings that back"
    return ConfigurationError(f"{what} an older one", remedy)


def _latest(register: Register) -> list[Record]:
    try:
        return saved(register)
    except ConfigurationError:
        return saved_before(register)


def _is_whole(path: str) -> bool:
    try:
        _read(path)
    except ConfigurationError:
        return False
    return True


def _read(path: str) -> list[Record]:
    values = read_json(path)
    if values is None:
        if os.path.lexists(path):
            raise ConfigurationError(f"reading {path}: damaged")
        return []
    apps = values.get("apps")
    if not isinstance(apps, list):
        raise ConfigurationError(f"reading {path}: no list of apps in it")
    return [records.from_mapping(each if isinstance(each, dict) else {}, path) for each in apps]


def clear(register: Register) -> bool:
    """Forget the list and those before it; False when there was none. Raise ConfigurationError."""
    found = False
    for path in (f"{path_of(register)}{suffix}" for suffix in ("", ".bak", ".damaged")):
        try:
            os.unlink(path)
            found = True
        except FileNotFoundError:
            continue
        except OSError as error:
            raise ConfigurationError(f"removing {path}: {error.strerror}") from error
    return found


def bring_back(register: Register, record: Record) -> None:
    """Register a kept app anew, under its old id if that is free. Raise ForkclusterError."""
    place = register.place(record.name)
    with register.changing():
        taken = {app.record.id for app in register.apps() if app.record}
        number = register.free_id() if record.id in taken else record.id
        make_place(place)
        lock = register.take(place)
        if lock is None:
            raise StateError("is taken: an app of this name runs in the foreground")
        try:
            replace(record, id=number).save(place.record)
        finally:
            with contextlib.suppress(OSError):
                lock.close()
