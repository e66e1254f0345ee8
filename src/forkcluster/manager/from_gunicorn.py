"""A gunicorn.conf.py as ours: its settings under our names, and what has none here. Pure: it is evaluated
elsewhere.
"""

from collections.abc import Callable, Mapping
from typing import Final

from forkcluster.manager.imported import Imported
from forkcluster.options.discover import app_name
from forkcluster.options.formats.python import Evaluated
from forkcluster.options.table import BY_NAME

Values = dict[str, object]

SAME: Final[Mapping[str, str]] = {
    "access_log_format": "access_log_format",
    "accesslog": "access_log",
    "backlog": "backlog",
    "bind": "bind",
    "chdir": "chdir",
    "graceful_timeout": "drain_timeout",
    "group": "group",
    "keepalive": "keep_alive",
    "limit_request_field_size": "limit_field",
    "limit_request_fields": "limit_fields",
    "limit_request_line": "limit_request_line",
    "logconfig": "log_config",
    "max_requests": "max_requests",
    "max_requests_jitter": "max_requests_jitter",
    "pidfile": "pid",
    "reload": "watch",
    "reload_extra_files": "watch_path",
    "threads": "threads",
    "user": "user",
    "workers": "instances",
    "wsgi_app": "target",
}
"""Settings that mean the same under another name."""

LOST: Final[Mapping[str, str]] = {
    **dict.fromkeys(
        ("certfile", "keyfile", "ca_certs", "ciphers", "cert_reqs", "ssl_version", "do_handshake_on_connect"),
        "TLS is the business of the proxy in front",
    ),
    **dict.fromkeys(
        (
            "statsd_host",
            "statsd_prefix",
            "dogstatsd_tags",
            "syslog",
            "syslog_addr",
            "syslog_prefix",
            "syslog_facility",
        ),
        "nothing here obeys it",
    ),
    **dict.fromkeys(
        ("worker_tmp_dir", "worker_connections", "sendfile", "reuse_port", "tmp_upload_dir", "initgroups"),
        "not needed: the engine works in another way",
    ),
    "capture_output": "what an app prints is always kept when it is managed",
    "daemon": "forkcluster start runs it in the background",
    "logconfig_dict": "write it into a file and name that with log_config",
    "logger_class": 'log_format = "json" is for machines',
    "paste": "name the application as target",
    "proxy_allow_ips": "the PROXY protocol is not spoken",
    "proxy_protocol": "the PROXY protocol is not spoken",
    "secure_scheme_headers": "forwarded_fields says what the proxy writes",
    "forwarder_headers": "forwarded_fields says what the proxy writes",
}
"""Settings that have no counterpart, and why."""

HOOKS: Final = (
    "on_starting", "on_reload", "when_ready", "pre_fork", "post_fork", "post_worker_init", "worker_int",
    "worker_abort", "pre_exec", "pre_request", "post_request", "child_exit", "worker_exit",
    "nworkers_changed", "on_exit", "ssl_context",
)  # fmt: skip
ASGI_WORKERS: Final = ("uvicorn", "asgi", "hypercorn")
GREEN_WORKERS: Final = ("gevent", "eventlet", "tornado")


def carry(path: str, found: Evaluated, target: str | None = None) -> Imported:
    """Give the one app that a gunicorn configuration describes; `target` is what its command line named."""
    settings = {name: value for name, value in found.data.items() if value is not None}
    app: Values = {}
    lost: list[str] = []
    for name, value in settings.items():
        try:
            if name in SAME:
                app[SAME[name]] = value
            elif name in SHAPED:
                app.update(SHAPED[name](value, settings))
            elif name in LOST:
                lost.append(f"{name}: {LOST[name]}")
        except ValueError as error:
            lost.append(f"{name}: {error}")
    app.update(_threads(settings))
    lost += [_hook(name) for name in HOOKS if name in found.left]
    known = SAME.keys() | SHAPED.keys() | LOST.keys()
    lost += [f"{name}: a {kind} cannot be read" for name, kind in found.left.items() if name in known]
    if target:
        app["target"] = target
    if "target" not in app:
        lost.append('target: it stood on gunicorn\'s command line; add target = "module:attribute"')
    app.setdefault("name", app_name(str(app.get("target", "app"))))
    first: Values = {key: app[key] for key in ("name", "target") if key in app}
    return Imported(path, ({**first, **app},), {}, tuple(lost))


def _hook(name: str) -> str:
    if name in BY_NAME:
        return (
            f'{name}: write it as a function of a module and say {name} = "module:function" (docs/hooks.md)'
        )
    return f"{name}: there is no such hook (docs/hooks.md)"


def _threads(settings: Mapping[str, object]) -> Values:
    """Give how many threads gunicorn would run: one by default; sync with more is gthread."""
    word = str(settings.get("worker_class", "sync")).lower()
    if any(each in word for each in (*ASGI_WORKERS, *GREEN_WORKERS)):
        return {}
    return {"threads": settings.get("threads") or 1}


# -- settings of another shape: (value, all settings) → our values. ValueError says why there are none.


def _worker_class(value: object, _settings: Mapping[str, object]) -> Values:
    word = str(value).lower()
    if any(each in word for each in GREEN_WORKERS):
        raise ValueError(
            f"{value} applications cannot be served: threads, or an ASGI application, do the same"
        )
    if any(each in word for each in ASGI_WORKERS):
        return {"interface": "asgi"}
    return {}


def _timeout(value: object, settings: Mapping[str, object]) -> Values:
    word = str(settings.get("worker_class", "sync")).lower()
    if any(each in word for each in ASGI_WORKERS):
        raise ValueError("in ASGI workers it was the limit of the event loop's silence, not of a request")
    return {"request_timeout": value}


def _preload(value: object, _settings: Mapping[str, object]) -> Values:
    return {"preload": "always"} if value else {}


def _umask(value: object, _settings: Mapping[str, object]) -> Values:
    return {"umask": f"{value:03o}"} if isinstance(value, int) and value else {}


def _raw_env(value: object, _settings: Mapping[str, object]) -> Values:
    pairs = value if isinstance(value, list) else [value]
    return {"env": {key: text for key, _, text in (str(pair).partition("=") for pair in pairs) if key}}


def _level(value: object, _settings: Mapping[str, object]) -> Values:
    word = str(value).lower()
    return {"log_level": "error" if word == "critical" else word}


def _errorlog(value: object, _settings: Mapping[str, object]) -> Values:
    return {} if value == "-" else {"log_file": value}


def _split(option: str) -> Callable[[object, Mapping[str, object]], Values]:
    return lambda value, _: {option: [each.strip() for each in str(value).split(",") if each.strip()]}


def _allow(value: object, _settings: Mapping[str, object]) -> Values:
    return {"forwarded_allow_ips": ",".join(map(str, value)) if isinstance(value, list) else value}


def _name(value: object, _settings: Mapping[str, object]) -> Values:
    return {"name": app_name(f"{value}.py")}


SHAPED: Final[Mapping[str, Callable[[object, Mapping[str, object]], Values]]] = {
    "errorlog": _errorlog,
    "forwarded_allow_ips": _allow,
    "loglevel": _level,
    "preload_app": _preload,
    "proc_name": _name,
    "pythonpath": _split("pythonpath"),
    "raw_env": _raw_env,
    "timeout": _timeout,
    "umask": _umask,
    "worker_class": _worker_class,
}
