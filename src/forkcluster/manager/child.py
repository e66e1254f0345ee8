"""A master as a child of ours: its options in a memfd, its output through pipes, a socket to say ready on."""

import contextlib
import os
import signal
import socket
import subprocess
from collections.abc import Callable, Mapping

from forkcluster import _process
from forkcluster.dataclass import dataclass, field
from forkcluster.errors import InternalError
from forkcluster.options.frozen import Launch
from forkcluster.wire.program import command, memory
from forkcluster.wire.title import title_of


@dataclass(frozen=True, slots=True)
class Program:
    """A master to be executed: under which interpreter, in which directory, with which environment."""

    name: str
    launch: Launch
    python: str
    environment: Mapping[str, str]


@dataclass(slots=True)
class Child:
    """A master that runs. `notify` and `pipes` (stream → reading end) are owned."""

    name: str
    pid: int
    notify: socket.socket
    pipes: dict[str, int] = field(default_factory=dict)

    def send(self, number: int) -> None:
        """Send it a signal; one that has ended meanwhile does not matter."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, number)

    def kill(self) -> None:
        """End it at once, and wait until it is gone."""
        self.send(signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self.pid, 0)

    def close(self, is_open: Callable[[int], bool]) -> None:
        """Close the socket. A pipe that is still open may have another writer: it stays until its end."""
        self.notify.close()
        self.pipes = {stream: pipe for stream, pipe in self.pipes.items() if is_open(pipe)}


def spawn(program: Program, directory: str, *, relayed: bool) -> Child:
    """Execute a master; its socket is made in `directory`. Raises InternalError.

    It is a session of its own, so that Ctrl-C in the terminal reaches it through us alone, and gets TERM when
    this process is killed.
    """
    path = os.path.join(directory, f"{program.name}.sock")
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
    notify.bind(path)
    pipes: dict[str, tuple[int, int]] = {}
    options = memory(program.launch.to_json().encode(), "forkcluster-options")
    try:
        if relayed:
            pipes = {stream: os.pipe2(os.O_CLOEXEC) for stream in ("out", "err")}
        process = subprocess.Popen(
            command(program.python, "master", str(options), title_of("master", program.name)),
            stdin=subprocess.DEVNULL,
            stdout=pipes["out"][1] if relayed else None,
            stderr=pipes["err"][1] if relayed else None,
            cwd=program.launch.request.directory,
            env={**program.environment, "NOTIFY_SOCKET": path, "PWD": program.launch.request.directory},
            pass_fds=(options,),
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509  this process has one thread
        )
    except OSError as error:
        notify.close()
        for reading, _ in pipes.values():
            os.close(reading)
        raise InternalError(f"starting {program.name} with {program.python}: {error.strerror}") from error
    finally:
        os.close(options)
        for _, writing in pipes.values():
            os.close(writing)
    process.returncode = 0  # it is waited for with everybody else
    for reading, _ in pipes.values():
        os.set_blocking(reading, False)
    return Child(program.name, process.pid, notify, {stream: ends[0] for stream, ends in pipes.items()})


def _die_with_parent() -> None:
    _process.set_parent_death_signal(signal.SIGTERM)
