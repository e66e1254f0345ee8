"""list: what every app is doing, for people and for programs."""

import os
import re
import signal

from harness import until


def test_list_is_plain_when_piped(shell):
    """One line for each app under a line of titles; no colours, no borders."""
    shell.start("app:application", "-i", "2")
    for word in ("list", "ls", "ps", "status"):
        head, line = shell.run(word).out.splitlines()
        assert head.split()[:5] == ["id", "name", "namespace", "mode", "ready"]
        assert line.split()[:5] == ["0", "app", "default", "cluster", "2/2"]
        assert re.fullmatch(r"[\d.]+MB", line.split()[10])


def test_list_json_tells_all_that_is_known(shell):
    """Figures, workers, where it listens, where its logs are. Master, logger, mold and workers count."""
    shell.start("app:application", "-i", "2")
    (each,) = shell.run("list", "--json").json
    assert (2, 5) == (len(each["workers"]), each["processes"])
    assert each["memory"] > 1 << 20
    assert each["urls"][0].startswith("http://127.0.0.1:")
    assert f"{shell.home}/logs/app-out.log" == each["logs"]["out"]


def test_list_of_nothing(shell):
    """A word for people, an empty list for programs."""
    assert "no app is registered" in shell.run("list").out
    assert [] == shell.run("list", "--json").json


def test_secrets_are_masked(shell):
    """Whoever looks over the shoulder sees none."""
    shell.environment = {"API_TOKEN": "hush-hush", "DATABASE_URL": "postgres://me:hush-hush@db/x"}
    shell.start("app:application", "--env", "DB_PASSWORD=hush-hush")
    text = shell.run("list", "--json").out
    assert (False, True) == ("hush-hush" in text, "API_TOKEN" in text)


def test_list_shows_restarts_with_the_last_reason(shell):
    """A worker that was killed."""
    shell.start()
    (worker,) = shell.list()["app"]["workers"]
    os.kill(worker["pid"], signal.SIGKILL)
    until(lambda: shell.list()["app"]["restarts"] == 1, "the restart")
    assert "crash:-was-killed-by-SIGKILL" in shell.run("list").out
