"""Every option, declared once: flag, variable, configuration key, help and default all come from here.

From the name `drain_timeout` follow the flag `--drain-timeout`, the variable FORKCLUSTER_DRAIN_TIMEOUT and
the key `drain_timeout` of the `[app]` table; a switch `date_header` also has `--no-date-header`. Defaults are
written as a person would write them. An option is declared when something obeys it, not before.
"""

from collections.abc import Mapping
from typing import Final

from forkcluster.dataclass import dataclass
from forkcluster.options import checks
from forkcluster.options.address import check_bind
from forkcluster.options.cpus import check_instances
from forkcluster.options.dates import check_format
from forkcluster.options.kinds import (
    Count,
    Duration,
    Kind,
    PairList,
    Secret,
    Size,
    Switch,
    TextOrZero,
    Texts,
    Value,
    Word,
    Words,
    choice,
)

GROUPS: Final = (
    "Application", "Workers", "Processes", "Restarts", "Listeners", "Limits", "Requests and answers", "ASGI",
    "Logs", "Metrics and health", "Process",
)  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option. `default` is text, or None where absence is a value: `implied` says what it means."""

    name: str
    kind: Kind
    help: str
    group: str
    default: str | None = None
    implied: str = ""
    unit: str = ""
    short: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()  # further names, for the flag and the key
    positional: bool = False
    frozen: bool = True  # False: read by the terminal only, and no key of the file

    @property
    def names(self) -> tuple[str, ...]:
        """The name and its aliases: the keys of the configuration file."""
        return (self.name, *self.aliases)

    @property
    def flags(self) -> tuple[str, ...]:
        """Its flags, short ones first; none for the positional argument."""
        if self.positional:
            return ()
        return (*self.short, *(f"--{name.replace('_', '-')}" for name in self.names))

    @property
    def off_flag(self) -> str | None:
        """The flag that turns a switch off."""
        return f"--no-{self.name.replace('_', '-')}" if isinstance(self.kind, Switch) else None

    @property
    def variable(self) -> str:
        """Its environment variable."""
        return f"FORKCLUSTER_{self.name.upper()}"

    @property
    def repeats(self) -> bool:
        """Whether the flag may be given several times."""
        return isinstance(self.kind, Texts | PairList)

    def default_value(self) -> Value:
        """The default as a frozen value."""
        if self.default is None:
            return () if self.repeats else None
        return self.kind.from_text(self.default)

    def show(self, value: Value) -> str:
        """The value for a person."""
        return self.implied or "not set" if value is None or value == () else self.kind.show(value)


PATH: Final = Kind("a path", "PATH", checks.path)
FILE: Final = Kind("a path", "FILE", checks.path)
SWITCH: Final = Switch()
HOOK: Final = Kind("module:function", "HOOK", checks.hook)
SIZE: Final = Size()
POSITIVE: Final = Duration(low=0.001)
DURATION: Final = Duration()


# fmt: off

def _application() -> list[Option]:
    group = "Application"
    environment = PairList(
        "KEY=VALUE texts or a table", "KEY=VALUE", None, "=", checks.environment_pair, secret=True
    )
    return [
        Option(
            name="target", kind=Kind("a target such as app:application", "TARGET", checks.target),
            group=group, aliases=("script", "exec", "cmd", "command"),
            positional=True, implied="found in the directory",
            help="What to serve: module:attribute, module, or path/to/file.py[:attribute].",
        ),
        Option(
            name="name", kind=Kind("a name", "NAME", checks.app_name), group=group, short=("-n",),
            implied="taken from the target", help="The app's name, in logs and process titles.",
        ),
        Option(
            name="namespace", kind=Kind("a name", "NAME", checks.app_name), group=group, default="default",
            help="A word that several apps may share, and commands of the manager take for all of them.",
        ),
        Option(
            name="interface", kind=choice("auto", "wsgi", "asgi"), group=group, default="auto",
            help="How to call the application; auto looks at it.",
        ),
        Option(
            name="factory", kind=SWITCH, group=group, default="false",
            help="The target is called once, without arguments, and returns the application.",
        ),
        Option(name="chdir", kind=PATH, group=group, aliases=("cwd",),
               help="Change to this directory before the application is loaded."),
        Option(
            name="pythonpath", kind=Texts("a path or a list of paths", "PATH", checks.path, ":"), group=group,
            help="Put this directory on sys.path; may be repeated.",
        ),
        Option(
            name="env", kind=environment, group=group,
            help="Set this variable in the application's environment; may be repeated.",
        ),
        Option(
            name="env_file", kind=Texts("a path or a list of paths", "FILE", checks.path), group=group,
            help="Read variables for the application from this file of KEY=VALUE lines; --env is stronger.",
        ),
        Option(
            name="preload", kind=choice("auto", "always", "never"), group=group, default="auto",
            help="Load the application once and fork workers from it; auto judges whether that is safe.",
        ),
        Option(
            name="venv", kind=PATH, group=group, implied=".venv or venv beside the application, if there",
            help="The virtual environment that the application runs in, or none: this forkcluster's own.",
        ),
    ]


def _workers() -> list[Option]:
    group = "Workers"
    return [
        Option(
            name="instances", kind=Word("a number of workers, 0, -1 or max", "N", check_instances),
            group=group,
            default="1", short=("-i",),
            help="How many workers; 0 or max: one for each CPU this process may use; -1: one fewer.",
        ),
        Option(
            name="threads", kind=Count(low=1, high=1024), group=group, default="8",
            help="WSGI: how many calls of the application a worker runs at once. 1: on its main thread.",
        ),
        Option(
            name="min_uptime", kind=DURATION, group=group, default="1", unit="s",
            help="A worker ready for so long is replaced at once when it dies; an earlier death waits.",
        ),
        Option(
            name="boot_timeout", kind=POSITIVE, group=group, default="60", unit="s",
            aliases=("listen_timeout",),
            help="How long loading the application, and a worker's start, may take.",
        ),
        Option(
            name="drain_timeout", kind=DURATION, group=group, default="30", unit="s",
            aliases=("graceful_timeout", "kill_timeout"),
            help="How long a leaving worker may take to finish what it is doing before it is killed.",
        ),
        Option(
            name="drain_delay", kind=DURATION, group=group, default="0", unit="s",
            help="How long a stop waits, not ready any more but serving, before workers drain.",
        ),
        Option(
            name="max_surge", kind=Count(low=1, high=64), group=group, default="1",
            help="How many workers above the wanted number a roll may have at once.",
        ),
        Option(
            name="observe", kind=DURATION, group=group, default="1", unit="s",
            help="How long a reload watches the new workers before it is final.",
        ),
        Option(
            name="request_warn", kind=DURATION, group=group, default="10", unit="s",
            help="A request without an answer for so long is logged with all stacks of its worker. 0: off.",
        ),
        Option(
            name="request_timeout", kind=DURATION, group=group, default="0", unit="s",
            help="A worker whose request has no answer for so long is replaced. 0: off.",
        ),
        Option(
            name="loop_stall_timeout", kind=DURATION, group=group, default="1", unit="s",
            help="An event loop that a callback has blocked for so long is logged with its stack. 0: off.",
        ),
        Option(
            name="max_requests", kind=Count(), group=group, default="0",
            help="A worker is replaced after so many requests. 0: never.",
        ),
        Option(
            name="max_requests_jitter", kind=Count(), group=group, default="0",
            help="Up to so many more, different for each worker.",
        ),
        Option(
            name="max_memory", kind=SIZE, group=group, default="0", unit="bytes",
            aliases=("max_memory_restart",),
            help="A worker with so much resident memory is replaced, such as 300M. 0: never.",
        ),
        Option(
            name="max_lifetime", kind=Duration(high=365 * 86400.0), group=group, default="0", unit="s",
            help="A worker of this age is replaced. 0: never.",
        ),
        Option(
            name="probe_path", kind=Kind("a path such as /health", "PATH", checks.probe_path),
            group=group, implied="no question is asked",
            help="Asked of the first worker of a reload before it accepts; the answer must be 2xx.",
        ),
        Option(
            name="probe_host", kind=Kind("a host name", "HOST", checks.host), group=group,
            default="localhost",
            help="The Host field of that question.",
        ),
        Option(
            name="probe_header", group=group,
            kind=PairList("NAME: VALUE texts or a table", "NAME:VALUE", None, ":", checks.header),
            help="A further field of that question; may be repeated.",
        ),
        Option(
            name="probe_timeout", kind=POSITIVE, group=group, default="5", unit="s",
            help="How long the answer to that question may take.",
        ),
        Option(
            name="balance", kind=choice("least", "kernel"), group=group, default="least",
            help="least: connections are handed to the worker that has least to do; kernel: they stay where "
            "the kernel puts them.",
        ),
        *(
            Option(name=name, kind=HOOK, group=group, help=f"Call this function {when}.")
            for name, when in (
                ("on_starting", "in the first mold, before the application is loaded"),
                ("when_ready", "in the mold, when all workers serve for the first time"),
                ("on_reload", "in the new mold of a reload, before the application is loaded"),
                ("post_fork", "in every worker, before it serves"),
                ("worker_exit", "in every worker that has drained, before it ends"),
            )
        ),
        Option(
            name="hook_timeout", kind=POSITIVE, group=group, default="10", unit="s",
            help="How long a hook may take.",
        ),
    ]


def _processes() -> list[Option]:
    group = "Processes"
    return [
        Option(
            name="exec_mode", kind=choice("auto", "cluster", "fork"), group=group, default="auto",
            help="cluster serves a Python web application; fork runs any command, once for each instance; "
            "auto: what the target looks like.",
        ),
        Option(
            name="args", kind=Words("a text or a list of texts", "ARGS", checks.argument, exact=True),
            group=group, positional=True,
            help="Arguments of the command, in fork mode; on the command line they follow the target.",
        ),
        Option(
            name="interpreter", kind=Kind("a program, or none", "PROGRAM", checks.path), group=group,
            aliases=("exec_interpreter",),
            implied="by the file's extension: the application's Python for .py",
            help="What runs the target, in fork mode; none: it runs by itself.",
        ),
        Option(
            name="interpreter_args", kind=Words("a text or a list of texts", "ARGS", checks.argument),
            group=group, aliases=("node_args",),
            help="Arguments of the interpreter.",
        ),
        Option(
            name="wait_ready", kind=SWITCH, group=group, default="false",
            help="A process is ready when it says so (sd_notify's READY=1), within --boot-timeout; otherwise "
            "when it is still there after --min-uptime.",
        ),
        Option(
            name="overlap", kind=SWITCH, group=group, default="true",
            help="With --wait-ready, a process is replaced only when its successor is ready beside it.",
        ),
        Option(
            name="kill_signal", kind=Kind("a signal's name", "SIGNAL", checks.stop_signal), group=group,
            default="TERM",
            help="What asks a process to end; KILL follows after --drain-timeout.",
        ),
        Option(
            name="treekill", kind=SWITCH, group=group, default="true",
            help="What a process has started is ended after it, too, in fork mode.",
        ),
        Option(
            name="instance_var", kind=Kind("a variable's name", "NAME", checks.variable), group=group,
            default="FORKCLUSTER_INSTANCE",
            help="The variable that tells a process, or a worker, its number, from 0.",
        ),
        Option(
            name="increment_var", kind=Kind("a variable's name", "NAME", checks.variable), group=group,
            help="This variable, set as a number by --env, is one more for each process.",
        ),
    ]


def _restarts() -> list[Option]:
    group = "Restarts"
    return [
        Option(
            name="restart", kind=choice("always", "on-failure", "never"), group=group, default="always",
            help="When a process that ended by itself is started again, in fork mode.",
        ),
        Option(
            name="autorestart", kind=SWITCH, group=group, default="true",
            help="Off: the same as --restart never.",
        ),
        Option(
            name="stop_exit_codes", group=group,
            kind=Texts("an exit status or a list of them", "STATUS", checks.exit_status),
            help="A process that ends with this status is not started again; may be repeated.",
        ),
        Option(
            name="max_restarts", kind=Count(), group=group,
            implied="16 in fork mode, no limit in cluster mode",
            help="After so many restarts in a row before --min-uptime the app has failed. 0: no limit.",
        ),
        Option(
            name="restart_delay", kind=DURATION, group=group, default="0", unit="s",
            help="How long every restart waits. 0: only early deaths wait, ever longer.",
        ),
        Option(
            name="exp_backoff_restart_delay", kind=DURATION, group=group, default="0", unit="s",
            help="Restarts wait so long at first, then half as long again each time, up to 15 s. 0: off.",
        ),
        Option(
            name="cron_restart", kind=TextOrZero("a cron expression, or 0", "CRON", checks.cron),
            group=group, aliases=("cron",),
            help="Reload at these times, such as '0 3 * * *'; needs forkcluster[cron]. 0: at none.",
        ),
    ]


def _listeners() -> list[Option]:
    group = "Listeners"
    addresses = Texts("an address or a list of addresses", "ADDRESS", check_bind)
    return [
        Option(
            name="bind", kind=addresses, group=group, short=("-b",),
            implied="systemd's sockets, else 127.0.0.1:8000",
            help="Listen here: port, host:port, [v6]:port, unix:path or fd://N; may be repeated.",
        ),
        Option(
            name="backlog", kind=Count(low=1, high=65535), group=group, default="2048",
            help="How many connections the kernel may keep waiting for us, for each listener.",
        ),
        Option(
            name="socket_mode", kind=Count("octal permissions", "MODE", low=0, high=0o777, base=8),
            group=group,
            implied="as the umask says", help="Permissions of a unix socket, octal, such as 660.",
        ),
        Option(
            name="socket_owner", kind=Kind("user, user:group or :group", "USER:GROUP", checks.owner),
            group=group,
            implied="this process's", help="Owner of a unix socket.",
        ),
        Option(
            name="reuse", kind=SWITCH, group=group, default="true",
            help="Replace a unix socket left behind by a dead process.",
        ),
    ]


def _limits() -> list[Option]:
    group = "Limits"
    return [
        Option(name="limit_request_line", kind=Size(low=64, high=1 << 20), group=group, default="8190",
               unit="bytes",
               help="Longest request line; longer ones are answered 414."),
        Option(name="limit_field", kind=Size(low=64, high=1 << 20), group=group, default="8190", unit="bytes",
               help="Longest header field line; longer ones are answered 431."),
        Option(name="limit_fields", kind=Count(low=1, high=256), group=group, default="100",
               help="Most header fields of a request; more are answered 431."),
        Option(name="limit_head", kind=Size(low=256, high=1 << 24), group=group, default="64K", unit="bytes",
               help="Longest request line and header fields together."),
        Option(name="limit_body", kind=SIZE, group=group, default="1G", unit="bytes",
               help="Longest request body; longer ones are answered 413. 0: no limit."),
        Option(name="body_buffer", kind=Size(low=0, high=1 << 30), group=group, default="512K", unit="bytes",
               help="A request body up to this size is kept in memory; a longer one in a file."),
        Option(name="header_timeout", kind=POSITIVE, group=group, default="10", unit="s",
               help="How long a request's head may take to arrive."),
        Option(name="body_timeout", kind=POSITIVE, group=group, default="30", unit="s",
               help="How long a request's body may stall, or stay below --body-min-rate."),
        Option(name="body_min_rate", kind=Count(low=0, high=1 << 30), group=group, default="240",
               unit="bytes per second", help="Slowest a request's body may arrive. 0: any speed."),
        Option(name="keep_alive", kind=DURATION, group=group, default="75", unit="s",
               help="How long an idle connection is kept. 0: closed after each answer."),
        Option(name="keep_alive_requests", kind=Count(), group=group, default="0",
               help="Most requests on one connection. 0: no limit."),
        Option(name="write_timeout", kind=POSITIVE, group=group, default="60", unit="s",
               help="How long a client may take nothing of an answer."),
    ]


def _requests() -> list[Option]:
    group = "Requests and answers"
    return [
        Option(name="root_path", kind=Kind("a path such as /shop", "PATH", checks.root_path),
               group=group, default="",
               help="The path the application is mounted at: SCRIPT_NAME, root_path."),
        Option(name="forwarded_allow_ips", kind=Kind("addresses and networks", "LIST", checks.trusted),
               group=group,
               default="127.0.0.0/8,::1,unix",
               help="Proxies whose word for the client is believed: addresses, networks, unix, *."),
        Option(name="forwarded_fields", group=group, default="x-forwarded",
               kind=choice("x-forwarded", "forwarded", "either"),
               help="What those proxies write; either: only if they remove the other kind."),
        Option(name="header", group=group,
               kind=PairList("NAME: VALUE texts or a table", "NAME:VALUE", None, ":", checks.header),
               help="Add this header field to every answer; may be repeated."),
        Option(name="server_header", kind=SWITCH, group=group, default="true", help="Send the Server field."),
        Option(name="date_header", kind=SWITCH, group=group, default="true", help="Send the Date field."),
    ]


def _asgi() -> list[Option]:
    group = "ASGI"
    return [
        Option(name="loop", kind=choice("auto", "uvloop", "asyncio"), group=group, default="auto",
               help="The event loop of an ASGI application; auto takes uvloop where it can be imported."),
        Option(name="lifespan", kind=choice("auto", "on", "off"), group=group, default="auto",
               help="Tell the application of startup and shutdown; auto lets it do without."),
        Option(name="ws_deflate", kind=SWITCH, group=group, default="true",
               help="Compress WebSocket messages for clients that offer it (permessage-deflate)."),
        Option(name="ws_max_size", kind=Size(low=1, high=1 << 31), group=group, default="16M", unit="bytes",
               help="Longest WebSocket message; a longer one closes the connection with 1009."),
        Option(name="ws_ping_interval", kind=DURATION, group=group, default="20", unit="s",
               help="How often a WebSocket client is pinged. 0: never."),
        Option(name="ws_ping_timeout", kind=DURATION, group=group, default="20", unit="s",
               help="How long the answer to a ping may take before the connection is closed. 0: any time."),
    ]


def _logs() -> list[Option]:
    group = "Logs"
    return [
        Option(name="log_level", kind=choice("debug", "info", "warning", "error"), group=group,
               default="info", help="How much forkcluster itself logs."),
        Option(name="log_file", kind=FILE, group=group, implied="standard error",
               help="Append forkcluster's log to this file; USR1 opens it anew."),
        Option(name="log_format", kind=choice("text", "json"), group=group, default="text",
               help="Lines for people or for machines."),
        Option(name="log_config", kind=FILE, group=group, implied="the application's own",
               help="Set up the application's logging from this file: .json, .toml (dictConfig) or .ini."),
        Option(name="access_log", kind=Kind("a path, or -", "FILE", checks.path), group=group, implied="off",
               help="Write a line for each request to this file, or to standard output (-)."),
        Option(name="access_log_format", group=group, default="combined",
               kind=Kind("common, combined, json or a format", "FORMAT", checks.access_format),
               help="common, combined, json, or a format such as '%(h)s %(r)s %(s)s'."),
        Option(name="capture_output", kind=SWITCH, group=group, default="false",
               help="Have a logger stamp what the application prints with time and worker, line by line."),
        Option(name="out_file", kind=FILE, group=group, aliases=("out", "output", "out_log"),
               implied="in FORKCLUSTER_HOME if managed, else standard output",
               help="Put what the application prints here, through the logger; NULL: nowhere."),
        Option(name="error_file", kind=FILE, group=group,
               aliases=("err", "error", "err_file", "err_log", "error_log"),
               implied="in FORKCLUSTER_HOME if managed, else standard error",
               help="Likewise what it prints to standard error, and forkcluster's log."),
        Option(name="merge_logs", kind=SWITCH, group=group, default="true", aliases=("combine_logs",),
               help="All workers share those files; off: each has its own, with its slot in the name."),
        Option(name="log_type", kind=choice("text", "json", "raw"), group=group, default="text",
               help="How captured lines are written: stamped, as JSON objects, or as they come."),
        Option(name="log_date_format", group=group, implied="RFC 3339, in UTC",
               kind=Kind("a date format", "FORMAT", check_format),
               help="The stamp of captured lines, such as '%Y-%m-%d %H:%M:%S' or 'YYYY-MM-DD HH:mm:ss'."),
        Option(name="time", kind=SWITCH, group=group, default="false",
               help="Short for the stamp that PM2 writes, %Y-%m-%dT%H:%M:%S in local time."),
        Option(name="disable_logs", kind=SWITCH, group=group, default="false",
               help="Drop what is captured."),
        Option(name="log_rotate_size", kind=SIZE, group=group, default="10M", unit="bytes",
               help="A file of captured lines is rotated when it is so long. 0: never."),
        Option(name="log_rotate_keep", kind=Count(high=100000), group=group, default="10",
               help="How many rotated files stay, of each file."),
        Option(name="log_compress", kind=SWITCH, group=group, default="true",
               help="Compress rotated files with gzip."),
    ]


def _metrics() -> list[Option]:
    group = "Metrics and health"
    return [
        Option(name="admin", kind=Kind("host:port, unix:path or off", "ADDRESS", checks.admin), group=group,
               implied="admin.sock in the app's directory",
               help="Where /metrics, /livez, /readyz and /status are answered."),
        Option(name="app_metrics", kind=SWITCH, group=group, default="true",
               help="Merge the application's own prometheus_client metrics of all workers into /metrics."),
        Option(name="admin_actions", group=group, implied="off",
               kind=Secret("a token, or the path of a file with it", "TOKEN|FILE", checks.token),
               help="Allow POST /reload, /scale, /stacks at the admin address to who has this token."),
        Option(name="health_path", kind=Kind("a path such as /healthz", "PATH", checks.health_path),
               group=group, implied="none",
               help="Answer this path on every listener without entering the application."),
        Option(name="min_ready", kind=Count(low=1, high=341), group=group, default="1", unit="workers",
               help="With fewer workers ready than this, the app is not ready."),
    ]


def _process() -> list[Option]:
    group = "Process"
    return [
        Option(name="pid", kind=FILE, group=group, aliases=("pid_file",),
               help="Write the master's process id to this file."),
        Option(name="user", kind=Word("a user, by name or number", "USER", checks.account), group=group,
               aliases=("uid",),
               implied="this process's",
               help="Molds and workers become this user before the application is loaded."),
        Option(name="group", kind=Word("a group, by name or number", "GROUP", checks.account), group=group,
               aliases=("gid",),
               implied="the user's", help="Molds and workers become this group."),
        Option(name="umask", kind=Count("an octal mask", "MASK", low=0, high=0o777, base=8), group=group,
               implied="this process's", help="The umask of molds and workers, octal, such as 027."),
        Option(name="watch", kind=SWITCH, group=group, default="false", aliases=("reload",),
               help="Reload when a file of the application changes; needs forkcluster[watch]."),
        Option(name="watch_path", kind=Texts("a path or a list of paths", "PATH", checks.path, ":"),
               group=group, implied="the application's directory",
               help="Watch this directory or file instead; may be repeated."),
        Option(name="ignore_watch", group=group,
               kind=Texts("a pattern or a list of patterns", "PATTERN", checks.path, ":"),
               help="Files that fit this pattern of .gitignore's kind are not watched; may be repeated."),
        Option(name="watch_delay", kind=DURATION, group=group, default="0.1", unit="s",
               help="How long nothing more may change before the reload."),
        Option(name="control", kind=Kind("a path, or off", "PATH", checks.path), group=group,
               implied="in FORKCLUSTER_HOME",
               help="Put the control socket here, in a directory only this user can write; off: none."),
        Option(name="config", kind=FILE, group=group, short=("-c",), frozen=False,
               implied="forkcluster.toml, if it is there",
               help="Read the configuration from this file: .toml, .json, .yaml or .py."),
        Option(name="app", kind=Kind("an app's name", "NAME"), group=group, frozen=False,
               implied="the only one", help="Take this app of a file with several."),
        Option(name="env_name", kind=Kind("a name", "NAME"), group=group, frozen=False, implied="none",
               help="Take the variables of the file's env_NAME table over those of env."),
    ]


TABLE: Final[tuple[Option, ...]] = (
    *_application(), *_workers(), *_processes(), *_restarts(), *_listeners(), *_limits(), *_requests(),
    *_asgi(), *_logs(), *_metrics(), *_process(),
)
# fmt: on
BY_NAME: Final[Mapping[str, Option]] = {option.name: option for option in TABLE}
BY_KEY: Final[Mapping[str, Option]] = {
    name: option for option in TABLE if option.frozen for name in option.names
}
