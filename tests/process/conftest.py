"""Every test here runs the real command; what it printed is shown when the test fails."""

import pytest
from fork_harness import ForkServer, write
from harness import Server
from strict import APPS, close_what_is_left


@pytest.fixture(autouse=True)
def _connections():
    """No connection outlives its test."""
    yield
    close_what_is_left()


@pytest.fixture
def server(tmp_path):
    """Make servers in the test's directory; nothing of them is left afterwards."""
    made = []

    def make(**settings):
        made.append(Server(tmp_path, **settings).write_app("one"))
        return made[-1]

    yield make
    for each in made:
        if hasattr(each, "process"):
            each.clean_up()
            print(each.output)


@pytest.fixture
def fork(tmp_path):
    """Make servers of a command in the test's directory; nothing of them is left afterwards."""
    made = []

    def make(target="worker.py", *arguments, script=None, **settings):
        if script is not None:
            write(tmp_path, target, script)
        settings.setdefault("bind", ())
        always = ("--name", "app", "--min-uptime", "0.2")
        made.append(ForkServer(tmp_path, target=target, arguments=(*always, *arguments), **settings))
        return made[-1]

    yield make
    for each in made:
        if hasattr(each, "process"):
            each.clean_up()
            print(each.output)


@pytest.fixture(params=["wsgi", "asgi"])
def serve(request, server):
    """Make servers of the test application, by both interfaces."""

    def start(**settings):
        each = server(**settings)
        (each.directory / "app.py").write_text(APPS[request.param])
        return each.boot()

    return start
