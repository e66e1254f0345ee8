"""--check-config and --print-config: what holds, and where it comes from. Pure: a reading in, text out."""

from forkcluster.options.formats import write
from forkcluster.options.kinds import Count, Secret, Size, Value
from forkcluster.options.read import Reading, Setting
from forkcluster.options.table import GROUPS


def verdict(reading: Reading) -> str:
    """One line of praise, and a line for each note."""
    changed = sum(setting.origin != "default" for setting in reading.settings)
    app = f"{reading.options.name} ({reading.options.target})"
    first = f"the configuration of {app} is good: {changed} settings, the rest defaults"
    return "\n".join([first, *(f"note: {note}" for note in reading.notes)])


def settings(reading: Reading) -> str:
    """All options as the TOML file that would say the same, each with its origin; LF-ended.

    Values of environment variables may be secrets: only their names are shown.
    """
    lines = ["[app]"]
    for group in GROUPS:
        rows = [setting for setting in reading.settings if setting.option.group == group]
        lines += ["", f"# {group}", *map(_line, rows)] if rows else []
    return "\n".join([*lines, *(f"# note: {note}" for note in reading.notes)]) + "\n"


def _line(setting: Setting) -> str:
    option, value = setting.option, setting.value
    if value is None or value == () or option.name == "env" or isinstance(option.kind, Secret):
        return f"# {option.name}: {option.show(value)}{_origin(setting)}"
    return f"{option.name} = {_toml(_written(setting))}  # {setting.origin}"


def _origin(setting: Setting) -> str:
    return "" if setting.origin == "default" else f"  # {setting.origin}"


def _written(setting: Setting) -> Value:
    """The value as a person would write it in the file: sizes and permissions as text."""
    kind = setting.option.kind
    as_text = isinstance(kind, Size) or (isinstance(kind, Count) and kind.base != 10)
    return kind.show(setting.value) if as_text else setting.value


def _toml(value: object) -> str:
    """A value in TOML's words: JSON's, for the types we have, pairs excepted."""
    if isinstance(value, tuple):
        texts = [": ".join(each) if isinstance(each, tuple) else each for each in value]
        return write.value(texts)
    return write.value(value)
