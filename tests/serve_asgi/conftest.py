"""Live ASGI servers; whatever the validator has found fails the test."""

import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "process")]

from harness import Server, until  # noqa: E402
from wire import BARE, Wire  # noqa: E402

LOOPS = ("uvloop", "asyncio")


def pytest_configure(config):
    """Say what our mark means."""
    config.addinivalue_line("markers", "site(name): the framework's application of web.py that the test asks")


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

    def idle(self):
        """Whether no request runs: its counter on the scoreboard is not at hand, so ask the process."""
        return self.ask("resources").json["tasks"]


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
    """Stop it: it ends well, and leaves nothing behind."""
    try:
        assert server.violations() == ""
        assert server.stop() == 0
        assert server.processes() == []
    finally:
        server.clean_up()


@pytest.fixture(scope="module", params=LOOPS)
def live(request, tmp_path_factory):
    """A server of the module's own, on each loop."""
    server = make(tmp_path_factory.mktemp("live"), "--observe", "0", loop=request.param)
    yield server
    finish(server)


@pytest.fixture(scope="module", params=LOOPS)
def strict(request, tmp_path_factory):
    """A server with short deadlines and small limits."""
    options = "--body-timeout 0.3 --write-timeout 0.4 --keep-alive 0.6 --limit-body 100K"
    server = make(tmp_path_factory.mktemp("strict"), *options.split(), loop=request.param)
    yield server
    finish(server)


@pytest.fixture
def server(tmp_path):
    """Make servers of other kinds."""
    made = []

    def start(*arguments, **settings):
        made.append(make(tmp_path, *arguments, **settings))
        return made[-1]

    yield start
    for each in made:
        finish(each)


@pytest.fixture(autouse=True)
def no_violations(request):
    """Fail the test whose requests broke the specification."""
    found = [request.getfixturevalue(name) for name in ("live", "strict") if name in request.fixturenames]
    before = [each.violations() for each in found]
    marks = [len(each.output) for each in found]
    yield
    after = [each.violations() for each in found]
    for each, mark in zip(found, marks, strict=True):
        each.drain()
        print(each.output[mark:])
    for old, new in zip(before, after, strict=True):
        assert new.removeprefix(old) == ""


@pytest.fixture(params=["validated", "bare"])
def both_ways(request):
    """Behind the validator, and with the server's own receive and send in the application's hands."""
    BARE[:] = ["bare"] if request.param == "bare" else []
    yield
    BARE.clear()


@pytest.fixture
def key(request):
    """A name for the test's notes and gates."""
    return "".join(letter if letter.isalnum() else "-" for letter in request.node.name)
