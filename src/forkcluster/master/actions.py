"""What the policy wants done: small frozen records that only the edge performs."""

from forkcluster.dataclass import dataclass, field
from forkcluster.master.roll import Outcome
from forkcluster.master.seats import Ref


@dataclass(frozen=True, slots=True)
class ReadConfiguration:
    """Read the configuration for that generation; answer with Configured or ConfigurationRefused."""

    generation: int


@dataclass(frozen=True, slots=True)
class StartMold:
    """Exec a mold from the generation's pinned release and have it load the app (or not, when `bare`)."""

    mold: int
    generation: int
    bare: bool


@dataclass(frozen=True, slots=True)
class EndMold:
    """Tell the mold to exit."""

    mold: int


@dataclass(frozen=True, slots=True)
class KillMold:
    """SIGKILL it."""

    mold: int


@dataclass(frozen=True, slots=True)
class WakeMold:
    """It has not forked for long: have it go on, if somebody has stopped it."""

    mold: int


@dataclass(frozen=True, slots=True)
class Fork:
    """Ask the mold for a worker in this seat."""

    mold: int
    who: Ref
    slot: int
    generation: int
    hold: bool = False  # it must not accept before Listen


@dataclass(frozen=True, slots=True)
class Probe:
    """Ask this worker, which does not accept yet, the question of its generation; answer with Probed."""

    who: Ref
    generation: int


@dataclass(frozen=True, slots=True)
class Listen:
    """Let clients connect to what that generation listens on, and tell the worker, which was forked on hold,
    to accept; answer with Listens, or with ConfigurationRefused if that fails.
    """

    who: Ref
    generation: int


@dataclass(frozen=True, slots=True)
class CountAnswers:
    """Count what the workers of that generation have answered; answer with Answered."""

    generation: int


@dataclass(frozen=True, slots=True)
class Conclude:
    """A reload is over: tell the log, and whoever waits for it."""

    outcome: Outcome


@dataclass(frozen=True, slots=True)
class Retire:
    """Tell the worker to drain and exit until `deadline` (seconds, CLOCK_MONOTONIC)."""

    who: Ref
    deadline: float
    final: bool = False  # the whole app stops: nobody to hand connections to


@dataclass(frozen=True, slots=True)
class CloseListeners:
    """The whole app stops: nobody shall connect any more, what is queued the workers will serve."""


@dataclass(frozen=True, slots=True)
class Quit:
    """Tell the worker to exit at once."""

    who: Ref


@dataclass(frozen=True, slots=True)
class Examine:
    """Ask a worker, or the mold of that number, for its stacks: it is to be killed for its lateness; answer
    with Examined.
    """

    who: Ref | int


@dataclass(frozen=True, slots=True)
class Kill:
    """SIGKILL it, as soon as it has a pid."""

    who: Ref


@dataclass(frozen=True, slots=True)
class Say:
    """Write to the log."""

    level: str
    text: str
    fields: dict[str, str | int | float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Announce:
    """The first boot is over: show the start screen."""


@dataclass(frozen=True, slots=True)
class Commit:
    """That generation is now the one that counts; releases before it are no longer needed."""

    generation: int


@dataclass(frozen=True, slots=True)
class Abandon:
    """That generation's release is no longer needed."""

    generation: int


@dataclass(frozen=True, slots=True)
class Finish:
    """No process is left: exit with this code."""

    code: int


Action = (
    ReadConfiguration
    | StartMold
    | EndMold
    | KillMold
    | WakeMold
    | Fork
    | Probe
    | Listen
    | CountAnswers
    | Conclude
    | Retire
    | CloseListeners
    | Quit
    | Examine
    | Kill
    | Say
    | Announce
    | Commit
    | Abandon
    | Finish
)
