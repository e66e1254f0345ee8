"""Live servers for the tests of this folder: one per module and set of options, checked at its end."""

from __future__ import annotations

import itertools
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from client import Client
from server import Server, until
from starter import Starter
from ws_client import Socket

Start = Callable[..., Server]
NUMBERS = itertools.count()


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Show what the servers wrote during a test that fails."""
    outcome = yield
    report = outcome.get_result()
    if report.failed:
        for name, value in getattr(item, "funcargs", {}).items():
            servers = getattr(value, "servers", [value])
            for server in servers:
                if isinstance(server, Server):
                    report.sections.append((f"log of {name}", "\n".join(server.lines[-60:])))


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Start servers that live as long as the module."""
    starter = Starter(lambda: tmp_path_factory.mktemp("server"))
    yield starter
    starter.close()


@pytest.fixture
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Starter]:
    """Start servers that live as long as one test."""
    starter = Starter(lambda: tmp_path_factory.mktemp("server"))
    yield starter
    starter.close()


@pytest.fixture
def client(server: Server) -> Iterator[Client]:
    """A connection to the module's server."""
    with server.client() as made:
        yield made


@pytest.fixture(scope="module")
def nothing_left_open(server: Server) -> Iterator[None]:
    """At the end the worker has the descriptors that it had after its first answer."""
    with server.client() as client:
        client.get("/ignore")
        pid = server.workers()[0]
        before = len(server.descriptors(pid))
        yield
        assert [pid] == server.workers()
        until(lambda: len(server.descriptors(pid)) <= before, f"{server.descriptors(pid)}, before {before}")


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    """A path that the application waits on until the test opens it (`server.let_go`)."""
    path = tmp_path / "fifo"
    os.mkfifo(path)
    return str(path)


@pytest.fixture(scope="module")
def impatient(started: Starter) -> Server:
    """A WebSocket server that pings often and soon gives up."""
    return started(
        "ws_cases:application", "--ws-ping-interval=0.1", "--ws-ping-timeout=0.3", "--no-ws-deflate"
    )


@pytest.fixture(autouse=True)
def _hang_up() -> Iterator[None]:
    """Leave no WebSocket open."""
    yield
    while Socket.made:
        Socket.made.pop().socket.close()


@pytest.fixture
def name() -> str:
    """What this test's conversation is called in the application's output."""
    return f"talk{next(NUMBERS)}"
