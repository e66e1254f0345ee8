"""Errors travel between processes and keep their exit codes."""

import re
from pathlib import Path

import pytest

from forkcluster import errors

DOCUMENTED = Path(__file__).parents[2] / "docs" / "exit-codes.md"


@pytest.mark.parametrize("kind", sorted(errors.KINDS))
def test_an_error_survives_the_way_through_json(kind):
    """An error rebuilt from its JSON is of the same class and says the same."""
    original = errors.KINDS[kind]("binding :80: denied", "use another port")
    rebuilt = errors.from_json(original.to_json())
    assert (type(original), str(original)) == (type(rebuilt), str(rebuilt))


def test_an_application_error_keeps_its_traceback():
    """The details of an application error cross processes."""
    original = errors.ApplicationError("loading app", details="Traceback …")
    rebuilt = errors.from_json(original.to_json())
    assert "Traceback …" == getattr(rebuilt, "details", None)


@pytest.mark.parametrize("value", [None, 7, {}, {"kind": "of another release", "message": "x"}])
def test_an_unreadable_error_is_an_internal_one(value):
    """What is no error of ours still becomes one, and is never lost."""
    assert isinstance(errors.from_json(value), errors.InternalError)


def test_every_exit_code_is_documented():
    """docs/exit-codes.md lists the codes of errors.py, no more and no fewer."""
    declared = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    documented = {int(code) for code in re.findall(r"^\| (\d+) \|", DOCUMENTED.read_text(), re.MULTILINE)}
    assert declared == documented


def test_every_kind_of_error_owns_a_declared_exit_code():
    """No error exits with a number that errors.py does not declare."""
    declared = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    assert set() == {cls.exit_code for cls in errors.KINDS.values()} - declared


def test_a_slip_of_the_keyboard_is_recognised():
    """A near word is offered; a far one is not."""
    assert "did you mean backlog?" == errors.did_you_mean("backlogg", ["backlog", "bind"])
    assert "" == errors.did_you_mean("zzzz", ["backlog", "bind"])
