"""A view as plain values: what `jlist`, `describe --json` and scripts read. Its keys are documented and stay.

Values of the environment and secrets in options are masked; see `manager.secrets`.
"""

from collections.abc import Mapping

from forkcluster.errors import ForkclusterError
from forkcluster.manager.output import order_for
from forkcluster.manager.secrets import MASK, mask, masked
from forkcluster.manager.status import View, part, reason
from forkcluster.options.kinds import PairList, Secret
from forkcluster.options.table import BY_NAME


def described(view: View) -> dict[str, object]:
    """Everything that is known of an app, None where it is not known."""
    app, record, status = view.app, view.app.record, view.status
    listeners, figures = status.get("listeners"), part(status, "figures")
    return {
        "id": record.id if record else None,
        "name": app.name,
        "namespace": record.namespace if record else status.get("namespace"),
        "mode": record.mode if record else status.get("mode"),
        "managed": not app.foreground,
        "status": view.state,
        "wanted": record.wanted if record else None,
        "target": record.target if record else status.get("target"),
        "directory": record.request.directory if record else None,
        "flags": _flags(record.request.flags) if record else None,
        "pid": app.pid,
        "urls": [each.get("url") for each in listeners] if isinstance(listeners, list) else [],
        "ready": view.ready,
        "instances": status.get("wanted"),
        "generation": status.get("generation"),
        "uptime": view.uptime,
        "created": record.created if record else None,
        "restarts": view.restarts,
        "reason": reason(view) or None,
        "cpu": view.figures.cpu,
        "memory": view.figures.memory,
        "processes": view.figures.processes,
        "rate": figures.get("requests_per_second"),
        "p99": figures.get("p99"),
        "workers": status.get("workers", []),
        "version": status.get("version"),
        "logs": _logs(view) if record else None,
        "control": app.control,
        "environment": masked(record.environment) if record else None,
    }


def _logs(view: View) -> dict[str, str | None]:
    """The files that the output goes to, or would at the next start; None for a stream that goes to none."""
    try:
        order = order_for(view.app, view.status)
    except ForkclusterError:  # its configuration cannot be read any more
        return {"out": view.app.place.output, "error": view.app.place.error}
    return {"out": order.out or None, "error": order.error or None}


def _flags(flags: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """The flags an app was started with, secrets masked."""
    return {name: [_masked(name, text) for text in texts] for name, texts in flags.items()}


def _masked(flag: str, text: str) -> str:
    kind = BY_NAME[flag].kind if flag in BY_NAME else None
    if isinstance(kind, Secret):
        return MASK
    if isinstance(kind, PairList):
        name, mark, value = text.partition(kind.mark)
        return f"{name}{mark}{mask(name, value)}"
    return mask("", text)
