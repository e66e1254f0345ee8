"""PM2 itself beside forkcluster: one ecosystem file, the same processes, environments and states."""

import json
import os
import shutil
import subprocess
import sys

import pytest
from harness import PATIENCE, until

PM2 = os.environ.get("FORKCLUSTER_TEST_PM2") or shutil.which("pm2")

pytestmark = pytest.mark.skipif(not PM2, reason="PM2 is not installed (FORKCLUSTER_TEST_PM2 may name it)")

PROBE = """
import json, os, sys, time
seen = {name: os.environ.get(name) for name in ("A", "N", "O", "B", "PORT", "NUMBER", "CALLER")}
record = {"args": sys.argv[1:], "cwd": os.getcwd(), **seen}
path = os.path.join(os.environ["PROBES"], f"{os.environ['APP']}-{os.getpid()}")
with open(path + ".part", "w") as file:
    json.dump(record, file)
os.rename(path + ".part", path)
time.sleep(float(os.environ.get("FOR", "600")))  # a program runs for as long as its test wants
sys.exit(int(os.environ.get("CODE", "0")))
"""
SCRIPT = """#!/bin/sh
exec "$PYTHON" "$PROBE" from "a shell"
"""


def apps(python, directory):
    """The file's apps."""
    probe = {"script": f"{directory}/probe.py", "interpreter": python}
    return [
        {
            **probe,
            "name": "several",
            "instances": 3,
            "exec_mode": "fork",
            "args": "one 'two words'",
            "instance_var": "NUMBER",
            "increment_var": "N",
            "env": {"APP": "several", "A": "base", "B": True, "N": 5, "O": {"k": [1, "x"]}},
            "env_staging": {"A": "staging"},
        },
        {
            **probe,
            "name": "elsewhere",
            "cwd": f"{directory}/sub",
            "args": ["--flag", "a b"],
            "port": 4321,
            "env": {"APP": "elsewhere", "A": "base"},
        },
        {
            "name": "shell",
            "script": f"{directory}/run.sh",
            "env": {"APP": "shell", "PYTHON": python, "PROBE": f"{directory}/probe.py"},
        },
        {**probe, "name": "done", "autorestart": False, "env": {"APP": "done", "FOR": 0.1}},
        {
            **probe,
            "name": "crashing",
            "max_restarts": 2,
            "min_uptime": 5000,
            "env": {"APP": "crashing", "FOR": 0, "CODE": 3},
        },
        {**probe, "name": "manual", "autostart": False, "env": {"APP": "manual"}},
    ]


STATES = {"ready": "online", "errored": "errored", "stopped": "stopped"}
"""Our words for PM2's."""

EXPECTED = {
    "several": "online",
    "elsewhere": "online",
    "shell": "online",
    "done": "stopped",
    "crashing": "errored",
    "manual": "stopped",
}


@pytest.fixture
def place(shell):
    """A directory with the file, the probes and the environment of a caller."""
    shell.write("probe.py", PROBE)
    shell.write("run.sh", SCRIPT)
    (shell.directory / "run.sh").chmod(0o755)
    (shell.directory / "sub").mkdir()
    python = os.path.realpath(sys.executable)
    shell.write("ecosystem.json", json.dumps({"apps": apps(python, shell.directory)}))
    shell.environment = {"CALLER": "yes", "PROBES": f"{shell.directory}/probes"}
    return shell


def probes(shell):
    """What every process that lived has seen, by app; those that crash count once."""
    found = {}
    for path in sorted((shell.directory / "probes").iterdir()):
        if not path.name.endswith(".part"):
            record = json.loads(path.read_text())
            rows = found.setdefault(path.name.rpartition("-")[0], [])
            if record not in rows:
                rows.append(record)
    return {name: sorted(rows, key=str) for name, rows in found.items()}


def beside(shell, command, states):
    """Start the file, wait for the states that are expected, and give what the processes have seen."""
    directory = shell.directory / "probes"
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir()
    command()
    until(lambda: EXPECTED == states(), f"the states {EXPECTED}, not {states()}")
    until(lambda: {"several", "elsewhere", "shell", "done", "crashing"} <= probes(shell).keys(), "all probes")
    until(lambda: 3 == len(probes(shell)["several"]), "three of them")
    return probes(shell)


def test_the_same_file_is_the_same_in_both(place):
    """Arguments, directories, variables, numbers of processes, and what becomes of those that end."""
    variables = {**place.variables(), "PM2_HOME": f"{place.directory}/pm2"}

    def pm2(*words):
        return subprocess.run(
            [PM2, *words],
            cwd=place.directory,
            env=variables,
            capture_output=True,
            text=True,
            timeout=3 * PATIENCE,
        )

    def states_of_pm2():
        text = pm2("jlist").stdout
        found = json.loads(text[text.index("[{") :])
        return {each["name"]: each["pm2_env"]["status"] for each in found}

    def start_pm2():
        done = pm2("start", "ecosystem.json", "--env", "staging")
        assert done.returncode == 0, done.stdout + done.stderr

    try:
        theirs = beside(place, start_pm2, states_of_pm2)
    finally:
        pm2("kill")
    ours = beside(
        place,
        lambda: place.run("start", "ecosystem.json", "--env", "staging", code=None),
        lambda: {name: STATES.get(state, state) for name, state in place.states().items()},
    )
    assert theirs == ours
