"""Builds the engine of one worker from its spec. Knows its options by name; serves nothing itself."""

import os
import socket
import traceback

from forkcluster import log
from forkcluster._engine import Engine
from forkcluster.worker.spec import WorkerSpec

# Options that the engine takes under their own names.
PLAIN = (
    "limit_request_line",
    "limit_field",
    "limit_fields",
    "limit_head",
    "limit_body",
    "body_buffer",
    "header_timeout",
    "body_timeout",
    "body_min_rate",
    "keep_alive",
    "keep_alive_requests",
    "write_timeout",
    "root_path",
    "forwarded_allow_ips",
    "date_header",
    "access_log_format",
)


def make_engine(spec: WorkerSpec) -> Engine:
    """Make the engine and start its monitor, which from now on is the only reader of the channel.

    Raises OSError (no descriptors, access log not writable) and ValueError.
    """
    options: dict[str, object] = {name: getattr(spec.options, name) for name in PLAIN}
    options["slot"] = spec.slot
    options["generation"] = spec.generation
    options["server"] = "forkcluster" if spec.options.server_header else None
    options["headers"] = list(spec.options.header)
    options["balance"] = spec.options.balance == "least"
    options["inbox"] = spec.inbox
    options["access_log"] = _open_access_log(spec.access_log)
    engine = Engine(
        listeners=[_describe(descriptor) for descriptor in spec.listeners],
        scoreboard=spec.scoreboard,
        seat=spec.seat,
        epoch=spec.epoch,
        channel=spec.channel,
        options=options,
        on_error=_report,
        multiprocess=True,
    )
    os.register_at_fork(after_in_child=engine.close_inherited)
    return engine


def _open_access_log(path: str | None) -> int | None:
    if path is None:
        return None
    return os.dup(1) if path == "-" else log.open_append(path)


def _describe(descriptor: int) -> tuple[int, str, str, str]:
    """Descriptor, scheme, SERVER_NAME and SERVER_PORT of a listener (never empty: PEP 3333)."""
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        address = listener.getsockname()
    if isinstance(address, tuple):
        return descriptor, "http", str(address[0]), str(address[1])
    return descriptor, "http", "localhost", "80"


def _report(where: str, error: BaseException, method: str, target: str) -> None:
    """Log a fault of the application: its traceback, and the request."""
    if isinstance(error, RuntimeWarning) and error.__traceback__ is None:
        log.warning(str(error), method=method, target=target)
        return
    text = "".join(traceback.format_exception(error)).rstrip()
    log.error(f"error {where}\n{text}", method=method, target=target)
