"""Every error forkcluster raises on purpose: one root, below it by who can fix it. Owns the exit codes.

A message says what we were doing, to which object, what the system said, and (in `remedy`) what to try. This
is a leaf: it imports nothing of forkcluster. The table of exit codes is told to users in docs/exit-codes.md.
"""

from collections.abc import Iterable
from typing import ClassVar, Final

EXIT_OK: Final = 0
EXIT_FAILURE: Final = 1
EXIT_USAGE: Final = 2
EXIT_APPLICATION: Final = 3
EXIT_BIND: Final = 4
EXIT_CHANGES: Final = 5
EXIT_INTERNAL: Final = 70  # EX_SOFTWARE of sysexits.h
EXIT_LATE: Final = 75  # EX_TEMPFAIL
EXIT_PEER: Final = 76  # EX_PROTOCOL
EXIT_CONFIGURATION: Final = 78  # EX_CONFIG
EXIT_INTERRUPTED: Final = 130  # what shells show for SIGINT


class ForkclusterError(Exception):
    """The root. `message` says what failed; `remedy` says what to try, or is empty."""

    exit_code: ClassVar[int] = EXIT_FAILURE
    kind: ClassVar[str] = "error"

    def __init__(self, message: str, remedy: str = "") -> None:
        super().__init__(message, remedy)
        self.message = message
        self.remedy = remedy

    def __str__(self) -> str:
        return f"{self.message}\n  {self.remedy}" if self.remedy else self.message

    def to_json(self) -> dict[str, str | int]:
        """The error as plain values, for another process: kind, message, remedy, exit_code."""
        return {
            "kind": self.kind,
            "message": self.message,
            "remedy": self.remedy,
            "exit_code": self.exit_code,
        }


class UserError(ForkclusterError):
    """Whoever typed the command or wrote the configuration can fix it."""

    exit_code = EXIT_USAGE
    kind = "user"


class UsageError(UserError):
    """The command line does not make sense."""

    kind = "usage"


class NotFoundError(UserError):
    """No app answers to what was typed."""

    kind = "not found"


class StateError(ForkclusterError):
    """What was asked for does not fit what the app is doing: it runs already, is in the foreground …"""

    kind = "state"


class LateError(ForkclusterError):
    """Waiting took longer than allowed; what was asked for goes on."""

    exit_code = EXIT_LATE
    kind = "late"


class ConfigurationError(UserError):
    """An option's value, a configuration file or an environment variable is wrong."""

    exit_code = EXIT_CONFIGURATION
    kind = "configuration"


class BindError(UserError):
    """A listener could not be bound or taken over."""

    exit_code = EXIT_BIND
    kind = "bind"


class ApplicationError(ForkclusterError):
    """The application could not be found, imported, understood or booted: its author can fix it.

    `details` is the application's traceback, or empty.
    """

    exit_code = EXIT_APPLICATION
    kind = "application"

    def __init__(self, message: str, remedy: str = "", details: str = "") -> None:
        super().__init__(message, remedy)
        self.details = details

    def to_json(self) -> dict[str, str | int]:
        return {**super().to_json(), "details": self.details}


class PeerError(ForkclusterError):
    """The other end of a connection or channel broke the protocol."""

    exit_code = EXIT_PEER
    kind = "peer"


class InternalError(ForkclusterError):
    """We are at fault: please report it."""

    exit_code = EXIT_INTERNAL
    kind = "internal"


KINDS: Final[dict[str, type[ForkclusterError]]] = {
    cls.kind: cls
    for cls in (
        ForkclusterError,
        UserError,
        UsageError,
        NotFoundError,
        StateError,
        LateError,
        ConfigurationError,
        BindError,
        ApplicationError,
        PeerError,
        InternalError,
    )
}


def from_json(value: object) -> ForkclusterError:
    """Rebuild an error that `to_json` wrote in another process; an InternalError if it is not one."""
    if not isinstance(value, dict):
        return InternalError(f"another process reported an unreadable error: {value!r}")
    cls = KINDS.get(str(value.get("kind")), InternalError)
    message, remedy = str(value.get("message", "")), str(value.get("remedy", ""))
    if issubclass(cls, ApplicationError):
        return cls(message, remedy, str(value.get("details", "")))
    return cls(message, remedy)


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The known words most like `word` as a remedy ("did you mean a or b?"); empty if none is near."""
    from difflib import get_close_matches

    near = get_close_matches(word, list(known), n=3, cutoff=0.6)
    return f"did you mean {' or '.join(near)}?" if near else ""
