"""What a target of fork mode executes."""

import os
import sys

import pytest
from test_option_table import defaults

from forkcluster.errors import ConfigurationError
from forkcluster.options.mode import offers_application
from forkcluster.options.program import compose

PATHS = {"PATH": "/usr/bin:/bin"}


def argv(directory, target, *args, **options):
    found = compose(defaults(target=target, args=args, **options), str(directory), PATHS, "/opt/python3")
    return [word.removeprefix(f"{directory}/") for word in found.argv]


@pytest.fixture
def project(tmp_path):
    for name in ("w.py", "w.sh", "w.pl", "run", "two words.sh"):
        (tmp_path / name).write_text("#!/bin/sh\n")
        (tmp_path / name).chmod(0o755)
    (tmp_path / "plain").write_text("")
    (tmp_path / "inner").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("target", "args", "options", "expected"),
    [
        ("w.sh", ("a", "b c"), {}, ["bash", "w.sh", "a", "b c"]),
        ("./w.sh", (), {}, ["bash", "./w.sh"]),
        ("w.pl", (), {}, ["perl", "w.pl"]),
        ("run", ("x",), {}, ["run", "x"]),
        ("w.sh", (), {"interpreter": "none"}, ["w.sh"]),
        ("run", (), {"interpreter": "sh", "interpreter_args": ("-e", "-u")}, ["sh", "-e", "-u", "run"]),
        ("two words.sh", (), {}, ["bash", "two words.sh"]),
        ("echo  a; b", (), {}, ["bash", "-c", "echo  a; b"]),
        ("echo a", ("b",), {}, ["bash", "-c", 'echo a "$@"', "forkcluster", "b"]),
        ("sleep", ("1",), {}, ["sleep", "1"]),
    ],
)
def test_the_argument_vector(project, target, args, options, expected):
    """Files before shell lines before programs on PATH."""
    assert expected == argv(project, target, *args, **options)


def test_python_is_that_of_the_virtual_environment_that_is_nearest(project):
    """The one that was named, the directory's own, the one that is active; else our own."""
    program = compose(defaults(target="sleep"), str(project), PATHS, sys.executable)
    assert os.path.dirname(sys.executable) in program.variables["PATH"]
    (project / "venv/bin").mkdir(parents=True)
    (project / "venv/pyvenv.cfg").touch()
    (project / "venv/bin/python").symlink_to(sys.executable)
    program = compose(defaults(target="w.py"), str(project), PATHS, "/opt/python3")
    assert (f"{project}/venv/bin/python", f"{project}/venv") == (
        program.argv[0],
        program.variables["VIRTUAL_ENV"],
    )
    assert f"{project}/venv/bin:/usr/bin:/bin" == program.variables["PATH"]


@pytest.mark.parametrize(
    ("target", "options", "text"),
    [
        ("./missing", {}, "there is no such file"),
        ("missing-program", {}, "no program on PATH"),
        ("plain", {"interpreter": "none"}, "not executable"),
        ("w.sh", {"interpreter": "no-such-shell"}, "no-such-shell"),
        ("missing.sh", {"interpreter": "sh"}, "looked for"),
        ("./inner", {}, "it is a directory"),
        ("inner", {}, "it is a directory"),
    ],
)
def test_what_is_not_there_is_named(project, target, options, text):
    """With what to do about it."""
    with pytest.raises(ConfigurationError, match=text) as caught:
        argv(project, target, **options)
    assert caught.value.remedy


@pytest.mark.parametrize(
    ("target", "remedy"),
    [
        ("app:create_app()", "--factory calls it, without arguments: app:create_app --factory"),
        ("app:create_app('a', b=1)", "app:create_app --factory"),
        ("a:b:c", "an application is module:attribute"),
        ("app..x", "an application is module:attribute"),
    ],
)
def test_what_was_meant_as_an_application_is_told_how_one_is_named(project, target, remedy):
    """It is not looked for as a program only, and no shell is given it."""
    with pytest.raises(ConfigurationError) as caught:
        argv(project, target)
    assert remedy in caught.value.remedy


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("app = 1", True),
        ("if x:\n    application: object = make()", True),
        ("def create_app(): ...", True),
        ("from site import application", True),
        ("from site import handler as app", True),
        ("from site import *", True),
        ("broken(:", True),
        ("print('app')", False),
        ("import time\nwhile True:\n    time.sleep(1)", False),
        ("from celery import Celery\ncelery = Celery()", False),
    ],
)
def test_a_script_that_could_define_an_application_is_served(source, expected):
    """Only one that surely does not is run as a program."""
    assert expected == offers_application(source)
