"""The four sources into one frozen result: flags, environment, `forkcluster.toml`, defaults, the strongest
first.

A stronger source replaces a weaker one's value whole, lists too; only --env, which names single variables, is
merged. An app of a file with several has no second source: variables would mean all of them alike.
"""

import os
import sys
import time
from collections.abc import Mapping
from importlib.util import find_spec
from typing import cast

from forkcluster.dataclass import dataclass, names
from forkcluster.errors import ConfigurationError, UsageError, did_you_mean
from forkcluster.options import checks, cron, discover, envfile, file, logconfig, mode, program
from forkcluster.options.entry import Described, Layer
from forkcluster.options.formats.document import kind_of, shown
from forkcluster.options.frozen import Launch, Options, Pairs, Request
from forkcluster.options.kinds import PairList, Secret, Value
from forkcluster.options.table import BY_NAME, TABLE, Option

LONG_DRAIN = 600.0  # seconds
OWN_FILES = ("log_file", "log_config", "access_log", "pid", "control", "out_file", "error_file")
OF_FORK_MODE = (
    "interpreter_args", "wait_ready", "kill_signal", "treekill", "increment_var", "restart", "autorestart",
    "stop_exit_codes",
)  # fmt: skip
RESERVED = frozenset(
    (
        "FORKCLUSTER_HOME",
        "FORKCLUSTER_INSTANCE",
        "FORKCLUSTER_PROCESS",
    )
)


@dataclass(frozen=True, slots=True)
class Setting:
    """One option's value and where it came from, in words."""

    option: Option
    value: Value
    origin: str


@dataclass(frozen=True, slots=True)
class Reading:
    """What holds: the frozen options, each option's origin, and notes worth a line in the log."""

    options: Options
    settings: tuple[Setting, ...]
    notes: tuple[str, ...]

    def launch(self, request: Request) -> Launch:
        """What travels to the master."""
        return Launch(self.options, request, self.notes)


def read(request: Request, environment: Mapping[str, str], config: Described | None = None) -> Reading:
    """Read every option. Raises UsageError for a flag, ConfigurationError for any other source.

    `config` is what the file says, for who has read it already.
    """
    config = config or _config(request, environment)
    variables = {} if config.alone else environment
    settings = {o.name: _setting(o, request, variables, config) for o in TABLE if o.frozen}
    settings["env"] = _environment(settings, request, variables, config)
    base = _base(request.directory, settings["chdir"])
    settings |= _target_and_name(
        settings, base, {**environment, **dict(cast("Pairs", settings["env"].value))}, config
    )
    settings["venv"] = _venv(settings["venv"], base, str(settings["target"].value))
    settings |= {name: _absolute(settings[name], request.directory) for name in OWN_FILES}
    settings["exec_mode"] = _exec_mode(settings, base)
    values = {name: setting.value for name, setting in settings.items()}
    options = Options(**{name: values[name] for name in names(Options)})  # type: ignore[arg-type]
    _check_together(options)
    if options.watch:
        _check_watch(options, base)
    _check_mode(options, base, {**environment, **dict(options.env)})
    notes = (*config.notes, *_notes(environment, options, config))
    return Reading(options, tuple(settings.values()), notes)


def _config(request: Request, environment: Mapping[str, str]) -> Described:
    """The file, or the app of it that is meant."""

    def asked(name: str) -> str | None:
        setting = _flag(request, BY_NAME[name]) or _variable(environment, BY_NAME[name])
        return cast("str", setting.value) if setting else None

    return file.load(
        request.directory,
        asked("config"),
        environment,
        app=asked("app"),
        env_name=asked("env_name"),
        target=asked("target"),
    )


def _setting(option: Option, request: Request, environment: Mapping[str, str], config: Described) -> Setting:
    """The strongest source that says something."""
    return (
        _flag(request, option)
        or _variable(environment, option)
        or _from_file(config, option)
        or Setting(option, option.default_value(), "default")
    )


def _flag(request: Request, option: Option) -> Setting | None:
    if option.name not in request.flags:
        return None
    origin = option.flags[-1 - len(option.aliases)] if option.flags else "the command line"
    texts = list(request.flags[option.name])
    if not texts:
        return Setting(option, option.default_value(), origin)
    try:
        return Setting(option, option.kind.from_texts(texts), origin)
    except ValueError as error:
        word = option.flags[-1 - len(option.aliases)] if option.flags else option.kind.metavar
        raise UsageError(f"{word} {_culprit(option, texts)}: {error}") from None


def _culprit(option: Option, texts: list[str]) -> str:
    """The first of several texts that is wrong, quoted."""
    for text in texts:
        try:
            option.kind.from_text(text)
        except ValueError:
            return repr(text)
    return repr(texts[-1])


def _variable(environment: Mapping[str, str], option: Option) -> Setting | None:
    text = environment.get(option.variable, "")
    if not text:
        return None
    try:
        return Setting(option, option.kind.from_variable(text), option.variable)
    except ValueError as error:
        raise ConfigurationError(
            f"reading the environment: {option.variable} is {text!r}: {error}",
            "correct or unset the variable",
        ) from None


def _from_file(config: Described, option: Option) -> Setting | None:
    if option.name not in config.values:
        return None
    value = config.values[option.name]
    try:
        return Setting(option, option.kind.from_toml(value), config.origin(option.name))
    except ValueError as error:
        what = f"{option.name} is {_told(option, value)}"
        raise ConfigurationError(
            f"reading the configuration {config.origin(option.name)}: {what}: {error}"
        ) from None


def _told(option: Option, value: object) -> str:
    """A wrong value, for an error; of what may hold secrets its type only."""
    return f"a {kind_of(value)}" if isinstance(option.kind, PairList | Secret) else shown(value)


def _environment(
    settings: Mapping[str, Setting], request: Request, environment: Mapping[str, str], config: Described
) -> Setting:
    """--env over FORKCLUSTER_ENV over env_NAME and env of the file over --env-file, variable by variable."""
    option = BY_NAME["env"]
    merged: dict[str, str] = {}
    origins: list[str] = []

    def add(pairs: Value, origin: str) -> None:
        merged.update(cast("Pairs", pairs))
        origins.insert(0, origin)

    for layer in config.below:
        add(_layer(option, layer), layer[0])
    for path in cast("tuple[str, ...]", settings["env_file"].value):
        add(tuple(envfile.read(os.path.join(request.directory, path)).items()), path)
    if (written := _from_file(config, option)) is not None:
        add(written.value, written.origin)
    for layer in config.above:
        add(_layer(option, layer), layer[0])
    for each in (_variable(environment, option), _flag(request, option)):
        if each is not None:
            add(each.value, each.origin)
    return Setting(option, tuple(merged.items()), " and ".join(origins) or "default")


def _layer(option: Option, layer: Layer) -> Value:
    place, value = layer
    try:
        return option.kind.from_toml(value)
    except ValueError as error:
        what = f"its variables are {_told(option, value)}"
        raise ConfigurationError(f"reading the configuration {place}: {what}: {error}") from None


def _base(directory: str, chdir: Setting) -> str:
    """The directory the application is loaded in. Raises ConfigurationError if --chdir names none."""
    base = os.path.join(directory, cast("str | None", chdir.value) or "")
    if chdir.value is None and not os.path.isdir(base):
        text = f"looking at the app's directory {directory}: it is not there"
        raise ConfigurationError(text, "make it again, or delete the app and start it elsewhere")
    if not os.path.isdir(base):
        raise ConfigurationError(
            f"chdir is {chdir.value} ({chdir.origin}): no such directory",
            f"relative paths start in {directory}",
        )
    return base


def _venv(asked: Setting, base: str, target: str) -> Setting:
    """The virtual environment: absolute and unresolved, or None. Raises ConfigurationError if it is none."""
    if asked.value is None:
        beside = os.path.join(base, os.path.dirname(target))  # a module has no directory: base
        found = discover.find_venv(beside) or discover.find_venv(base)
        return asked if found is None else Setting(asked.option, found, "found beside the application")
    if asked.value == "none":
        return Setting(asked.option, None, asked.origin)
    path = os.path.join(base, str(asked.value))
    if not os.path.exists(discover.venv_python(path)):
        raise ConfigurationError(
            f"venv is {asked.value} ({asked.origin}): there is no {discover.venv_python(path)}",
            f"relative paths start in {base}; make one with python3 -m venv {path}",
        )
    return Setting(asked.option, path, asked.origin)


def _absolute(setting: Setting, directory: str) -> Setting:
    """The path as any process may open it, whatever its working directory; symlinks stay."""
    if not isinstance(setting.value, str) or setting.value in ("-", "off", "NULL"):
        return setting
    return Setting(setting.option, os.path.join(directory, setting.value), setting.origin)


def _target_and_name(
    settings: Mapping[str, Setting], base: str, environment: Mapping[str, str], config: Described
) -> dict[str, Setting]:
    """Fill in what was not said: look for the target in `base`, take the name from the target."""
    target, name = settings["target"], settings["name"]
    if target.value is None:
        found = _found(settings, base, environment, config)
        target = Setting(target.option, found.target, f"found: {found.why}")
    if name.value is None:
        _check_taken_name(str(target.value))
        name = Setting(name.option, discover.app_name(str(target.value)), "taken from the target")
    return {"target": target, "name": name}


def _check_taken_name(target: str) -> None:
    """Raise UsageError when the name that an app takes from its target is none that it may have."""
    taken = discover.app_name(target)
    try:
        checks.app_name(taken)
    except ValueError as error:
        raise UsageError(f"the name {taken}, taken from {target}: {error}", "--name gives it one") from None


def _found(
    settings: Mapping[str, Setting], base: str, environment: Mapping[str, str], config: Described
) -> discover.Found:
    """Look for the target that was not named. Raises UsageError; ConfigurationError for an app of a file."""
    try:
        if settings["exec_mode"].value == "fork":
            text = "fork mode runs a command, and none was named"
            raise UsageError(text, "such as forkcluster ./worker.sh")
        return discover.discover(base, environment)
    except UsageError as error:
        if not config.alone:
            raise
        where = f"reading the configuration {config.path}: app {settings['name'].value}"
        remedy = 'add target = "module:attribute" to the app, or script = "./worker.sh"'
        raise ConfigurationError(f"{where}: {error.message}", remedy) from error


def _exec_mode(settings: Mapping[str, Setting], base: str) -> Setting:
    """Decide what auto means: arguments, or a target that cannot be an application, are a program's."""
    asked = settings["exec_mode"]
    if asked.value != "auto":
        return asked
    target = str(settings["target"].value)
    file, _, attribute = target.partition(".py:")
    script = f"{file}.py" if attribute else target
    is_file = script.endswith(".py") and os.path.isfile(os.path.join(base, script))
    found = mode.decide("target", target.replace(" ", "_") if is_file else target, None)
    for name, why in (("args", "it has arguments"), ("interpreter", "it has an interpreter")):
        if settings[name].value:
            return Setting(asked.option, "fork", why)
    if found == "cluster" and target.endswith(".py"):
        text = discover.read_text(os.path.join(base, target))
        if text is not None and not mode.offers_application(text):
            return Setting(asked.option, "fork", "the script defines no application")
    return Setting(asked.option, found, "by the target" if found == "fork" else asked.origin)


def _check_together(options: Options) -> None:
    """What single values cannot tell. Raises ConfigurationError."""
    if options.limit_head < options.limit_request_line:
        raise ConfigurationError(
            f"limit_head ({options.limit_head}) is below limit_request_line ({options.limit_request_line})",
            "raise limit_head: it covers the request line and all fields",
        )
    if options.server_header and any(name.lower() == "server" for name, _ in options.header):
        raise ConfigurationError(
            "header sets Server, which is sent already", "add --no-server-header to send only yours"
        )
    if options.log_config is not None:
        logconfig.check(options.log_config)


def _check_watch(options: Options, base: str) -> None:
    """What watching needs. Raises ConfigurationError."""
    for package in ("watchfiles", "pathspec"):
        if find_spec(package) is None:
            raise ConfigurationError(f"watch needs the package {package}", "pip install 'forkcluster[watch]'")
    if options.control == "off":
        raise ConfigurationError("watch asks for reloads through the control socket", "drop --control off")
    for path in options.watch_path:
        if not os.path.exists(os.path.join(base, path)):
            raise ConfigurationError(
                f"watch_path is {path}: no such file or directory", f"relative paths start in {base}"
            )


def _check_mode(options: Options, base: str, environment: Mapping[str, str]) -> None:
    """What one of the modes needs, or cannot have. Raises UsageError or ConfigurationError."""
    if options.cron_restart is not None:
        cron.times(options.cron_restart, time.time())
    if options.exec_mode == "fork":
        program.compose(options, base, environment, sys.executable)
    elif options.args:
        raise UsageError(
            f"{options.target} is served in cluster mode and takes no arguments: {' '.join(options.args)}",
            "--exec-mode fork runs a command; other things to serve are apps of their own",
        )


def _notes(environment: Mapping[str, str], options: Options, config: Described) -> list[str]:
    """What is allowed and may be a slip: variables that look like ours, milliseconds taken for seconds."""
    known = {option.variable for option in TABLE} | RESERVED
    frozen = {option.variable for option in TABLE if option.frozen}
    notes = []
    for name in sorted(environment):
        if name.startswith("FORKCLUSTER_") and name not in known:
            near = did_you_mean(name, known)
            notes.append(
                f"the environment variable {name} is no option and is ignored{'; ' + near if near else ''}"
            )
        elif config.alone and name in frozen:
            notes.append(f"the environment variable {name} is ignored: {config.path} has several apps")
    if options.exec_mode == "cluster":
        defaults = {o.name: o.default_value() for o in TABLE if o.name in OF_FORK_MODE}
        idle = [name for name in OF_FORK_MODE if getattr(options, name) != defaults[name]]
        notes += [f"{name} has no effect in cluster mode" for name in idle]
    if options.drain_timeout >= LONG_DRAIN:
        notes.append(
            f"drain_timeout is {options.drain_timeout:g} seconds; "
            f"PM2's kill_timeout counts milliseconds: those are written {options.drain_timeout:g}ms"
        )
    return notes
