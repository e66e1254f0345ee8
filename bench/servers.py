"""The servers that are compared, and how each is started. Knows no measuring.

`python bench/servers.py fastpysgi PORT WORKERS [MODULE:NAME]` serves with those that have no command line of
their own.
"""

import importlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
BUILD = HERE.parent / "build" / "bench"


@dataclass(frozen=True)
class Server:
    """One row of the comparison. In `command`, {python}, {port}, {workers} and {build} are filled in."""

    name: str
    interface: str
    module: str  # what must be importable; "" for our C program
    command: tuple[str, ...]

    def argv(self, python: str, port: int, workers: int) -> list[str]:
        """The command line."""
        words = {"python": python, "port": port, "workers": workers, "build": BUILD, "here": HERE}
        words["bin"] = Path(python).parent
        return [word.format(**words) for word in self.command]

    def installed(self, python: str) -> bool:
        """Whether that interpreter has it."""
        if not self.module:
            return True
        probe = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({self.module!r}) is None)"
        return subprocess.run([python, "-c", probe], cwd=HERE, check=False).returncode == 0


HOST = "127.0.0.1:{port}"
QUIET = ("--log-level", "warning")
GUNICORN = (
    "{python}",
    "-m",
    "gunicorn",
    "apps:wsgi",
    "-b",
    HOST,
    "-w",
    "{workers}",
    "--log-level",
    "warning",
)
GRANIAN = (
    "{python}", "-m", "granian", "--host", "127.0.0.1", "--port", "{port}", "--workers", "{workers}",
    "--http", "1", *QUIET,
)  # fmt: skip
LONE = ("{python}", "{here}/servers.py")

SERVERS = (
    Server("limit", "C", "", ("{build}/limit", "{port}", "{workers}")),
    Server(
        "forkcluster", "WSGI", "forkcluster",
        ("{python}", "-m", "forkcluster", "apps:wsgi", "-i", "{workers}", "-b", HOST, *QUIET),
    ),
    Server("bjoern", "WSGI", "bjoern", (*LONE, "bjoern", "{port}", "{workers}")),
    Server("fastpysgi", "WSGI", "fastpysgi", (*LONE, "fastpysgi", "{port}", "{workers}")),
    Server("granian", "WSGI", "granian", (*GRANIAN, "--interface", "wsgi", "apps:wsgi")),
    Server("gunicorn", "WSGI", "gunicorn", (*GUNICORN, "-k", "gthread", "--threads", "4")),
    Server(
        "forkcluster-asgi", "ASGI", "forkcluster",
        ("{python}", "-m", "forkcluster", "apps:asgi", "-i", "{workers}", "-b", HOST, *QUIET),
    ),
    Server("fastpysgi-asgi", "ASGI", "fastpysgi", (*LONE, "fastpysgi", "{port}", "{workers}", "apps:asgi")),
    Server("granian-asgi", "ASGI", "granian", (*GRANIAN, "--interface", "asgi", "apps:asgi")),
    Server(
        "uvicorn", "ASGI", "uvicorn",
        ("{python}", "-m", "uvicorn", "apps:asgi", "--port", "{port}", "--workers", "{workers}",
         "--no-access-log", *QUIET),
    ),
)  # fmt: skip
BY_NAME = {server.name: server for server in SERVERS}


def serve_bjoern(port: int, workers: int) -> None:
    """bjoern listens once and is forked by hand."""
    import bjoern

    from apps import wsgi

    bjoern.listen(wsgi, "127.0.0.1", port)
    for _ in range(workers - 1):
        if os.fork() == 0:
            break
    bjoern.run()


def serve_fastpysgi(port: int, workers: int, target: str = "apps:wsgi") -> None:
    """fastpysgi forks by itself."""
    import fastpysgi

    module, _, name = target.partition(":")
    fastpysgi.run(getattr(importlib.import_module(module), name), "127.0.0.1", port, workers=workers)


if __name__ == "__main__":
    serve = {"bjoern": serve_bjoern, "fastpysgi": serve_fastpysgi}
    serve[sys.argv[1]](int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:])
