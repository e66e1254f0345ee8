"""The log writes whole lines, counts what it loses, and never raises."""

import fcntl
import json
import os
import re

import pytest

from forkcluster.log import Log, json_line, open_append, text_line, timestamp

MOMENT = 1795426862.1239


def test_a_time_is_utc_with_milliseconds():
    """RFC 3339, UTC, three digits, cut and not rounded."""
    assert "2026-11-23T09:41:02.123Z" == timestamp(MOMENT)


def test_a_text_line_reads_well():
    """Time, level, process, message, then the fields as words."""
    fields = {"slot": 0, "path": "a b", "ok": True, "took": 0.5, "none": None}
    line = text_line(MOMENT, "info", "master", "ready", fields)
    assert '2026-11-23T09:41:02.123Z info  master  ready slot=0 path="a b" ok=true took=0.5 none=-\n' == line


def test_a_traceback_stays_readable_in_text():
    """Further lines are indented below the first, unchanged."""
    line = text_line(MOMENT, "error", "mold", "import failed\n  File x\nValueError: no\n", {"generation": 2})
    assert "import failed generation=2\n      File x\n    ValueError: no\n" == line.partition("mold    ")[2]


def test_a_traceback_is_one_string_in_json():
    """One object, one line, whatever the message holds."""
    line = json_line(MOMENT, "error", "mold", "import failed\n  File x", {"generation": 2, "level": "mine"})
    expected = {
        "time": "2026-11-23T09:41:02.123Z",
        "level": "error",
        "process": "mold",
        "message": "import failed\n  File x",
        "generation": 2,
    }
    assert (1, expected) == (line.count("\n"), json.loads(line))


def test_control_characters_cannot_reach_a_terminal():
    """An escape sequence in a message is shown, not obeyed."""
    assert "\x1b" not in text_line(MOMENT, "info", "master", "a\x1b[2Jb", {"path": "\x1b[2J"})


def test_quiet_levels_are_not_written(tmp_path):
    """A line below the log's level is dropped without being counted."""
    log = Log(level="warning", fd=open_append(str(tmp_path / "log")))
    log.info("no")
    log.warning("yes")
    os.close(log.fd)
    assert (["yes"], 0) == (
        [line.split()[3] for line in (tmp_path / "log").read_text().splitlines()],
        log.dropped,
    )


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_full_disk_costs_a_line_and_is_counted(form):
    """ENOSPC is no exception."""
    log = Log(format=form, fd=os.open("/dev/full", os.O_WRONLY))
    log.error("lost", pid=1)
    os.close(log.fd)
    assert 1 == log.dropped


def test_a_vanished_reader_costs_a_line_and_is_counted():
    """EPIPE is no exception."""
    reader, writer = os.pipe()
    os.close(reader)
    log = Log(fd=writer)
    log.error("lost")
    os.close(writer)
    assert 1 == log.dropped


def test_a_full_pipe_costs_a_line_and_is_counted():
    """EAGAIN is no exception, and a line that did not fit whole counts as lost."""
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    os.set_blocking(writer, False)
    log = Log(fd=writer)
    for _ in range(3):
        log.error("x" * 3000)
    os.close(writer)
    os.close(reader)
    assert log.dropped >= 2


def test_text_that_is_no_unicode_is_still_logged(tmp_path):
    """A path with undecodable bytes does not stop its line."""
    log = Log(fd=open_append(str(tmp_path / "log")))
    log.info("opening", path=os.fsdecode(b"/tmp/\xff"))
    os.close(log.fd)
    assert "udcff" in (tmp_path / "log").read_text()


def test_reopening_follows_a_rotation(tmp_path):
    """After the file was moved away, reopen writes to a new one, under the same descriptor number."""
    path = tmp_path / "log"
    log = Log(path=str(path), fd=open_append(str(path)))
    number = log.fd
    log.info("before")
    path.rename(tmp_path / "log.1")
    log.reopen()
    log.info("after")
    os.close(log.fd)
    words = [re.split(r"\s+", (tmp_path / name).read_text())[3] for name in ("log.1", "log")]
    assert (number, ["before", "after"]) == (log.fd, words)


def test_reopening_in_vain_keeps_the_old_file(tmp_path):
    """When the directory is gone, the log goes on in the file it has."""
    folder = tmp_path / "logs"
    folder.mkdir()
    log = Log(path=str(folder / "log"), fd=open_append(str(folder / "log")))
    (folder / "log").rename(tmp_path / "log.1")
    folder.rmdir()
    log.reopen()
    log.info("still here")
    os.close(log.fd)
    assert "still here" in (tmp_path / "log.1").read_text()
