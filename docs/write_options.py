"""Writes docs/options.md from the table of options; with --check only says whether the page is up to date.

Owns the page's words around the table. Knows the table and nothing else of forkcluster.
"""

import sys
from pathlib import Path

from forkcluster.options.kinds import Switch
from forkcluster.options.table import GROUPS, TABLE, Option

PAGE = Path(__file__).with_name("options.md")
HEAD = """# Options

<!-- Written by docs/write_options.py from src/forkcluster/options/table.py by `make options`. -->

Each option is a flag (`--drain-timeout 30`), an environment variable (`FORKCLUSTER_DRAIN_TIMEOUT=30`) and a
key of the `[app]` table of `forkcluster.toml` (`drain_timeout = 30`). Flags are strongest, then variables,
then the file, then the default. Durations are seconds unless they say otherwise (`500ms`, `2m`); sizes are
bytes unless they say otherwise (`64K`, `1G`). `--check-config` reads all options and serves nothing;
`--print-config` prints what holds and where each value comes from.
"""


def page() -> str:
    """The whole page, LF-ended."""
    parts = [HEAD]
    for group in GROUPS:
        parts.append(f"## {group}\n\n| option | what it does | default |\n|---|---|---|\n")
        parts[-1] += "".join(row(option) for option in TABLE if option.group == group)
    return "\n".join(parts)


def row(option: Option) -> str:
    """One line of a group's table."""
    return f"| {names(option)} | {cell(option.help)} | {cell(default(option))} |\n"


def names(option: Option) -> str:
    """The flags with the value's word, and the switch that turns it off."""
    flags = [f"`{flag}`" for flag in (*option.flags, option.off_flag) if flag]
    value = f"`{option.kind.metavar}`".replace("|", "\\|") if option.kind.metavar else ""
    return " ".join(filter(None, (", ".join(flags), value)))


def default(option: Option) -> str:
    """What holds when nobody says anything."""
    if isinstance(option.kind, Switch):
        return "on" if option.default == "true" else "off"
    if option.default is None:
        return option.implied or ("none" if option.repeats else "not set")
    unit = f" {option.unit}" if option.unit and option.default.isdigit() else ""
    return f"`{option.default}`{unit}" if option.default else "empty"


def cell(text: str) -> str:
    """A text that may stand in a table of Markdown: a bar would end the cell, a star alone is no emphasis."""
    return text.replace("|", "\\|").replace("*", "\\*")


def main(arguments: list[str]) -> int:
    """Write or check; 1 when the page is out of date."""
    if arguments == ["--check"]:
        fresh = PAGE.exists() and page() == PAGE.read_text(encoding="utf-8")
        print(f"docs/options.md is {'up to date' if fresh else 'out of date: make options'}")
        return 0 if fresh else 1
    PAGE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
