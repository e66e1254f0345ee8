"""Builds the engine of one worker from its spec. Knows its options by name; serves nothing itself."""

import os
import socket
import traceback

from forkcluster import log
from forkcluster._engine import Engine
from forkcluster.errors import ConfigurationError
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
    "forwarded_fields",
    "date_header",
    "access_log_format",
    "health_path",
    "threads",
)

# In sqlite3's ProgrammingError when a connection meets another thread than the one that made it.
BOUND = "can only be used in that same thread"


def make_engine(spec: WorkerSpec, *, nested: bool = False, look: float | None = None) -> Engine:
    """Make the engine and start its monitor, which from now on is the only reader of the channel.

    `nested`: it will be watched by an event loop, for ASGI. `look`: how often, in seconds, the monitor looks
    for long calls, if not as usual: where something slows everything down.

    Raises OSError (no descriptors, access log not writable) and ValueError.
    """
    options: dict[str, object] = {name: getattr(spec.options, name) for name in PLAIN}
    options["nested"] = int(nested)
    if look is not None:
        options["look"] = look
    options["slot"] = spec.slot
    options["generation"] = spec.generation
    options["hold"] = int(spec.hold)
    options["log_fd"] = log.log.fd if log.log.fd != 2 else 0
    options["server"] = "forkcluster" if spec.options.server_header else None
    options["headers"] = list(spec.options.header)
    options["balance"] = spec.options.balance == "least"
    options["inbox"] = spec.inbox
    options["access_log"] = _open_access_log(spec.access_log)
    return Engine(
        listeners=[_describe(descriptor, nested) for descriptor in spec.listeners],
        scoreboard=spec.scoreboard,
        seat=spec.seat,
        epoch=spec.epoch,
        channel=spec.channel,
        options=options,
        on_error=report_fault,
        multiprocess=True,
    )


def _open_access_log(path: str | None) -> int | None:
    if path is None:
        return None
    if path == "-":
        return os.dup(1)
    try:
        return log.open_append(path)
    except OSError as error:
        raise ConfigurationError(
            f"cannot open the access log {path}: {error.strerror}",
            "choose a writable place with --access-log",
        ) from error


def _describe(descriptor: int, asgi: bool) -> tuple[int, str, str, str]:
    """Descriptor, scheme, name and port of a listener.

    Of a unix socket ASGI wants the path and no port; PEP 3333 wants neither name nor port empty.
    """
    with socket.socket(fileno=os.dup(descriptor)) as listener:
        address = listener.getsockname()
    if isinstance(address, tuple):
        return descriptor, "http", str(address[0]), str(address[1])
    if asgi:
        return descriptor, "http", os.fsdecode(address), ""
    return descriptor, "http", "localhost", "80"


def report_fault(where: str, error: BaseException, method: str, target: str) -> None:
    """Log a fault of the application: its traceback, and the request; and a remedy where we know one."""
    if isinstance(error, RuntimeWarning) and error.__traceback__ is None:
        log.warning(str(error), method=method, target=target)
        return
    if BOUND in str(error):
        log.warning(f"{error}: objects bound to one thread need --threads 1", method=method, target=target)
    text = "".join(traceback.format_exception(error)).rstrip()
    log.error(f"error {where}\n{text}", method=method, target=target)
