"""Which Python an app runs under: its own, if that has this forkcluster."""

import sysconfig
import venv
from pathlib import Path

import pytest

import forkcluster
from forkcluster.errors import EXIT_APPLICATION, EXIT_CONFIGURATION
from forkcluster.wire.program import origin


@pytest.fixture
def beside(shell):
    """A virtual environment beside the application, without forkcluster."""
    path = shell.directory / ".venv"
    venv.create(path, symlinks=True, with_pip=False)
    return path


def lend(path):
    """Give it this very forkcluster, and what ours is installed with."""
    site = Path(sysconfig.get_path("purelib", vars={"base": str(path), "platbase": str(path)}))
    source = Path(forkcluster.__file__).parents[1]
    (site / "lent.pth").write_text(f"{source}\n{sysconfig.get_path('purelib')}\n")


def test_a_virtual_environment_without_forkcluster_is_refused_with_the_command_that_installs_it(
    shell, beside
):
    """From where ours was installed. Nothing is registered; the foreground says the same."""
    done = shell.start(code=EXIT_CONFIGURATION)
    assert f"{beside}/bin/python -m pip install {origin()}\n" in done.err
    assert {} == shell.states()
    assert done.err.partition(": ")[2] in shell.run("app:application", code=EXIT_CONFIGURATION).err
    shell.start("app:application", "--venv", "none")
    assert {"app": "ready"} == shell.states()


def test_a_reload_into_one_without_forkcluster_tells_the_same_command(shell):
    """The old generation goes on."""
    shell.start()
    before = shell.get()
    venv.create(shell.directory / "bare", symlinks=True, with_pip=False)
    (shell.directory / "forkcluster.toml").write_text('[app]\nvenv = "bare"\n')
    done = shell.run("reload", "app", code=EXIT_APPLICATION)
    assert f"{shell.directory}/bare/bin/python -m pip install " in done.err
    assert before == shell.get()


def test_the_virtual_environment_beside_the_application_is_its_own(shell, beside):
    """Master, mold and workers run under it."""
    lend(beside)
    with (shell.directory / "app.py").open("a") as file:
        file.write("import sys\nVERSION = sys.prefix\n")
    shell.start()
    assert str(beside) == shell.get()[0]


def test_a_named_virtual_environment_that_is_not_there_is_refused(shell):
    """Where it was looked for is told."""
    done = shell.start("app:application", "--venv", "nowhere", code=EXIT_CONFIGURATION)
    assert f"there is no {shell.directory}/nowhere/bin/python" in done.err
