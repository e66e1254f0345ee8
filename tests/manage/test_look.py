"""describe, env, pid, id, ping, signal, history: what a person and a script can know."""

import os
import signal
import stat

from harness import until

from forkcluster.errors import EXIT_FAILURE, EXIT_PEER, EXIT_USAGE


def test_describe_tells_options_workers_and_events(shell):
    """For people; secrets are masked."""
    shell.start("app:application", "-i", "2", "--env", "DB_PASSWORD=hush-hush")
    for word in ("describe", "desc", "info", "show"):
        text = shell.run(word, "app").out
        wanted = ["app is ready", "app:application", "--instances 2", "2 of 2 ready", "worker ready"]
        assert [] == [words for words in wanted if words not in text]
        assert "hush-hush" not in text
    (facts,) = shell.run("describe", "app", "--json").json
    assert "worker ready" in [event["text"] for event in facts["events"]]


def test_env_masks_secrets_unless_asked(shell):
    """Base environment and what the options set."""
    shell.environment = {"API_TOKEN": "hush-hush", "MINE": "yes"}
    shell.start("app:application", "--env", "OPTION=set")
    text = shell.run("env", "app").out
    assert (True, True, False) == ("MINE=yes\n" in text, "OPTION=set\n" in text, "hush-hush" in text)
    assert "API_TOKEN=hush-hush\n" in shell.run("env", "app", "--show-secrets").out
    assert "yes" == shell.run("env", "app", "--json").json["app"]["MINE"]


def test_pid_and_id_are_for_scripts(shell):
    """One in each line; an app that does not run has no pid."""
    shell.start("app:application", "-i", "2")
    (pid,) = shell.masters().values()
    assert (f"{pid}\n", "0\n") == (shell.run("pid", "app").out, shell.run("id", "app").out)
    workers = {str(each["pid"]) for each in shell.list()["app"]["workers"]}
    assert workers == set(shell.run("pid", "app", "--workers").out.split())
    shell.run("stop", "app")
    assert "does not run" in shell.run("pid", "app", code=EXIT_FAILURE).err


def test_ping_of_an_app_that_does_not_run_says_so(shell):
    """Of those that are named it is one; of all it is not asked."""
    shell.start()
    shell.run("stop", "app")
    done = shell.run("ping", "app", code=EXIT_FAILURE)
    assert ("", True) == (done.out, "app: does not run" in done.err)
    assert [False] == [each["ok"] for each in shell.run("ping", "app", "--json", code=EXIT_FAILURE).json]
    for words in ((), ("all",)):
        assert "no app runs" in shell.run("ping", *words).out


def test_ping_asks_every_master(shell):
    """One that does not answer is no pong."""
    assert "no app runs" in shell.run("ping").out
    shell.start()
    assert "app pong" in shell.run("ping").out
    (pid,) = shell.masters().values()
    os.kill(pid, signal.SIGSTOP)
    try:
        shell.run("ping", code=EXIT_PEER)
    finally:
        os.kill(pid, signal.SIGCONT)


def test_signal_goes_to_workers(shell):
    """TERM retires the one of that slot."""
    shell.start("app:application", "-i", "2")
    victim = shell.list()["app"]["workers"][1]["pid"]
    assert f"TERM was sent to {victim}" in shell.run("sendSignal", "SIGTERM", "app", "--slot", "1").out
    until(lambda: victim not in [each["pid"] for each in shell.list()["app"]["workers"]], "its end")
    shell.run("signal", "SEGV", "app", code=EXIT_USAGE)


def test_history_of_an_app_tells_what_has_happened(shell):
    """The latest last, as many as asked for."""
    shell.start()
    lines = shell.run("history", "app").out.splitlines()
    assert [True, True] == ["worker ready" in lines[-2], " ready app=app" in lines[-1]]
    assert 1 == len(shell.run("events", "app", "-n", "1").out.splitlines())
    assert "ready" == shell.run("history", "app", "--json").json["app"][-1]["text"]


def test_jlist_is_list_json(shell):
    """For scripts that come from elsewhere."""
    shell.start()
    assert ["app"] == [each["name"] for each in shell.run("jlist").json]


def test_records_are_for_the_owner_only(shell):
    """They hold the environment."""
    shell.start()
    shell.run("save")
    files = [shell.home / "apps" / "app" / "record.json", shell.home / "dump.json"]
    assert [0o600, 0o600] == [stat.S_IMODE(path.stat().st_mode) for path in files]


def test_secrets_in_options_are_masked(shell):
    """A token, and a field's value by the field's name; describe and jlist."""
    shell.start(
        "app:application", "--admin-actions", "hush-hush-1",
        "--probe-header", "Authorization: Bearer hush-hush-2", "--probe-header", "X-Kind: plain",
    )  # fmt: skip
    for shown in (shell.run("describe", "app").out, shell.run("jlist").out):
        assert (False, True) == ("hush" in shown, "X-Kind: plain" in shown)


def test_files_of_the_output_are_named_as_they_are(shell):
    """Running and stopped; none where the output goes nowhere."""
    out, error = shell.directory / "o.log", shell.directory / "e.log"
    shell.start("app:application", "--out-file", str(out), "--error-file", str(error))
    assert {"out": str(out), "error": str(error)} == shell.list()["app"]["logs"]
    shell.run("stop", "app")
    assert {"out": str(out), "error": str(error)} == shell.list()["app"]["logs"]
    assert str(error) in shell.run("describe", "app").out
    shell.start("app:application", "--name", "quiet", "--disable-logs")
    assert {"out": None, "error": None} == shell.list()["quiet"]["logs"]
    assert "of quiet" in shell.run("logs", "quiet", code=EXIT_USAGE).err


def test_the_arguments_of_a_program_are_shown_as_they_are_typed(shell):
    """Behind the dashes."""
    shell.write("job.sh", "sleep 100\n")
    shell.run("start", "./job.sh", "--min-uptime", "0.1", "--", "--queue", "mail")
    assert " -- --queue mail\n" in shell.run("describe", "job").out
