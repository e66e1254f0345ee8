"""What PM2's ecosystem files say in their own way: keys for Node alone, numbers in milliseconds, values of
another shape.

Keys that mean the same here are aliases in the table of options. This is the rest, as data and small pure
functions: a PM2 value in, values of our options out.
"""

import json
from collections.abc import Callable, Mapping
from typing import Final

from forkcluster.options.formats.document import shown

NODE_ONLY: Final = frozenset(
    (
        "automation", "deep_monitoring", "disable_source_map_support", "disable_trace",
        "event_loop_inspector", "execute_command", "force", "install_url", "instance_id", "io",
        "kill_retry_time", "pmx", "post_update", "source_map_support", "trace", "username", "v8", "vizion",
        "watch_options", "windowsHide", "write",
    )
)  # fmt: skip
"""Keys that are about Node, PM2's daemon or its paid service: ignored, and named in a notice."""

UNSUPPORTED: Final[Mapping[str, str]] = {
    "filter_env": "an app sees the environment it was started from",
    "log": "there is no combined log: give out_file and error_file the same name",
}
"""Keys that mean something here, too, and that nothing obeys: ignored, and told with the reason."""

MILLISECONDS: Final = frozenset(
    (
        "exp_backoff_restart_delay",
        "kill_timeout",
        "listen_timeout",
        "min_uptime",
        "restart_delay",
        "watch_delay",
    )
)
"""PM2's durations: in a file of a format that PM2 reads, a number without a unit is milliseconds."""

ROOTS: Final = frozenset(("script", "exec", "cmd", "command"))
"""Keys by which an object is one app of PM2's."""

Values = dict[str, object]


def convert(key: str, value: object) -> Values | None:
    """Give what a key of another shape means, by our option names; None if it means what its own name says.

    Raises ValueError with what was expected.
    """
    conversion = CONVERSIONS.get(key)
    return None if conversion is None else conversion(value)


def milliseconds(key: str, value: object) -> object:
    """Give the value with its unit, if it is a bare number of milliseconds."""
    bare = isinstance(value, int | float) and not isinstance(value, bool)
    return f"{value}ms" if bare and key in MILLISECONDS else value


def variables(value: object) -> object:
    """Give a table of variables as PM2 would set them: objects and lists as JSON, null left out."""
    if not isinstance(value, Mapping):
        return value
    return {
        name: json.dumps(each, separators=(",", ":")) if isinstance(each, Mapping | list) else each
        for name, each in value.items()
        if each is not None
    }


def _watch(value: object) -> Values:
    if isinstance(value, bool):
        return {"watch": value}
    paths = value if isinstance(value, list) else [value]
    if not paths or not all(isinstance(path, str) for path in paths):
        raise ValueError("expected true, false, a path or a list of paths")
    return {"watch": True, "watch_path": paths}


def _exec_mode(value: object) -> Values:
    if not isinstance(value, str):
        raise ValueError("expected fork or cluster")
    return {"exec_mode": value.removesuffix("_mode")}


def _cron(value: object) -> Values:
    return {} if value in (0, "0", False) else {"cron_restart": value}


def _shutdown_with_message(value: object) -> Values:
    if _switch(value):
        raise ValueError("programs are asked to stop by a signal; expected false")
    return {}


def _switch(value: object) -> bool:
    if not isinstance(value, bool):
        raise ValueError(f"expected true or false, not {shown(value)}")
    return value


CONVERSIONS: Final[Mapping[str, Callable[[object], Values]]] = {
    "watch": _watch,
    "exec_mode": _exec_mode,
    "cron": _cron,
    "cron_restart": _cron,
    "interpreterArgs": lambda value: {"interpreter_args": value},
    "shutdown_with_message": _shutdown_with_message,
}
