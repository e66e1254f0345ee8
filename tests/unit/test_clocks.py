"""Row 51: what is timed is timed by the monotonic clock, so that a step of the wall clock kills nobody."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
WALL = re.compile(
    r"\btime\.time\(|\btime\.time_ns\(|datetime\.(now|utcnow)\(|CLOCK_REALTIME|\bgettimeofday\b"
)
# Where the wall clock is meant: what people or other machines read.
MEANT = {
    "csrc/accesslog.c": "the time in a log line",
    "csrc/answer.c": "the time in a log line",
    "csrc/engine.h": "the Date field",
    "csrc/logline.c": "the time in a log line",
    "csrc/turn.c": "the Date field",
    "src/forkcluster/log.py": "the time in a log line",
    "src/forkcluster/master/history.py": "the time of an event",
    "src/forkcluster/master/watching.py": "compared with the times of files",
}


def users(directory, pattern):
    found = (path for path in (ROOT / directory).rglob(pattern) if WALL.search(path.read_text()))
    return {str(path.relative_to(ROOT)) for path in found}


def test_wall_clock_is_read_only_for_what_people_read():
    """Deadlines, back-off, uptimes, drains and looks are all of CLOCK_MONOTONIC."""
    served = {"master", "mold", "worker", "wire"}
    python = {path for name in served for path in users(f"src/forkcluster/{name}", "*.py")}
    core = users("csrc", "*.[ch]") | python
    assert set() == core - set(MEANT)
