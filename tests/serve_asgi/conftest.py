"""Live ASGI servers; whatever the validator has found fails the test."""

import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent / "process")]

from live import LOOPS, finish, make  # noqa: E402
from wire import BARE  # noqa: E402


def pytest_configure(config):
    """Say what our mark means."""
    config.addinivalue_line("markers", "site(name): the framework's application of web.py that the test asks")


@pytest.fixture(scope="module", params=LOOPS)
def live(request, tmp_path_factory):
    """A server of the module's own, on each loop."""
    server = make(tmp_path_factory.mktemp("live"), "--forwarded-fields", "either", loop=request.param)
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
