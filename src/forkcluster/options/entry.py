"""What the keys of one app mean: its options by name, its variables, and what only the manager obeys.

Owns the keys that are no options. Faults name the file, the line and what was meant; pure.
"""

from collections.abc import Iterator, Mapping
from typing import Final

from forkcluster.dataclass import dataclass, field
from forkcluster.errors import ConfigurationError, did_you_mean
from forkcluster.options import mode, pm2
from forkcluster.options.ecosystem import Ecosystem, Entry, is_environment
from forkcluster.options.formats.document import Document, shown
from forkcluster.options.table import BY_KEY, BY_NAME

CONDITIONS: Final = ("ready", "started")
MANAGER_KEYS: Final[Mapping[str, str]] = {
    "append_env_to_name": "With --env NAME the app is called APP-NAME.",
    "autostart": "false: the app is started only when it is named.",
    "depends_on": "Apps of this file that start before it and stop after it: a list of names, or a table of "
    'names and conditions: "ready", or "started" (it need not be ready yet).',
    "name_prefix": "Put before the name.",
    "port": "Sets the variable PORT, and where the app listens if there is no bind.",
}
"""Keys of an app that are no options, and what they do."""

FOREIGN: Final[Mapping[str, str]] = {
    "accesslog": "it is access_log here",
    "errorlog": "it is log_file here",
    "host": 'bind = "host:port" says where to listen',
    "worker_class": "interface says wsgi or asgi, if it cannot be told; threads, how many a worker has",
    "workers": "instances says how many workers",
    "wsgi_app": "it is target here",
}
"""Keys of gunicorn and uvicorn, and what to use instead."""

Layer = tuple[str, object]
"""Where variables stand, in words, and the table of them."""


@dataclass(frozen=True)
class Described:
    """One app of a file: option name → value and → where it stands; variables beside those of `env`."""

    path: str | None = None
    values: Mapping[str, object] = field(default_factory=dict)
    places: Mapping[str, str] = field(default_factory=dict)
    below: tuple[Layer, ...] = ()  # weaker than env_file
    above: tuple[Layer, ...] = ()  # stronger than env
    depends_on: Mapping[str, str] = field(default_factory=dict)  # name → condition
    autostart: bool = True
    alone: bool = False  # nothing but the file and flags say anything
    notes: tuple[str, ...] = ()

    def origin(self, name: str) -> str:
        """Where the option's value stands: path and line."""
        return self.places.get(name, f"{self.path}")


def describe(ecosystem: Ecosystem, entry: Entry, env_name: str | None = None) -> Described:
    """Understand an app's keys, in the environment `env_name` of the file. Raises ConfigurationError."""
    return _Describing(ecosystem, entry, env_name).done()


class _Describing:
    def __init__(self, ecosystem: Ecosystem, entry: Entry, env_name: str | None) -> None:
        self._ecosystem = ecosystem
        self._document: Document = ecosystem.document
        self._entry = entry
        self._env_name = env_name
        self._values: dict[str, object] = {}
        self._keys: dict[str, str] = {}  # option → the key that set it
        self._manager: dict[str, object] = {}
        self._ignored: list[str] = []
        self._told: list[str] = []

    def done(self) -> Described:
        for key, value in self._entry.values.items():
            if value is not None:
                self._key(key, value)
        self._decide_mode()
        port = self._port()
        name = self._name()
        if name:
            self._values["name"] = name
        return Described(
            path=self._document.path,
            values=self._values,
            places={option: self._where(key) for option, key in self._keys.items()},
            below=tuple(self._below(port)),
            above=tuple(self._above()),
            depends_on=self._depends_on(),
            autostart=bool(self._typed("autostart", bool, "true or false", default=True)),
            alone=self._ecosystem.several,
            notes=tuple(self._notes()),
        )

    # -- keys

    def _key(self, key: str, value: object) -> None:
        if key in MANAGER_KEYS:
            self._manager[key] = value
        elif is_environment(key):
            return
        elif key in pm2.NODE_ONLY:
            self._ignored.append(key)
        elif key in pm2.UNSUPPORTED:
            self._told.append(f"{self._where(key)}: {key} is ignored: {pm2.UNSUPPORTED[key]}")
        else:
            self._option(key, value)

    def _option(self, key: str, value: object) -> None:
        try:
            converted = pm2.convert(key, value)
        except ValueError as error:
            raise self._fault(key, f"{key} is {shown(value)}: {error}") from None
        if converted is None:
            converted = {key: self._bare(key, value)}
        for name, each in converted.items():
            option = BY_KEY.get(name)
            if option is None:
                raise self._unknown(key)
            if option.name in self._values:
                other = self._keys[option.name]
                text = (
                    f"{key} is another name of {other}"
                    if option.name == other
                    else f"{key} and {other} are the same"
                )
                raise self._fault(key, text, "both are given: keep one")
            self._values[option.name] = each
            self._keys[option.name] = key

    def _bare(self, key: str, value: object) -> object:
        """The value as our options take it, in a file that PM2 might read."""
        if not self._document.of_pm2:
            return value
        return pm2.variables(value) if key == "env" else pm2.milliseconds(key, value)

    def _unknown(self, key: str) -> ConfigurationError:
        if key in BY_NAME:
            return self._fault(key, f"{key} can only be a flag or a variable")
        known = [*BY_KEY, *MANAGER_KEYS, *pm2.CONVERSIONS]
        word = key.replace("-", "_")
        near = FOREIGN.get(word) or did_you_mean(word, known)
        return self._fault(key, f"unknown key {key}", near or "forkcluster --print-config lists all keys")

    # -- what follows from several keys

    def _decide_mode(self) -> None:
        text, asked = self._values.get("target"), self._values.get("exec_mode")
        if not isinstance(text, str) or not (asked is None or isinstance(asked, str)):
            return
        key = self._keys["target"]
        try:
            found = mode.decide(key, text, asked)
        except ValueError as error:
            remedy = 'name it as module:attribute or file.py:attribute, or set exec_mode to "fork"'
            raise self._fault("exec_mode", f"exec_mode is {shown(asked)}: {error}", remedy) from None
        if key != "target":  # what a target is, the options say when they are read
            self._values.setdefault("exec_mode", found)
            self._keys.setdefault("exec_mode", key)

    def _name(self) -> str:
        prefix = self._typed("name_prefix", str, "text", default="")
        suffix = self._typed("append_env_to_name", bool, "true or false", default=False)
        if not self._entry.name:
            return ""
        return f"{prefix}{self._entry.name}{f'-{self._env_name}' if suffix and self._env_name else ''}"

    def _port(self) -> int | None:
        port = self._manager.get("port")
        if port is None:
            return None
        number = int(port) if isinstance(port, str) and port.isascii() and port.isdigit() else port
        if not isinstance(number, int) or isinstance(number, bool) or not 0 <= number <= 65535:
            raise self._fault("port", f"port is {shown(port)}: expected a port from 0 to 65535")
        if self._values.get("exec_mode", "cluster") == "cluster" and "bind" not in self._values:
            self._values["bind"] = number
            self._keys["bind"] = "port"
        return number

    def _depends_on(self) -> dict[str, str]:
        value = self._manager.get("depends_on", [])
        if isinstance(value, str):
            value = [value]
        if isinstance(value, list) and all(isinstance(name, str) for name in value):
            return {str(name): "ready" for name in value}
        if isinstance(value, Mapping) and all(condition in CONDITIONS for condition in value.values()):
            return {str(name): str(condition) for name, condition in value.items()}
        raise self._fault(
            "depends_on",
            f"depends_on is {shown(value)}: expected a list of names, or a table of names and conditions",
            f"a condition is {' or '.join(CONDITIONS)}",
        )

    # -- variables

    def _below(self, port: int | None) -> Iterator[Layer]:
        if port is not None:
            yield self._where("port"), {"PORT": port}
        deploy = self._ecosystem.deploy.get(self._env_name or "")
        if isinstance(deploy, Mapping) and deploy.get("env") is not None:
            place = ("deploy", self._env_name or "", "env")
            yield self._document.where(*place), self._bare("env", deploy["env"])

    def _above(self) -> Iterator[Layer]:
        for key, value in self._entry.values.items():
            if not is_environment(key):
                continue
            if not isinstance(value, Mapping):
                raise self._fault(key, f"{key} is {shown(value)}: expected a table of variables")
            if key == f"env_{self._env_name}":
                yield self._where(key), self._bare("env", value)

    # -- words

    def _notes(self) -> Iterator[str]:
        yield from self._ecosystem.notes
        yield from self._told
        if self._document.of_pm2 and "log_file" in self._entry.values:
            yield f"{self._where('log_file')}: log_file has forkcluster's own log, not all output as in PM2"
        if self._ignored:
            names = ", ".join(self._ignored)
            verb = "is" if len(self._ignored) == 1 else "are"
            yield f"{self._where(self._ignored[0])}: {names} {verb} ignored: for Node, or PM2's own service"

    def _typed(self, key: str, kind: type, noun: str, *, default: object) -> object:
        value = self._manager.get(key, default)
        if not isinstance(value, kind):
            raise self._fault(key, f"{key} is {shown(value)}: expected {noun}")
        return value

    def _where(self, key: str) -> str:
        return self._document.where(*self._entry.path, key)

    def _fault(self, key: str, text: str, remedy: str = "") -> ConfigurationError:
        return ConfigurationError(f"reading the configuration {self._where(key)}: {text}", remedy)
