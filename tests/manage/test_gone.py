"""The terminal's working directory was removed: what needs none works, the rest says so."""

import subprocess

import pytest
from harness import PATIENCE

from forkcluster.errors import EXIT_CONFIGURATION, EXIT_OK


def run_nowhere(shell, *words):
    """Run a command in a directory that is removed."""
    return subprocess.run(
        ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh", *shell.command(*words)],
        cwd=shell.directory,
        env=shell.variables(),
        capture_output=True,
        text=True,
        timeout=3 * PATIENCE,
    )


def test_registered_apps_are_managed_from_nowhere(shell):
    """They have directories of their own."""
    shell.start()
    for words in (
        ("describe", "app"),
        ("list", "app"),
        ("stop", "all"),
        ("start", "app"),
        ("restart", "app"),
    ):
        done = run_nowhere(shell, *words)
        assert (EXIT_OK, "") == (done.returncode, done.stderr)
    assert {"app": "ready"} == shell.states()


@pytest.mark.parametrize("words", [("plan",), ("apply", "x.toml"), ("start", "x.py"), ("init",), ("run",)])
def test_what_is_looked_for_nowhere_is_refused_with_what_to_do(shell, words):
    """No traceback."""
    done = run_nowhere(shell, *words)
    assert (EXIT_CONFIGURATION, False) == (done.returncode, "Traceback" in done.stderr)
    assert "cd to one that is there" in done.stderr
