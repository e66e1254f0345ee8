"""Words that people bring from elsewhere, and those kept for later: each gets an answer, none a guess."""

from typing import Final

# fmt: off
FUTURE: Final = frozenset((
    "deploy",
))
# fmt: on
"""Commands that are to come: never taken for a target."""

NEEDLESS: Final = dict.fromkeys(
    ("update", "updatePM2", "deepUpdate"),
    "an upgrade stops no app; forkcluster restart all has every app run under the new forkcluster",
)
"""Commands of PM2 for which there is nothing to do, and what to do instead: never taken for a target."""

FOREIGN: Final = {
    "--workers": "-i or --instances says how many workers",
    "-w": "-i or --instances says how many workers",
    "--host": "--bind host:port says where to listen",
    "--port": "--bind host:port says where to listen",
    "-p": "--bind host:port says where to listen",
    "-k": "--interface says wsgi or asgi, if it cannot be told; --threads, how many a worker has",
    "--worker-class": "--interface says wsgi or asgi, if it cannot be told; --threads, how many a worker has",
    "--daemon": "forkcluster start TARGET serves in the background",
    "-D": "forkcluster start TARGET serves in the background",
    "--no-daemon": "forkcluster TARGET serves in the foreground, forkcluster run FILE all apps of a file",
    "--uds": "--bind unix:path listens on a unix socket",
    "--fd": "--bind fd://N takes over a descriptor",
    "--timeout": "see --request-timeout, --boot-timeout, --drain-timeout and those for parts of a request",
    "--access-logfile": "--access-log FILE, or - for standard output",
    "--error-logfile": "--log-file FILE",
    "--app-dir": "--chdir PATH, or --pythonpath PATH",
    "--preload-app": "--preload always; auto, the default, judges by itself",
    "--ssl-keyfile": "TLS is not in this release yet: put a proxy in front",
    "--certfile": "TLS is not in this release yet: put a proxy in front",
}
"""Flags of gunicorn, uvicorn and PM2, and what to use instead."""
