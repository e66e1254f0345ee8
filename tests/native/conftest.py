"""Fixtures for tests of the C core: programs with asserts, compiled with sanitizers and run to their end."""

import pytest
from build import build, remove_folder, run


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Leave no compiled program behind."""
    yield
    remove_folder()


@pytest.fixture(scope="session")
def passes():
    """Compile (once) and run one case of a program; the test fails with what it said unless it exits 0."""

    def check(name, sources, *arguments, sanitize="address,undefined"):
        done = run(build(name, *sources, sanitize=sanitize), *arguments)
        assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
        return done.stdout

    return check
