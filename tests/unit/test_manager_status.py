"""The one word for what an app is doing, from the register and its master's answer."""

import pytest

from forkcluster.errors import ConfigurationError
from forkcluster.manager.control import NoAnswerError, NotRunningError
from forkcluster.manager.record import Record
from forkcluster.manager.register import App
from forkcluster.manager.status import STATES, View, meaning, state_of
from forkcluster.options.frozen import Request
from forkcluster.wire.home import AppPlace
from forkcluster.wire.outcome import End, Outcome

PLACE = AppPlace("/home", "app")
FAILED = Outcome(End.FAILED, 3, ConfigurationError("no").to_json())


def app(*, wanted="running", holder=None, outcome=None, fault=""):
    """An app with a record."""
    return App(PLACE, Record(0, "app", Request({}, "/"), {}, wanted), holder, outcome, fault)


def status(*states, ready=True, wanted=2, **more):
    """A master's answer with workers in these states."""
    workers = [{"state": state, "leaving": False} for state in states]
    return {"ready": ready, "stopping": False, "wanted": wanted, "workers": workers, **more}


NOTED = {"pid": 7, "control": "/c"}


@pytest.mark.parametrize(
    ("expected", "found", "answer"),
    [
        ("stopped", app(wanted="stopped"), None),
        ("stopped", app(outcome=Outcome(End.ENDED, 0)), None),
        ("errored", app(outcome=Outcome(End.ENDED, 70)), None),
        ("errored", app(outcome=FAILED), None),
        ("lost", app(outcome=Outcome(End.READY)), None),
        ("lost", app(outcome=Outcome(End.STARTING)), None),
        ("lost", app(), None),
        ("damaged", app(fault="no JSON"), None),
        ("starting", app(holder={}), NotRunningError("nobody listens")),
        ("stopping", app(holder=NOTED), NotRunningError("nobody listens")),
        ("silent", app(holder=NOTED), NoAnswerError("no answer")),
        ("silent", app(holder={"pid": 7, "control": None}), None),
        ("ready", app(holder=NOTED), status("ready", "ready")),
        ("degraded", app(holder=NOTED), status("ready", "starting")),
        ("starting", app(holder=NOTED), status("ready", ready=False)),
        ("starting", app(holder=NOTED), status(ready=False)),
        ("reloading", app(holder=NOTED), status("ready", "ready", reloading="canary")),
        ("stopping", app(holder=NOTED), status("ready", stopping=True)),
        ("waiting", app(holder=NOTED), status("waiting", "errored", ready=False)),
        ("errored", app(holder=NOTED), status("errored", "errored")),
        ("stopped", app(holder=NOTED), status("stopped")),
    ],
)
def test_the_word_for_an_app(expected, found, answer):
    """Every word is explained."""
    assert (expected, True) == (state_of(found, answer), expected in STATES)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (app(wanted="stopped"), "shall not"),
        (app(outcome=Outcome(End.ENDED, 0)), "resurrect, and a boot, start it"),
        (app(holder=NOTED), "its processes have ended"),
    ],
)
def test_what_is_stopped_and_still_wanted_is_not_said_to_be_unwanted(found, words):
    """One word for PM2's sake, and three sentences."""
    assert words in meaning(View(found, "stopped", {}))
