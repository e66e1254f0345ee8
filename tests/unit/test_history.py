"""master.history: the latest events in memory, and JSON lines on disk that outlive the master."""

import json
import os
import subprocess
import sys

from forkcluster.master.history import MOST_EVENTS, MOST_TEXT, History

FULL = """
import json, resource, signal, sys
from forkcluster.master.history import History
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
history = History(sys.argv[1])
for number in range(20):
    history.add("note", "info", "x" * 200, {"number": number})
print(json.dumps([history.dropped, len(history.latest())]))
"""


def lines(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_is_one_json_line(tmp_path):
    """Time, kind, level, text, fields: for jq and for the next master."""
    path = tmp_path / "events.jsonl"
    history = History(str(path))
    history.add("crash", "error", "worker died\nTraceback …", {"slot": 1})
    (entry,) = lines(path)
    assert {
        "event": "crash",
        "level": "error",
        "text": "worker died\nTraceback …",
        "fields": {"slot": 1},
    } == {name: entry[name] for name in ("event", "level", "text", "fields")}
    assert [entry] == history.latest()
    assert 0o600 == path.stat().st_mode & 0o777


def test_the_next_master_knows_what_happened_before(tmp_path):
    """Its history begins with the last events on disk; what is no event is passed over."""
    path = str(tmp_path / "events.jsonl")
    History(path).add("crash", "error", "worker died", {})
    with open(path, "a") as file:
        file.write("half a li\n[]\n")
    history = History(path)
    history.add("start", "info", "starting", {})
    assert ["crash", "start"] == [entry["event"] for entry in history.latest()]


def test_the_file_is_bounded_by_a_rotation(tmp_path):
    """There are the file and the one before it, whole lines in both, and nothing else."""
    path = tmp_path / "events.jsonl"
    history = History(str(path), most=1000)
    for number in range(40):
        history.add("note", "info", "something", {"number": number})
    assert {"events.jsonl", "events.1.jsonl"} == {entry.name for entry in tmp_path.iterdir()}
    assert all(entry.stat().st_size <= 1000 for entry in tmp_path.iterdir())
    kept = [*lines(tmp_path / "events.1.jsonl"), *lines(path)]
    numbers = [entry["fields"]["number"] for entry in kept]
    assert list(range(numbers[0], 40)) == numbers


def test_a_full_disk_is_counted_and_survived(tmp_path):
    """No exception, whole lines only, and memory has them all."""
    path = tmp_path / "events.jsonl"
    done = subprocess.run([sys.executable, "-c", FULL, str(path)], capture_output=True, text=True, check=True)
    dropped, remembered = json.loads(done.stdout)
    assert (20, 20) == (remembered, dropped + len(lines(path)))
    assert dropped > 0


def test_a_place_that_cannot_be_written_is_survived(tmp_path):
    """A pipe, a link, a missing directory: counted, and never waited for."""
    os.mkfifo(tmp_path / "fifo")
    os.symlink(tmp_path / "elsewhere", tmp_path / "link")
    for name in ("fifo", "link", "missing/events.jsonl"):
        history = History(str(tmp_path / name))
        history.add("note", "info", "something", {})
        assert (1, 1) == (history.dropped, len(history.latest())), name
    assert not (tmp_path / "elsewhere").exists()


def test_memory_is_bounded():
    """In number and in the length of each text, whose ends are kept."""
    history = History()
    for number in range(MOST_EVENTS + 10):
        history.add("note", "info", f"<{'x' * 10000}>", {"number": number})
    assert MOST_EVENTS == len(history.latest())
    text = history.latest(1)[0]["text"]
    assert (True, True) == (text.startswith("<"), text.endswith(">"))
    assert len(text) < MOST_TEXT + 20
    assert [] == history.latest(0)


def test_no_descriptor_is_lost(tmp_path):
    """Rotations close what they replace."""
    before = len(os.listdir("/proc/self/fd"))
    history = History(str(tmp_path / "events.jsonl"), most=1000)
    for _ in range(100):
        history.add("note", "info", "something", {})
    history.close()
    history.close()
    assert before == len(os.listdir("/proc/self/fd"))
