"""Starts programs: molds, and the reader of the configuration. Each gets its channel, its stdio and nothing
else.

Exec only: the master never forks itself bare, so no library's fork hooks run in it.
"""

import os
import sys
import time
from collections.abc import Mapping, Sequence

from forkcluster import _process
from forkcluster.dataclass import replace
from forkcluster.master.release import Release, pin_python
from forkcluster.options.frozen import Request
from forkcluster.wire.channel import Channel
from forkcluster.wire.kernel import memory_file
from forkcluster.wire.orders import AdminOrder, WatchOrder
from forkcluster.wire.program import command
from forkcluster.wire.title import title_of

FIRST = 3  # the number that the first descriptor behind the standard streams has in the new program


def spawn_mold(release: Release, channel: Channel, streams: "tuple[int, int] | None" = None) -> int:
    """Exec a mold of that release with its end of the channel (borrowed); give its pid. Raise OSError.

    `streams`: its standard output and error (borrowed); None: ours.
    """
    title = title_of("mold", release.options.name, f"g{release.generation}")
    arguments = command(release.python, "mold", str(FIRST), str(os.getpid()), title)
    return _spawn(
        arguments,
        release.directory,
        [_standard(0), *(streams or (_standard(1), _standard(2))), channel.fileno()],
        release.environment,
    )


def spawn_logger(app: str, python: str, channel: Channel) -> int:
    """Exec the logger with its end of the channel (borrowed); give its pid. Raise OSError."""
    arguments = [str(FIRST), str(os.getpid()), title_of("logger", app)]
    return _spawn(command(python, "logger", *arguments), "/", [*_streams(), channel.fileno()])


def spawn_admin(order: AdminOrder) -> int:
    """Exec the admin process with the descriptors that its order names (borrowed); give its pid.

    Raise OSError.
    """
    file = replace(order, listener=FIRST + 1, board=FIRST + 2, control=FIRST + 3).to_file()
    try:
        arguments = command(sys.executable, "admin", str(FIRST), title_of("admin", order.app))
        return _spawn(arguments, "/", [*_streams(), file, order.listener, order.board, order.control])
    finally:
        os.close(file)


def spawn_watcher(app: str, python: str, directory: str, order: WatchOrder) -> int:
    """Exec the watcher; give its pid. Raise OSError."""
    arguments = [str(os.getpid()), order.to_json(), title_of("watcher", app)]
    return _spawn(command(python, "watcher", *arguments), directory, _streams())


def _spawn(
    arguments: Sequence[str],
    directory: str,
    descriptors: list[int],
    environment: Mapping[str, str] = os.environ,
) -> int:
    return _process.spawn(
        os.fsencode(arguments[0]),
        [os.fsencode(word) for word in arguments],
        [os.fsencode(f"{name}={text}") for name, text in environment.items()],
        os.fsencode(directory),
        descriptors,
        session=False,
    )


def _streams() -> list[int]:
    return [_standard(number) for number in range(FIRST)]


def _standard(number: int) -> int:
    """Our own standard stream; -1 where we were given none: what has its number since is not for others."""
    try:
        return number if os.get_inheritable(number) else -1
    except OSError:
        return -1


class Reading:
    """A configuration being read by `python -m forkcluster.options` under the new generation's interpreter.

    Input and output are memfds, so nothing has to be pumped; the pid is the caller's to wait for.
    """

    def __init__(self, python: str, request: Request) -> None:
        self.started = time.monotonic()
        self._answer = self._complaint = question = -1
        try:
            self._answer = memory_file("forkcluster-options")
            self._complaint = memory_file("forkcluster-options-error")
            question = memory_file("forkcluster-request")
            os.write(question, request.to_json(os.environ).encode("utf-8", "surrogateescape"))
            os.lseek(question, 0, os.SEEK_SET)
            self.pid = _spawn(
                command(pin_python(python), "options"),
                os.path.realpath(request.directory),
                [question, self._answer, self._complaint],
            )
        except OSError:
            self.close()
            raise
        finally:
            if question >= 0:
                os.close(question)

    def answer(self) -> tuple[str, str]:
        """Give what it has written to standard output and standard error."""
        return _whole(self._answer), _whole(self._complaint)

    def close(self) -> None:
        """Close the memfds; idempotent."""
        for descriptor in (self._answer, self._complaint):
            if descriptor >= 0:
                os.close(descriptor)
        self._answer = self._complaint = -1


def _whole(descriptor: int) -> str:
    size = os.fstat(descriptor).st_size
    return os.pread(descriptor, size, 0).decode("utf-8", "replace")
