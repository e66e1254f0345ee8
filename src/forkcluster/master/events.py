"""What can happen to a cluster: small frozen records that the edge makes and the policy reads."""

from forkcluster.dataclass import dataclass
from forkcluster.master.facts import Limits
from forkcluster.master.seats import Ref


@dataclass(frozen=True, slots=True)
class Start:
    """The listeners are bound; boot generation 1. `bare`: the mold must not import the app."""

    bare: bool = False


@dataclass(frozen=True, slots=True)
class Tick:
    """Time has passed."""


@dataclass(frozen=True, slots=True)
class MoldLoaded:
    """The mold is ready to be asked for workers, or says why it must not be (`forkable` false)."""

    mold: int
    forkable: bool = True
    reasons: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MoldFailed:
    """The mold could not load the app; `text` is what there is to tell, usually a traceback."""

    mold: int
    text: str


@dataclass(frozen=True, slots=True)
class MoldEnded:
    """The mold's process has ended; `how` names status or signal."""

    mold: int
    how: str


@dataclass(frozen=True, slots=True)
class ForkFailed:
    """No process was made for this worker; `scarce`: for want of processes or memory, not by its mold."""

    who: Ref
    text: str
    scarce: bool = False


@dataclass(frozen=True, slots=True)
class Examined:
    """The stacks of a worker or mold that was late, or why there are none."""

    who: Ref | int
    stacks: str


@dataclass(frozen=True, slots=True)
class WorkerBorn:
    """The worker's process exists."""

    who: Ref
    pid: int


@dataclass(frozen=True, slots=True)
class WorkerReady:
    """The worker serves."""

    who: Ref


@dataclass(frozen=True, slots=True)
class WorkerFailed:
    """The worker tells why it cannot boot, before it ends."""

    who: Ref
    text: str


@dataclass(frozen=True, slots=True)
class WorkerLeaves:
    """The worker asks to be retired."""

    who: Ref
    reason: str
    limit: bool = False  # a limit of the options was reached


@dataclass(frozen=True, slots=True)
class WorkerHung:
    """A request of the worker is over the hard limit; `text` says which."""

    who: Ref
    text: str


@dataclass(frozen=True, slots=True)
class WorkerLost:
    """The worker's channel is at its end while its process lives: it can no longer be steered."""

    who: Ref


@dataclass(frozen=True, slots=True)
class WorkerEnded:
    """The worker's process has ended and was reaped; `oom`: the kernel killed it for want of memory;
    `text`: its last stacks, if its own fault killed it.
    """

    who: Ref
    how: str
    oom: bool = False
    text: str = ""


@dataclass(frozen=True, slots=True)
class ReloadAsked:
    """Somebody wants the code and configuration loaded anew."""


@dataclass(frozen=True, slots=True)
class Configured:
    """The configuration of that generation was read and its paths are pinned."""

    generation: int
    workers: int
    limits: Limits
    bare: bool = False
    probe_timeout: float | None = None  # seconds; None: ready is enough
    drops: bool = False  # a listener that only the current generation has
    notes: tuple[str, ...] = ()  # for the outcome: what this reload cannot bring about


@dataclass(frozen=True, slots=True)
class Listens:
    """A worker that was forked on hold accepts from now on."""

    who: Ref


@dataclass(frozen=True, slots=True)
class Probed:
    """The worker has answered the probe; `fault` says what is wrong with that, or is empty."""

    who: Ref
    fault: str = ""


@dataclass(frozen=True, slots=True)
class Answered:
    """What the workers of that generation have answered so far; `failed` with 5xx."""

    generation: int
    answers: int
    failed: int


@dataclass(frozen=True, slots=True)
class ConfigurationRefused:
    """The configuration of that generation cannot be used; `bind`: for an address that it names."""

    generation: int
    text: str
    bind: bool = False


@dataclass(frozen=True, slots=True)
class Scaled:
    """Somebody wants `by` more workers (fewer when negative), or `to` workers."""

    by: int = 0
    to: int | None = None


@dataclass(frozen=True, slots=True)
class RenewAsked:
    """Somebody wants every worker replaced by a new one of the same generation."""


@dataclass(frozen=True, slots=True)
class StopAsked:
    """Somebody wants the cluster to end."""

    at_once: bool = False


Common = Tick | ReloadAsked | ConfigurationRefused | Scaled | RenewAsked | StopAsked
"""What can happen to any app, whatever its mode."""

Event = (
    Common
    | Start
    | Configured
    | MoldLoaded
    | MoldFailed
    | MoldEnded
    | ForkFailed
    | Examined
    | WorkerBorn
    | WorkerReady
    | WorkerFailed
    | WorkerLeaves
    | WorkerHung
    | WorkerLost
    | WorkerEnded
    | Listens
    | Probed
    | Answered
)
