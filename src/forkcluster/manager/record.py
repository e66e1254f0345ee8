"""A managed app's record: what was asked for and what is wanted. All that a stopped app is.

`HOME/apps/NAME/record.json`, written whole by the manager alone, under the home's lock; mode 0600, since the
environment holds secrets. Knows no processes.
"""

import errno
import json
import time
from collections.abc import Mapping
from typing import Final

from forkcluster.dataclass import asdict, dataclass, field, replace
from forkcluster.errors import ConfigurationError, InternalError
from forkcluster.options.frozen import Options, Request
from forkcluster.wire.files import write_whole

VERSION: Final = 1
RUNNING: Final = "running"
STOPPED: Final = "stopped"


@dataclass(frozen=True, slots=True)
class Record:
    """One managed app. `environment` is the base that its master is started with, whoever starts it.

    `target`, `namespace`, `mode` and `instances` are what the request came to when it was last read. `scaled`
    is (configured, wanted) workers when `scale` has set another number; `restarts` counts those before the
    present master, `forgiven` is what `reset` takes off the present master's own count. `proven`: it has
    been ready after a start before the last one.
    """

    id: int
    name: str
    request: Request
    environment: Mapping[str, str]
    wanted: str = RUNNING
    namespace: str = "default"
    target: str = ""
    mode: str = "cluster"
    instances: str = "1"
    created: float = field(default_factory=time.time)
    restarts: int = 0
    forgiven: int = 0
    proven: bool = False
    scaled: tuple[int, int] = (0, 0)

    def come_to(self, options: Options) -> "Record":
        """The record, telling what its request has come to."""
        return replace(
            self,
            target=options.target,
            namespace=options.namespace,
            mode=options.exec_mode,
            instances=options.instances,
        )

    def seen(self) -> Mapping[str, object]:
        """The record as plain values, as the file holds it."""
        return {"version": VERSION, **asdict(self)}

    def save(self, path: str) -> None:
        """Write the file. Raise ConfigurationError; then the old one is as it was."""
        data = json.dumps(self.seen(), indent=1).encode("utf-8", "surrogateescape")
        try:
            write_whole(path, data)
        except OSError as error:
            raise ConfigurationError(
                f"writing the record {path}: {error.strerror}",
                f"the old one is as it was; {_remedy(error)} and say it again",
            ) from error


def _remedy(error: OSError) -> str:
    full = error.errno in (errno.ENOSPC, errno.EDQUOT)
    return "make room" if full else "see who may write to that directory (ls -ld; lsattr -d),"


def from_mapping(values: Mapping[str, object], where: str) -> Record:
    """Read the values that `Record.seen` gave. Raise ConfigurationError, naming `where` they stand."""
    if "version" not in values:
        raise ConfigurationError(f"reading {where}: damaged", "forkcluster delete NAME forgets the app")
    if values["version"] != VERSION:
        raise ConfigurationError(
            f"reading {where}: version {values.get('version')}, this release knows {VERSION}",
            "use the forkcluster command of the release that wrote it",
        )
    try:
        return _read(values)
    except (KeyError, TypeError, ValueError, AttributeError, InternalError) as error:
        raise ConfigurationError(
            f"reading {where}: damaged: {error}", "forkcluster delete NAME forgets the app"
        ) from error


def _read(values: Mapping[str, object]) -> Record:
    request, environment, scaled = values["request"], values["environment"], values["scaled"]
    if not isinstance(request, dict) or not isinstance(environment, dict) or not isinstance(scaled, list):
        raise ValueError("request, environment or scaled")
    numbers = {name: _number(values[name]) for name in ("id", "restarts", "forgiven")}
    names = ("name", "wanted", "namespace", "target", "mode", "instances")
    return Record(
        request=Request.from_mapping(request),
        environment={str(name): str(value) for name, value in environment.items()},
        created=float(str(values["created"])),
        proven=values.get("proven") is not False,
        scaled=(_number(scaled[0]), _number(scaled[1])),
        **numbers,  # type: ignore[arg-type]
        **{name: str(values[name]) for name in names},  # type: ignore[arg-type]
    )


def _number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{value!r} is no number")
    return value
