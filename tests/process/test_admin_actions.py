"""Actions from the admin's site: off by default, and never without the token."""

import json

import pytest
from harness import until
from test_admin import fetch

from forkcluster.manager.control import ask

TOKEN = "correct-horse-battery-staple"


def bearer(token=TOKEN):
    return {"Authorization": f"Bearer {token}"}


@pytest.fixture
def running(server, tmp_path):
    """A server whose token is in a file."""
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    arguments = ("--admin", "127.0.0.1:0", "--admin-actions", f"{tmp_path}/token")
    return server(arguments=arguments).boot()


def test_without_the_option_nothing_can_be_done(server):
    """Any token is refused, and the answer says what would allow it."""
    running = server(arguments=("--admin", "127.0.0.1:0")).boot()
    status, text = fetch(running, "/reload", "POST", bearer(""))
    assert (403, True) == (status, "--admin-actions" in text)


@pytest.mark.parametrize(
    "headers", [{}, bearer("wrong"), bearer(TOKEN[:-1]), bearer(""), {"Authorization": f"Basic {TOKEN}"}]
)
def test_without_the_right_token_nothing_is_done(running, headers):
    """Each is answered 401, and nothing is asked of the master."""
    for path in ("/reload", "/scale", "/stacks"):
        assert 401 == fetch(running, path, "POST", headers, '{"workers": "2"}')[0]
    assert 1 == ask(running.control, "status")["wanted"]
    assert "asked for" not in running.output


def test_with_the_token_it_is_done_and_told(running):
    """Scale, reload and stacks, as by the control socket; the history says from where."""
    status, text = fetch(running, "/scale", "POST", bearer(), '{"workers": "+1"}')
    assert (200, 2) == (status, json.loads(text)["workers"])
    running.wait_for_workers(2)
    status, text = fetch(running, "/reload", "POST", bearer())
    assert (200, 2) == (status, json.loads(text)["generation"])
    until(lambda: len(ask(running.control, "status")["workers"]) == 2, "the old workers' end")
    status, text = fetch(running, "/stacks", "POST", bearer(), '{"slot": 1}')
    (worker,) = json.loads(text)["workers"]
    assert (200, 1, True) == (status, worker["slot"], "most recent call first" in worker["stacks"])
    running.wait_for('scale asked for asked_by="127.0.0.1, by the admin address"')


def test_what_the_master_refuses_is_told(running):
    """With the master's own words."""
    status, text = fetch(running, "/scale", "POST", bearer(), '{"workers": "many"}')
    assert (400, True) == (status, "expected N, +N, -N or max" in text)
    assert 400 == fetch(running, "/scale", "POST", bearer(), "[1]")[0]


def test_the_token_is_nobody_elses_business(running):
    """Neither the status nor the application's processes have it."""
    assert TOKEN not in json.dumps(ask(running.control, "status"))
    assert TOKEN not in fetch(running, "/status")[1]
    assert TOKEN not in running.output
