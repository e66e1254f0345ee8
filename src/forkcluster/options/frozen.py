"""The frozen result: every option's value, typed. It travels to the master as JSON in a memfd and never
changes.

Field names and order are the table's (a test asserts it); times are seconds, sizes bytes, 0 in a limit means
none. `Request` is what was asked for and where, so that a reload can read everything again; `Launch` is both.
"""

import json
from collections.abc import Mapping
from types import GenericAlias, UnionType

from forkcluster import errors
from forkcluster.dataclass import asdict, dataclass, names
from forkcluster.errors import InternalError

Pairs = tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """Every option of one app.

    Files we open (log_file, log_config, access_log, pid) are absolute, unresolved. Others are as written:
    chdir, env_file and unix sockets start at `Request.directory`, pythonpath and a target's file at chdir.
    """

    # application
    target: str
    name: str
    namespace: str
    interface: str
    factory: bool
    chdir: str | None
    pythonpath: tuple[str, ...]
    env: Pairs  # what --env-file held is in here
    env_file: tuple[str, ...]
    preload: str
    venv: str | None  # absolute, unresolved
    # workers
    instances: str
    threads: int
    min_uptime: float
    boot_timeout: float
    drain_timeout: float
    drain_delay: float
    max_surge: int
    observe: float
    request_warn: float
    request_timeout: float
    loop_stall_timeout: float
    max_requests: int
    max_requests_jitter: int
    max_memory: int
    max_lifetime: float
    probe_path: str | None
    probe_host: str
    probe_header: Pairs
    probe_timeout: float
    balance: str
    on_starting: str | None
    when_ready: str | None
    on_reload: str | None
    post_fork: str | None
    worker_exit: str | None
    hook_timeout: float
    # processes
    exec_mode: str  # cluster or fork: what auto came to
    args: tuple[str, ...]
    interpreter: str | None
    interpreter_args: tuple[str, ...]
    wait_ready: bool
    overlap: bool
    kill_signal: str
    treekill: bool
    instance_var: str
    increment_var: str | None
    # restarts
    restart: str
    autorestart: bool
    stop_exit_codes: tuple[str, ...]
    max_restarts: int | None
    restart_delay: float
    exp_backoff_restart_delay: float
    cron_restart: str | None
    # listeners
    bind: tuple[str, ...]  # empty: take systemd's sockets, else address.DEFAULT
    backlog: int
    socket_mode: int | None
    socket_owner: str | None
    reuse: bool
    # limits
    limit_request_line: int
    limit_field: int
    limit_fields: int
    limit_head: int
    limit_body: int
    body_buffer: int
    header_timeout: float
    body_timeout: float
    body_min_rate: int
    keep_alive: float
    keep_alive_requests: int
    write_timeout: float
    # requests and answers
    root_path: str
    forwarded_allow_ips: str
    forwarded_fields: str
    header: Pairs
    server_header: bool
    date_header: bool
    # ASGI
    loop: str
    lifespan: str
    ws_deflate: bool
    ws_max_size: int
    ws_ping_interval: float
    ws_ping_timeout: float
    # logs
    log_level: str
    log_file: str | None
    log_format: str
    log_config: str | None
    access_log: str | None
    access_log_format: str
    capture_output: bool
    out_file: str | None  # a path, or NULL
    error_file: str | None
    merge_logs: bool
    log_type: str
    log_date_format: str | None
    time: bool
    disable_logs: bool
    log_rotate_size: int
    log_rotate_keep: int
    log_compress: bool
    # metrics and health
    admin: str | None  # an address, or "off"; None: in the app's directory
    app_metrics: bool
    admin_actions: str | None
    health_path: str | None
    min_ready: int
    # process
    pid: str | None
    user: str | None
    group: str | None
    umask: int | None
    watch: bool
    watch_path: tuple[str, ...]
    ignore_watch: tuple[str, ...]
    watch_delay: float
    control: str | None  # a path, or "off"; None: in the app's home

    def to_json(self) -> str:
        """The options as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Options":
        """Read what `to_json` wrote, maybe of another release. Raises InternalError if it does not fit."""
        return cls.from_mapping(_load(text))

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> "Options":
        """As `from_json`, from the parsed object."""
        if values.keys() != set(names(cls)):
            differing = ", ".join(sorted(values.keys() ^ set(names(cls))))
            raise InternalError(
                f"reading frozen options: written by another release of forkcluster ({differing})",
                "restart the app instead of reloading it",
            )
        return cls(**{name: _thaw(name, value) for name, value in values.items()})  # type: ignore[arg-type]


NEED_RESTART = (
    "name", "backlog", "socket_mode", "socket_owner", "pid", "log_file", "log_format", "log_level",
    "capture_output", "out_file", "error_file", "merge_logs", "log_type", "log_date_format", "time",
    "disable_logs", "log_rotate_size", "log_rotate_keep", "log_compress",
    "admin", "admin_actions", "app_metrics", "min_ready", "exec_mode", "namespace", "control", "reuse",
    "watch", "watch_path", "ignore_watch", "watch_delay",
)  # fmt: skip
"""What a master reads once: a reload cannot change it."""


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for: flags as given (option name → texts) and the directory they were given in,
    unresolved. A flag without a text asks for the default.

    The environment belongs to it too, but is the process's own: `to_json` adds it when another process must
    know it.
    """

    flags: Mapping[str, tuple[str, ...]]
    directory: str

    def to_json(self, environment: Mapping[str, str]) -> str:
        """The request as `python -m forkcluster.options` reads it on standard input."""
        return json.dumps(
            {"flags": self.flags, "directory": self.directory, "environment": dict(environment)}
        )

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> "Request":
        """Read the parsed object that `to_json` or `Launch.to_json` wrote. Raises InternalError."""
        flags, directory = values.get("flags"), values.get("directory")
        if not isinstance(flags, dict) or not isinstance(directory, str):
            raise InternalError("reading a request: flags or directory missing")
        return cls({str(name): tuple(map(str, texts)) for name, texts in flags.items()}, directory)


@dataclass(frozen=True, slots=True)
class Registration:
    """A managed app's place in the home, and the descriptors that its master inherits from the terminal.

    `lock` is locked already. `report` is the writing end of a pipe: the master writes one JSON object when
    the app is ready or has failed, and closes it. `scaled`: (configured, wanted) workers, when `scale` has
    set another number than the configuration says; (0, 0) when not.
    """

    home: str
    name: str
    lock: int
    report: int
    scaled: tuple[int, int] = (0, 0)

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> "Registration":
        """Read the parsed object that `Launch.to_json` wrote. Raises InternalError."""
        match values:
            case {
                "home": str(home),
                "name": str(name),
                "lock": int(lock),
                "report": int(report),
                "scaled": [int(configured), int(wanted)],
            }:
                return cls(home, name, lock, report, (configured, wanted))
            case _:
                raise InternalError("reading the launch: not what a registration looks like")


@dataclass(frozen=True, slots=True)
class Launch:
    """What the terminal hands to the master: the frozen options, the request, and notes to log at start.

    A managed app has a registration; one in the foreground has none.
    """

    options: Options
    request: Request
    notes: tuple[str, ...] = ()
    registration: Registration | None = None

    @property
    def managed(self) -> bool:
        """Whether the app is managed: started by `forkcluster start`, with a record in the home."""
        return self.registration is not None

    def to_json(self) -> str:
        """The launch as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "Launch":
        """Read what `to_json`, or `python -m forkcluster.options`, wrote.

        Raises the error that was reported instead of a launch, or InternalError.
        """
        values = _load(text)
        if "error" in values:
            raise errors.from_json(values["error"])
        match values:
            case {"options": dict(options), "request": dict(request), "notes": list(notes)}:
                registration = values.get("registration")
                return cls(
                    Options.from_mapping(options),
                    Request.from_mapping(request),
                    tuple(map(str, notes)),
                    Registration.from_mapping(registration) if isinstance(registration, dict) else None,
                )
            case _:
                raise InternalError("reading the launch: not what a launch looks like")


def _thaw(name: str, value: object) -> object:
    """The value of an option, as it was before it became JSON. Raise InternalError if its type is another."""
    kind = Options.__annotations__[name]
    try:
        return _of(kind, value)
    except (TypeError, ValueError):
        raise InternalError(f"reading frozen options: {name} is {value!r}, not of the type {kind}") from None


def _of(kind: object, value: object) -> object:
    """Raise TypeError or ValueError."""
    if isinstance(kind, UnionType):  # a type or None
        return None if value is None else _of(kind.__args__[0], value)
    if isinstance(kind, GenericAlias):  # a tuple, of which JSON has made a list
        kinds, values = kind.__args__, _list(value)
        if kinds[-1] is Ellipsis:
            kinds = kinds[:1] * len(values)
        return tuple(_of(each, one) for each, one in zip(kinds, values, strict=True))
    if kind is float and type(value) is int:
        return float(value)
    if type(value) is not kind:
        raise TypeError
    return value


def _list(value: object) -> list[object]:
    if not isinstance(value, list):
        raise TypeError
    return value


def _load(text: str) -> dict[str, object]:
    try:
        values = json.loads(text)
    except ValueError as error:
        raise InternalError(f"reading frozen options: not JSON: {error}") from error
    if not isinstance(values, dict):
        raise InternalError("reading frozen options: not a JSON object")
    return values
