"""Restart policies of fork mode, by real processes."""

import re
import signal

import pytest
from fork_harness import WORKER, alive, environment
from harness import until

from forkcluster.errors import EXIT_APPLICATION
from forkcluster.wire.client import ask

FLEETING = "#!/bin/sh\nexit 7\n"


def test_a_crash_loop_with_a_delay_becomes_errored(fork):
    """Early deaths in a row are counted, however far apart the restarts are."""
    each = fork("bad.sh", "--max-restarts", "3", "--restart-delay", "300ms", script=FLEETING).start()
    assert EXIT_APPLICATION == each.wait()
    assert 3 == each.output.count("next_in=0.3")
    assert "process died early 4 times in a row; it is not started again" in each.output


def test_one_errored_instance_leaves_the_others_alone(fork):
    """The app lives as long as one of its processes does; status says which has failed."""
    script = '#!/bin/sh\n[ "$FORKCLUSTER_INSTANCE" = 1 ] && exit 7\nexec sleep 100\n'
    each = fork("half.sh", "--max-restarts", "2", "--restart-delay", "0.05", script=script, workers=2).start()
    until(lambda: {"ready", "errored"} == {row["state"] for row in each.try_rows() or ()}, "the verdict")
    states = {row["slot"]: (row["state"], row["pid"] is None, row["restarts"]) for row in each.rows()}
    assert {0: ("ready", False, 0), 1: ("errored", True, 2)} == states
    assert "exited with status 7" == each.rows("errored")[0]["last"]
    ask(each.control, "restart", timeout=20)
    until(lambda: each.rows("errored"), "the second verdict")
    assert 0 == each.stop()


@pytest.mark.parametrize(
    ("options", "status", "code"),
    [
        (("--no-autorestart",), 0, 0),
        (("--restart", "never"), 7, EXIT_APPLICATION),
        (("--restart", "on-failure"), 0, 0),
        (("--stop-exit-codes", "7", "--stop-exit-codes", "9"), 7, 0),
    ],
)
def test_an_app_whose_processes_have_ended_for_good_ends_too(fork, options, status, code):
    """A stopped app is no process; the exit code tells whether it ended well."""
    each = fork("job.sh", *options, script=f"#!/bin/sh\nexit {status}\n").start()
    assert code == each.wait()
    assert "process ended; it is not started again" in each.output


@pytest.mark.parametrize(("options", "status"), [(("--restart", "on-failure"), 7), ((), 0)])
def test_what_the_policy_wants_again_is_started_again(fork, options, status):
    """A failure under on-failure; anything under always."""
    script = f"#!/bin/sh\n[ -e once ] && exec sleep 100\ntouch once\nexit {status}\n"
    each = fork("job.sh", *options, script=script).boot()
    assert [1] == [row["restarts"] for row in each.rows("ready")]
    assert f"exited with status {status}" == each.rows()[0]["last"]


def test_a_process_that_had_been_up_is_replaced_at_once(fork):
    """No back-off for a run longer than min_uptime; another process, the same number."""
    each = fork(script=WORKER, workers=2).boot()
    first, second = each.until_ready(2)
    each.send(signal.SIGKILL, second)
    until(lambda: len(set(each.pids()) - {first, second}) == 1, "the new process")
    assert "was killed by SIGKILL" == each.rows()[1]["last"]
    each.wait_for("next_in=0 ")
    assert "1" == environment(each.pids()[1])["FORKCLUSTER_INSTANCE"]


def test_exponential_delays_grow_by_half(fork):
    """PM2's exp_backoff_restart_delay."""
    options = ("--exp-backoff-restart-delay", "40ms", "--max-restarts", "4", "--min-uptime", "20")
    each = fork("bad.sh", *options, script=FLEETING).start()
    assert EXIT_APPLICATION == each.wait()
    assert ["0.04", "0.06", "0.09", "0.135"] == re.findall(r"next_in=([\d.]+)", each.output)


def test_a_tree_over_the_memory_limit_is_replaced_one_at_a_time(fork):
    """What a child of the command holds counts; the reason is told."""
    script = WORKER.replace(
        "while True", "if os.fork() == 0:\n    held = bytearray(96 << 20)\n    signal.pause()\nwhile True"
    )
    each = fork("worker.py", "--max-memory-restart", "80M", script=script, workers=2).boot()
    pids = each.until_ready(2)
    each.wait_for(r'reason="max_memory: \d+ MiB in its tree, 80 allowed" slot=0')
    until(lambda: each.drain(0.05) and len(changes(each.output)) >= 4, "replacement of both")
    assert not set(pids) & set(each.pids())
    assert changes(each.output)[:4] in (["1", "1", "0", "0"], ["0", "0", "1", "1"])


def changes(output):
    """The slots whose processes ended or became ready since the limit was met, in order."""
    return re.findall(r"process (?:ended|ready) .*?slot=(\d)", output[output.index("max_memory") :])


def test_cron_reloads_the_app_once_for_all_instances(fork):
    """Six fields, seconds first; one roll at a time, and no process left out."""
    pytest.importorskip("cronsim")
    each = fork("worker.py", "--cron-restart", "*/2 * * * * *", script=WORKER, workers=2).boot()
    pids = each.until_ready(2)
    each.wait_for("the time of cron_restart has come")
    each.wait_for("reload done generation=2")
    until(lambda: not any(alive(pid) for pid in pids), "the end of the old ones")


def test_cron_starts_a_job_that_has_ended_well(fork):
    """autorestart off and a schedule: a job that runs at set times, and a master that waits."""
    pytest.importorskip("cronsim")
    options = ("--no-autorestart", "--cron-restart", "* * * * * *")
    each = fork("job.sh", *options, script="#!/bin/sh\necho ran\n").start()
    until(lambda: each.drain(0.05) and each.output.count("ran\n") >= 3, "three runs")
    assert 0 == each.stop()


def test_a_wrong_cron_expression_is_refused(fork):
    """Before anything starts."""
    pytest.importorskip("cronsim")
    each = fork("worker.py", "--cron-restart", "99 * * * *", script=WORKER).start()
    assert 78 == each.wait()
    assert "Bad minute" in each.output
