"""A new user's first hour, as one story."""

from harness import until

from forkcluster.errors import EXIT_APPLICATION


def test_a_new_users_first_hour(shell):
    """init, edit, start, list, scale, break, reload, fix, reload, logs, stop, delete, kill, resurrect."""
    shell.run("init")
    sample = shell.directory / "forkcluster.toml"
    assert "[[apps]]" in sample.read_text()
    sample.write_text('[[apps]]\nname = "shop"\ntarget = "app:application"\nbind = "127.0.0.1:0"\n')
    shell.run("start", "forkcluster.toml")
    assert "ready" in shell.run("list").out
    assert "1 → 3 workers" in shell.run("scale", "shop", "3").out
    worker = shell.get("shop")[0]

    shell.write("app.py", "raise RuntimeError('half an edit')\n")
    assert "half an edit" in shell.run("reload", "shop", code=EXIT_APPLICATION).err
    assert ("one", "ready") == (worker, shell.states()["shop"])

    shell.write_app("two")
    shell.run("reload", "shop")
    until(lambda: shell.get("shop")[0] == "two", "the new code")
    assert 3 == shell.list()["shop"]["ready"]

    def in_the_log():
        return "half an edit" in shell.run("logs", "shop", "--err", "--nostream").out

    until(in_the_log, "the traceback in the log")
    shell.run("save")
    shell.run("stop", "all")
    assert {"shop": "stopped"} == shell.states()
    shell.run("delete", "all")
    assert "no app is registered" in shell.run("kill").out
    shell.run("resurrect")
    assert ("two", 3) == (shell.get("shop")[0], shell.list()["shop"]["ready"])
    shell.kill_master("shop")
    assert {"shop": "lost"} == shell.states()
    shell.run("resurrect")
    assert {"shop": "ready"} == shell.states()
    shell.run("kill")
    assert {} == shell.states()
