"""What the policy of fork mode wants done: small frozen records that only the edge performs."""

from forkcluster.dataclass import dataclass
from forkcluster.master import actions as do


@dataclass(frozen=True, slots=True)
class Spawn:
    """Execute the command of that generation; answer with Spawned or SpawnFailed."""

    number: int
    slot: int
    generation: int


@dataclass(frozen=True, slots=True)
class Ask:
    """Send the process the signal that asks it to end."""

    number: int


@dataclass(frozen=True, slots=True)
class Sweep:
    """The process is gone: ask what is left of its tree to end; answer with TreeGone when nothing is."""

    number: int


@dataclass(frozen=True, slots=True)
class KillTree:
    """SIGKILL the process and all of its tree, until nothing is left."""

    number: int


@dataclass(frozen=True, slots=True)
class Stumbled:
    """A process of the first start died before it was ready; tell who waits for that start."""

    text: str
    slot: int


@dataclass(frozen=True, slots=True)
class Blame:
    """The reload that is concluded next has failed by the process that slot had."""

    slot: int


Action = (
    do.ReadConfiguration
    | do.Conclude
    | do.Say
    | do.Announce
    | do.Commit
    | do.Abandon
    | do.Finish
    | Spawn
    | Ask
    | Sweep
    | KillTree
    | Stumbled
    | Blame
)
