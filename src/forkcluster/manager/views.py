"""A view as plain values: what `jlist`, `describe --json` and scripts read. Its keys are documented and stay.

Values of the environment are masked; see `manager.secrets`.
"""

from collections.abc import Mapping

from forkcluster.manager.secrets import masked
from forkcluster.manager.status import View, part, reason


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
        "logs": {"out": app.place.output, "error": app.place.error} if record else None,
        "control": app.control,
        "environment": masked(record.environment) if record else None,
    }


def _flags(flags: Mapping[str, tuple[str, ...]]) -> dict[str, list[str]]:
    """The flags an app was started with; what --env sets is masked."""
    shown = {name: list(texts) for name, texts in flags.items()}
    if "env" in shown:
        pairs = dict(text.partition("=")[::2] for text in shown["env"])
        shown["env"] = [f"{name}={text}" for name, text in masked(pairs).items()]
    return shown
