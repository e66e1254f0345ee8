"""What our programs are told at their start, and what a mold answers, as JSON: LOAD, LOADED, the admin's."""

import json
import math

from forkcluster.dataclass import asdict, dataclass
from forkcluster.errors import InternalError
from forkcluster.options.frozen import Options
from forkcluster.wire.kernel import memory_file


@dataclass(frozen=True, slots=True)
class WatchOrder:
    """What the watcher is told: where the control socket is, which paths (absolute) to watch, what to ignore
    (patterns of gitignore(5)), the seconds without a further change before it asks for a reload, and since
    when (seconds since the epoch) a change may have been missed.
    """

    control: str
    paths: tuple[str, ...]
    ignore: tuple[str, ...] = ()
    delay: float = 0.1
    since: float = math.inf

    def to_json(self) -> str:
        """The order as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "WatchOrder":
        """Read what `to_json` wrote: our own words to our own child."""
        values = json.loads(text)
        return cls(
            values["control"],
            tuple(values["paths"]),
            tuple(values["ignore"]),
            values["delay"],
            values["since"],
        )


@dataclass(frozen=True, slots=True)
class LoadOrder:
    """What to load and how. `directory` is absolute and resolved; `bare`: the workers will import the app;
    `access_log` is absolute, or "-" for standard output; `interface` is what an earlier mold of the
    generation told, or empty: the workers import the app and see.
    """

    generation: int
    directory: str
    bare: bool
    options: Options
    access_log: str | None = None
    interface: str = ""
    hook: str = ""  # to be run before the app is loaded
    app_metrics: str = ""  # the directory of the application's own metrics; empty: none
    captured: bool = False  # standard output and error go to the logger
    stamped: bool = True  # lines of our own log say when

    def to_json(self) -> str:
        """The order as one JSON object."""
        return json.dumps(asdict(self))

    def to_file(self) -> int:
        """Write the order into a memfd (an environment may be longer than a message); the caller owns it."""
        descriptor = memory_file("forkcluster-order")
        with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
            file.write(self.to_json())
        return descriptor

    @classmethod
    def from_file(cls, descriptor: int) -> "LoadOrder":
        """Read what `to_file` wrote and close the descriptor. Raises InternalError."""
        with open(descriptor, encoding="utf-8") as file:
            file.seek(0)
            return cls.from_json(file.read())

    @classmethod
    def from_json(cls, text: str) -> "LoadOrder":
        """Read what `to_json` wrote. Raises InternalError, also when another release wrote it."""
        try:
            values = json.loads(text)
            options = Options.from_mapping(values["options"])
            access_log = values["access_log"] and str(values["access_log"])
            return cls(
                int(values["generation"]),
                str(values["directory"]),
                bool(values["bare"]),
                options,
                access_log,
                str(values["interface"]),
                str(values["hook"]),
                str(values["app_metrics"]),
                bool(values["captured"]),
                bool(values["stamped"]),
            )
        except (ValueError, KeyError, TypeError) as error:
            raise InternalError(f"the mold cannot read its order: {error!r}") from error


@dataclass(frozen=True, slots=True)
class AdminOrder:
    """What the admin process is for. `listener`, `board` (read-only) and `control` are descriptors it has.

    `token`: what allows actions; empty: nothing does. `app_metrics`: the directory of the application's own
    metrics; empty: none. `mode`: cluster, or fork (programs as they are, of whose requests nothing is known).
    """

    app: str
    master: int  # its pid
    listener: int
    board: int
    control: int
    user: str | None = None
    group: str | None = None
    log_level: str = "info"
    log_format: str = "text"
    token: str = ""
    app_metrics: str = ""
    mode: str = "cluster"

    def to_file(self) -> int:
        """Write the order into a memfd; the caller owns it."""
        descriptor = memory_file("forkcluster-admin")
        with open(descriptor, "w", encoding="utf-8", closefd=False) as file:
            json.dump(asdict(self), file)
        return descriptor

    @classmethod
    def from_file(cls, descriptor: int) -> "AdminOrder":
        """Read what `to_file` wrote and close the descriptor. Raises InternalError."""
        try:
            with open(descriptor, encoding="utf-8") as file:
                file.seek(0)
                return cls(**json.load(file))
        except (ValueError, TypeError) as error:
            raise InternalError(f"the admin process cannot read its order: {error!r}") from error


@dataclass(frozen=True, slots=True)
class LoadReport:
    """What the mold found: the interface and how it was told, and why it must not be forked, if so.

    `wants_loop`: the import failed, as it wants a running event loop.
    """

    interface: str = ""
    decided: str = ""
    forkable: bool = True
    reasons: tuple[str, ...] = ()
    wants_loop: bool = False

    @property
    def known(self) -> str:
        """The interface for a bare mold; empty for ASGI that is imported without a loop, as it was here."""
        return "" if self.interface == "asgi" and not self.wants_loop else self.interface

    def to_json(self) -> str:
        """The report as one JSON object."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> "LoadReport":
        """Read what `to_json` wrote. Raises InternalError."""
        try:
            values = json.loads(text)
            reasons = tuple(map(str, values["reasons"]))
            interface, decided = str(values["interface"]), str(values["decided"])
            return cls(interface, decided, bool(values["forkable"]), reasons, bool(values["wants_loop"]))
        except (ValueError, KeyError, TypeError) as error:
            raise InternalError(f"the master cannot read the mold's report: {error!r}") from error
