"""Real command lines against real processes; nothing that a test has started is left after it."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "process"))

from shell import Shell


@pytest.fixture
def shell(tmp_path):
    """A terminal in a directory with an app.py."""
    project = tmp_path / "project"
    project.mkdir()
    each = Shell(project, tmp_path / "home")
    each.write_app()
    yield each
    each.clean_up()
