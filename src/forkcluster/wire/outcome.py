"""What became of a managed app's last start: written by its master, read by the manager, through a file and a
pipe.

While the app runs its master is asked instead. Without a master the file tells a failed start and an end by
itself from a master that was killed, which wrote nothing.
"""

import json
import time
from collections.abc import Mapping
from enum import Enum

from forkcluster.dataclass import asdict, dataclass, field
from forkcluster.errors import ForkclusterError, from_json
from forkcluster.wire.files import read_json, write_whole


class End(str, Enum):
    """How far a start came."""

    STARTING = "starting"
    READY = "ready"
    FAILED = "failed"  # never ready
    ENDED = "ended"  # was ready, then the master ended in good order


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error` is an error as `errors.to_json` writes it, or empty; `facts` are what a person is told when it
    is ready: pid, urls, workers, seconds. `goes_on`: it failed, and its master tries again. `at`: seconds
    since the epoch.
    """

    end: End
    exit_code: int = 0
    error: Mapping[str, object] = field(default_factory=dict)
    facts: Mapping[str, object] = field(default_factory=dict)
    at: float = field(default_factory=time.time)
    goes_on: bool = False

    def to_json(self) -> bytes:
        """The outcome as one JSON object."""
        return json.dumps(asdict(self)).encode("utf-8", "backslashreplace")

    @classmethod
    def from_mapping(cls, values: Mapping[str, object]) -> "Outcome | None":
        """Read what `to_json` wrote; None if it is something else."""
        match values:
            case {
                "end": str(end),
                "exit_code": int(code),
                "error": dict(error),
                "facts": dict(facts),
                "at": int() | float() as at,
            } if end in [each.value for each in End]:
                return cls(End(end), code, error, facts, float(at), values.get("goes_on") is True)
            case _:
                return None

    @property
    def was_ready(self) -> bool:
        """Whether the start has made the app ready, whatever came then."""
        return self.end in (End.READY, End.ENDED)

    @property
    def failure(self) -> ForkclusterError | None:
        """The error, rebuilt; None when there is none."""
        return from_json(self.error) if self.error else None


def write(path: str, outcome: Outcome) -> None:
    """Put it into the file. Raise OSError."""
    write_whole(path, outcome.to_json())


def read(path: str) -> Outcome | None:
    """Read the file; None when there is none that can be understood."""
    values = read_json(path)
    return None if values is None else Outcome.from_mapping(values)
