"""PM2's other words for commands; and that no command lacks a test."""

import json
from pathlib import Path

from harness import until

from forkcluster.cli.index import INDEX


def test_the_words_of_pm2(shell):
    """They do what ours do, on a real app."""
    shell.run("ecosystem")
    sample = shell.directory / "forkcluster.toml"
    assert "[[apps]]" in sample.read_text()
    sample.write_text('[[apps]]\nname = "shop"\ntarget = "app:application"\nbind = "127.0.0.1:0"\n')
    shell.run("startOrReload", "forkcluster.toml")
    first = shell.masters()

    for number, word in enumerate(("startOrReload", "startOrGracefulReload", "start-or-reload"), 2):
        shell.write_app(f"release-{number}")
        shell.run(word, "forkcluster.toml")
        until(lambda n=number: shell.get("shop")[0] == f"release-{n}", "the new code")
    assert first == shell.masters(), "a reload keeps the master"

    for word in ("startOrRestart", "start-or-restart"):
        before = shell.masters()
        shell.run(word, "forkcluster.toml")
        assert before != shell.masters(), "a restart makes a new one"
        assert {"shop": "ready"} == shell.states()

    assert "shop" in shell.run("l").out
    assert "worker ready" in shell.run("log", "shop", "--nostream").out
    assert ["shop"] == [app["name"] for app in json.loads(shell.run("prettylist").out)]
    shell.run("dump")
    shell.run("del", "shop")
    assert {} == shell.states()
    shell.run("resurrect")
    assert {"shop": "ready"} == shell.states()


def test_every_command_is_typed_in_a_test():
    """Each command of the index, by its name; serving in the foreground is what tests/process does."""
    typed = "".join(path.read_text() for path in Path(__file__).parent.glob("test_*.py"))
    names = {entry.name for entry in INDEX} - {"serve"}
    assert [] == [name for name in names if f'"{name}"' not in typed]
