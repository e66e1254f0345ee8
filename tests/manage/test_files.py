"""plan, apply and the other commands that take a file, against real apps."""

import json
import os

import pytest
from harness import until

from forkcluster.errors import EXIT_CONFIGURATION

APP = """
import json, os

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [json.dumps([os.environ.get("A"), os.environ.get("TOKEN"), os.getcwd()]).encode()]
"""

FILE = """
[[apps]]
name = "web"
target = "web:application"
bind = "127.0.0.1:0"
observe = 0
instances = 1
depends_on = ["api"]
env = { A = "1", TOKEN = "hunter2" }

[[apps]]
name = "api"
target = "web:application"
bind = "127.0.0.1:0"
env_staging = { A = "staging" }
"""

WORKER = """
[[apps]]
name = "worker"
script = "worker.sh"
interpreter = "sh"
args = ["x"]
instances = 1
min_uptime = 0
observe = 0
drain_timeout = 5
env = { A = "1", B = "2" }
"""


@pytest.fixture
def place(shell):
    """A directory with the file and its application."""
    shell.write("web.py", APP)
    shell.write("forkcluster.toml", FILE)

    def edit(*pairs):
        text = (shell.directory / "forkcluster.toml").read_text()
        for old, new in pairs:
            assert old in text
            text = text.replace(old, new)
        shell.write("forkcluster.toml", text)

    shell.edit = edit
    return shell


def answers(shell, name):
    """What the app answers: A, TOKEN and its directory."""
    return json.loads(" ".join(shell.get(name)))


def actions(shell, *words):
    """What a plan would do, by name."""
    found = shell.run("plan", "--json", *words, code=None).json["steps"]
    return {step["name"]: step["action"] for step in found}


def test_apply_brings_about_what_the_file_says_and_no_more(place):
    """Start, nothing, reload, scale, restart, remove: each seen in the plan first, then in the processes."""
    assert {"web": "start", "api": "start"} == actions(place)
    done = place.run("apply")
    assert done.out.index("api") < done.out.index("web")
    assert {"web": "ready", "api": "ready"} == place.states()
    assert place.run("plan", "--detailed-exitcode").out.startswith(
        f"{place.directory}/forkcluster.toml: nothing to do"
    )
    masters = place.masters()

    (place.directory / "sub").mkdir()
    place.edit(
        ('A = "1", TOKEN = "hunter2"', 'TOKEN = "hunter3"'),
        ("instances = 1", 'instances = 1\ncwd = "sub"\npythonpath = ".."'),
    )
    shown = place.run("plan", "--detailed-exitcode", code=5).out
    assert ("hunter" in shown, "env.A = 1, removed" in shown, "(another value)" in shown) == (
        False,
        True,
        True,
    )
    place.run("apply")
    assert [None, "hunter3", f"{place.directory}/sub"] == answers(place, "web")

    place.edit(("instances = 1", "instances = 2"))
    assert {"web": "scale", "api": "keep"} == actions(place)
    place.run("apply")
    assert masters == place.masters()
    until(lambda: 2 == len(place.list()["web"]["workers"]), "two workers")

    place.edit(("instances = 2", "instances = 2\nbacklog = 99"))
    for words in ("reload", "web"), ("start-or-reload", "forkcluster.toml"):
        assert "restart brings it about: backlog" in place.run(*words).out
        assert {"web": "restart", "api": "keep"} == actions(place)
    assert masters == place.masters()
    place.run("apply")
    assert (True, True) == (
        masters["web"] != place.masters()["web"],
        masters["api"] == place.masters()["api"],
    )

    place.edit((FILE[FILE.index('[[apps]]\nname = "api"') :], ""), ('depends_on = ["api"]', ""))
    assert {"web": "keep", "api": "keep"} == actions(place)
    assert {"web": "keep", "api": "remove"} == actions(place, "--prune")
    place.run("apply", "--prune")
    assert {"web": "ready"} == place.states()


def test_a_program_is_kept_to_the_file_like_an_application(shell):
    """Fork mode: scaled, reloaded with new variables and arguments, one that was removed is gone."""
    shell.write("worker.sh", 'echo "$1 $A ${B-gone}" > "seen-$FORKCLUSTER_INSTANCE"; exec sleep 600\n')
    shell.write("forkcluster.toml", WORKER)

    def seen():
        return sorted(path.read_text().strip() for path in shell.directory.glob("seen-*"))

    shell.run("apply")
    until(lambda: ["x 1 2"] == seen(), "the first process")
    master = shell.masters()["worker"]
    shell.write("forkcluster.toml", WORKER.replace("instances = 1", "instances = 2"))
    assert {"worker": "scale"} == actions(shell)
    shell.run("apply")
    until(lambda: ["x 1 2", "x 1 2"] == seen(), "the second process")
    changed = WORKER.replace('"x"', '"y"').replace('A = "1", B = "2"', 'A = "3"')
    shell.write("forkcluster.toml", changed.replace("instances = 1", "instances = 2"))
    assert {"worker": "reload"} == actions(shell)
    shell.run("apply")
    until(lambda: ["y 3 gone", "y 3 gone"] == seen(), "new variables")
    assert master == shell.masters()["worker"]
    shell.write("forkcluster.toml", "[[apps]]\nname = 'worker'\nscript = 'run.sh'\nexec_mode = 'cluster'\n")
    assert 'set exec_mode to "fork"' in shell.run("apply", code=78).err


def test_an_app_that_does_not_start_stops_those_that_depend_on_it(place):
    """The traceback and the exit code are the application's; another app is not concerned."""
    place.write("broken.py", "raise RuntimeError('no database')")
    place.edit(('name = "api"\ntarget = "web:application"', 'name = "api"\ntarget = "broken:application"'))
    place.edit(
        (
            '[[apps]]\nname = "web"',
            '[[apps]]\nname = "alone"\ntarget = "web:application"\nbind = "127.0.0.1:0"\n'
            '[[apps]]\nname = "web"',
        )
    )
    done = place.run("apply", code=3)
    assert ("RuntimeError: no database" in done.err, "web is left as it is: api" in done.err) == (True, True)
    assert {"alone": "ready", "api": "errored"} == place.states()


def test_start_takes_a_part_of_a_file_in_an_environment(place):
    """--only, --env; what runs already is left alone, and an unknown name is refused with those there are."""
    place.run("start", "forkcluster.toml", "--only", "api", "--env", "staging")
    assert ("staging", {"api": "ready"}) == (answers(place, "api")[0], place.states())
    assert "runs already" in place.run("start", "forkcluster.toml", "--only", "api", "--env", "staging").out
    assert "there is staging" in place.run("start", "forkcluster.toml", "--env", "x", code=78).err
    assert "--env staging" in place.run("plan", "--only", "api").out
    master = place.masters()["api"]
    place.run("start-or-reload", "forkcluster.toml", "--only", "api", "--env", "staging")
    assert (master, 2) == (place.masters()["api"], place.list()["api"]["generation"])
    place.run("reload", "forkcluster.toml")
    assert (master, "staging") == (place.masters()["api"], answers(place, "api")[0])
    place.run("stop", "forkcluster.toml")
    assert {"api": "stopped"} == place.states()
    place.run("delete", "forkcluster.toml")
    assert {} == place.states()


def test_another_environment_of_the_file_comes_by_a_reload(place):
    """The masters stay; one that fails changes nothing, also not what later reloads and starts go by."""
    place.run("start", "forkcluster.toml", "--only", "api")
    master = place.masters()["api"]
    assert "was started with no --env" in place.run("plan", "--only", "api", "--env", "staging").out
    place.run("reload", "forkcluster.toml", "--env", "staging", "--only", "api")
    assert (master, "staging") == (place.masters()["api"], answers(place, "api")[0])
    place.edit(('{ A = "staging" }', '{ A = "staging" }\nenv_broken = { A = "broken" }'))
    (place.directory / "web.py").write_text(APP + 'assert os.environ["A"] != "broken"\n')
    assert "AssertionError" in place.run("reload", "forkcluster.toml", "--env", "broken", code=3).err
    place.run("reload", "api")
    assert (master, "staging") == (place.masters()["api"], answers(place, "api")[0])
    place.run("restart", "api")
    assert "staging" == answers(place, "api")[0]
    assert "api is none" in place.run("reload", "api", "--env", "staging", code=2).err


def test_apps_stop_after_those_that_depend_on_them(place):
    """Whatever the order in which they are named."""
    place.run("apply")
    told = place.run("stop", "api", "web").out
    assert told.index("web") < told.index("api")
    assert {"web": "stopped", "api": "stopped"} == place.states()


def test_a_file_may_come_through_standard_input(place):
    """Its relative paths start in the working directory, and reloads read it again."""
    apps = {"apps": [{"name": "x", "script": "web:application", "bind": "127.0.0.1:0", "env": {"A": 1}}]}
    place.run("start", "-", stdin=json.dumps(apps))
    assert ["1", None, str(place.directory)] == answers(place, "x")
    apps["apps"][0]["env"]["A"] = 2
    place.run("apply", "-", stdin=json.dumps(apps))
    assert "2" == answers(place, "x")[0]
    (saved,) = (place.home / "input").iterdir()
    assert 0o600 == saved.stat().st_mode & 0o777
    done = place.run("apply", "-", stdin="{broken", code=78)
    assert ("reading the configuration standard input, line 1" in done.err, json.dumps(apps)) == (
        True,
        saved.read_text(),
    )
    apps["apps"][0]["bakclog"] = 1
    done = place.run("plan", "-", stdin=json.dumps(apps, indent=0), code=78)
    assert "standard input, line 10: unknown key bakclog" in done.err


def test_what_came_through_standard_input_is_forgotten_with_its_last_app(place):
    """Not while another app has it, or the saved list would bring one back."""
    apps = [{"name": name, "script": "web:application", "bind": "127.0.0.1:0"} for name in ("x", "y")]
    place.run("start", "-", stdin=json.dumps(apps))
    kept = place.home / "input"
    place.run("delete", "x")
    assert 1 == len(list(kept.iterdir()))
    place.run("save")
    place.run("delete", "y")
    assert 1 == len(list(kept.iterdir()))
    place.run("cleardump")
    assert [] == list(kept.iterdir())
    place.run("start", "-", stdin=json.dumps(apps))
    place.run("kill")
    assert [] == list(kept.iterdir())


def test_a_name_of_another_file_is_not_taken_over(place):
    """Two projects may both have an app of that name; nothing is done at all."""
    place.run("apply", "--only", "api")
    other = place.directory / "other"
    other.mkdir()
    (other / "forkcluster.toml").write_text(FILE)
    (other / "web.py").write_text(APP)
    assert {"web": "start", "api": "refuse"} == actions(place, "other/forkcluster.toml")
    for words in (("apply",), ("plan",), ("plan", "--detailed-exitcode")):
        done = place.run(*words, "other/forkcluster.toml", code=1)
        assert f"the name belongs to {place.directory}/forkcluster.toml" in done.err
        assert "forget that app: forkcluster delete api" in done.err
    assert {"api": "ready"} == place.states()


def test_a_sample_is_written_and_served(place):
    """init, then apply; a second init changes nothing."""
    os.unlink(place.directory / "forkcluster.toml")
    place.run("init")
    text = (place.directory / "forkcluster.toml").read_text()
    place.run("init", code=2)
    assert text == (place.directory / "forkcluster.toml").read_text()
    place.write("forkcluster.toml", text.replace("127.0.0.1:8000", "127.0.0.1:0"))
    place.run("apply")
    assert ["ready"] == list(place.states().values())


@pytest.mark.parametrize("words", [("init", "x.yaml"), ("import", "-", "-o", "x.json")])
def test_toml_is_written_only_into_files_that_are_read_as_toml(place, words):
    """Nothing is written under another suffix."""
    before = os.listdir(place.directory)
    done = place.run(*words, code=2, stdin='{"apps": []}')
    assert (True, before) == ("name a file that ends in .toml" in done.err, os.listdir(place.directory))


def test_imports_become_files_that_are_served(place):
    """PM2's JSON to standard output, gunicorn's module to a file."""
    pm2 = {"apps": [{"name": "p", "script": "web:application", "kill_timeout": 3000, "pmx": True}]}
    done = place.run("import", "-", stdin=json.dumps(pm2))
    assert ('drain_timeout = "3000ms"' in done.out, "p: pmx" in done.err) == (True, True)
    place.write(
        "gunicorn.conf.py", 'bind = "127.0.0.1:0"\nworkers = 1\nraw_env = ["A=g"]\ndef post_fork(s, w): ...\n'
    )
    place.run("import", "gunicorn.conf.py", "--target", "web:application", "-o", "g.toml")
    place.run("import", "gunicorn.conf.py", "-o", "g.toml", code=2)
    place.run("start", "g.toml")
    assert "g" == answers(place, "web")[0]
    assert "node -p" in place.run("import", "ecosystem.config.js", code=78).err


def test_a_shell_is_told_how_to_complete(place):
    """click's own words for each shell; commands, options and the names of apps are completed."""
    for shell in ("bash", "zsh", "fish"):
        assert "_FORKCLUSTER_COMPLETE" in place.run("completion", shell).out
    place.write("forkcluster.toml", FILE + "autostart = false")
    place.run("apply", "--only", "api")

    def completed(line):
        words = {
            "COMP_WORDS": line,
            "COMP_CWORD": str(line.count(" ")),
            "_FORKCLUSTER_COMPLETE": "bash_complete",
        }
        place.environment = words
        return place.run(code=None).out.split()

    assert ["plain,plan"] == completed("forkcluster pla")
    assert ["plain,--prune"] == completed("forkcluster apply --pr")
    assert ["plain,api"] == completed("forkcluster stop a")


def test_reload_of_a_file_does_not_start_what_is_started_by_name_only(place):
    """autostart = false: its name, or --only, starts it."""
    place.write("forkcluster.toml", FILE + "autostart = false")
    place.run("apply")
    place.run("reload", "forkcluster.toml")
    assert {"web": "ready", "api": "stopped"} == place.states()
    place.run("reload", "forkcluster.toml", "--only", "api")
    assert {"web": "ready", "api": "ready"} == place.states()


def test_a_missing_file_of_an_app_is_told_with_the_app(place):
    """And with the file that asks for it."""
    place.write("forkcluster.toml", FILE + 'env_file = "none.env"')
    error = place.run("plan", code=78).err
    assert f"reading the configuration {place.directory}/forkcluster.toml: app api: " in error


@pytest.mark.parametrize("words", [(), ("--env", "staging")])
def test_start_of_pm2s_javascript_says_how_to_convert_it(shell, words):
    """It is no program, and nothing is registered."""
    shell.write("ecosystem.config.js", "module.exports = { apps: [] }\n")
    done = shell.run("start", "ecosystem.config.js", *words, code=EXIT_CONFIGURATION)
    assert "it is JavaScript" in done.err
    assert {} == shell.states()
