"""What a worker is made of: a small frozen value, never the master and never its options' sources."""

from collections.abc import Callable

from forkcluster.dataclass import dataclass
from forkcluster.options.frozen import Options

Application = Callable[..., object]


@dataclass(frozen=True, slots=True)
class WorkerSpec:
    """All a worker needs. Descriptors are owned. `hold`: accept nothing before the master says so.

    `application` is None when it must be imported here, by `load`, which gives it with its interface (wsgi or
    asgi). `interface` is empty when nobody knows it before. `wants_loop` tells whether an import failed for
    want of a running event loop.
    """

    seat: int
    epoch: int
    slot: int
    generation: int
    hold: bool
    channel: int
    scoreboard: int
    inbox: int
    listeners: tuple[int, ...]
    options: Options
    access_log: str | None
    application: Application | None
    interface: str
    load: Callable[[], tuple[Application, str]]
    wants_loop: Callable[[BaseException], bool]
    describe_failure: Callable[[BaseException], str]
    streams: tuple[int, int] | None = None  # standard output and error; None: the mold's
    stamped: bool = True  # lines of our own log say when
