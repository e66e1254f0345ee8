"""What can happen to a fleet: small frozen records that the edge makes and the policy reads."""

from forkcluster.dataclass import dataclass
from forkcluster.master import events as on


@dataclass(frozen=True, slots=True)
class Begin:
    """Start the first processes."""


@dataclass(frozen=True, slots=True)
class Spawned:
    """The process exists."""

    number: int
    pid: int


@dataclass(frozen=True, slots=True)
class SpawnFailed:
    """There is no process; `text` says why."""

    number: int
    text: str


@dataclass(frozen=True, slots=True)
class ProcessReady:
    """The process says that it is ready."""

    number: int


@dataclass(frozen=True, slots=True)
class ProcessStopping:
    """The process says that it is about to end."""

    number: int


@dataclass(frozen=True, slots=True)
class ProcessLeaves:
    """The process is to be replaced, for this reason."""

    number: int
    reason: str


@dataclass(frozen=True, slots=True)
class ProcessEnded:
    """The process has ended and was reaped: with status `code`, or killed by signal -`code`. Others of its
    tree may be left.
    """

    number: int
    code: int
    how: str


@dataclass(frozen=True, slots=True)
class TreeGone:
    """Nothing is left of the process and what it started."""

    number: int


Event = (
    on.Common
    | on.Configured
    | Begin
    | Spawned
    | SpawnFailed
    | ProcessReady
    | ProcessStopping
    | ProcessLeaves
    | ProcessEnded
    | TreeGone
)
