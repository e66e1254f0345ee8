"""A live server of an ASGI application, and what the tests ask of it."""

import os
from pathlib import Path

from harness import Server, until
from wire import Wire

HERE = Path(__file__).parent
LOOPS = ("uvloop", "asyncio")


class Live(Server):
    """A server of `cases` and what the tests ask of it."""

    def wire(self, **settings):
        """Open a connection."""
        return Wire(self.address, **settings)

    def ask(self, case, method="GET", **settings):
        """Ask on a connection of its own."""
        with self.wire() as wire:
            return wire.ask(case, method, **settings)

    def notes(self, key):
        """What a case has noted."""
        return self.ask("notes", target=f"/?{key}").json

    def wait_for_notes(self, key, count=1):
        """Wait until a case has noted so much; give it."""
        return until(lambda: len(found := self.notes(key)) >= count and found, f"{count} notes under {key}")

    def open(self, key):
        """Open a gate."""
        assert self.ask("open", target=f"/?{key}").json == "open"

    def violations(self):
        path = self.directory / "violations"
        return path.read_text() if path.exists() else ""


def make(directory, *arguments, target="cases:application", loop="uvloop", workers=1):
    """Start a server in a directory with some files."""
    (directory / "small.txt").write_bytes(b"0123456789")
    (directory / "big.bin").write_bytes(b"public__" * (1 << 20))
    (directory / "secret.bin").write_bytes(b"SECRET!!" * (1 << 20))
    os.mkfifo(directory / "fifo")
    arguments = ("--loop", loop, "--pythonpath", str(HERE), *arguments)
    environment = {"VIOLATIONS": str(directory / "violations")}
    return Live(directory, arguments, workers, target, environment=environment).boot()


def finish(server):
    """Stop it, if its test has not: it ends well, and leaves nothing behind."""
    try:
        assert server.violations() == ""
        if server.process.poll() is None:
            assert server.stop() == 0
        assert server.processes() == []
    finally:
        server.clean_up()
