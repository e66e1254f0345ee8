"""What a sample says of two looks, what is new among events, and lines read back from a growing file."""

from forkcluster.admin.live import message, newer
from forkcluster.admin.output import CHUNK, Output
from forkcluster.admin.sample import Look, WorkerLook, sample

STATUS = {
    "wanted": 1, "unready": None, "generation": 3, "reloading": None, "uptime": 9.0,
    "counts": {"restarts": 2},
    "listeners": [{"url": "http://127.0.0.1:1", "queued": 4}, {"url": "unix:/x", "queued": None}],
}  # fmt: skip


def look(at, ok=0, bucket=0, cpu=0.0, epoch=1, **words):
    line = {
        "slot": 0, "pid": 7, "generation": 3, "state": "ready", "started_ns": 10**9, "in_flight": 1,
        "open": 2, "idle": 1, "blocked_ns": 0, "loop_lag_ns": 0, "oldest": None,
        "requests": [0, 0, ok, 0, 0, 0], "duration": [0, bucket, 0], **words,
    }  # fmt: skip
    return Look(at, 1000.0 + at, {(0, epoch): WorkerLook(line, cpu, 5000, None)}, STATUS)


def test_a_sample_counts_what_came_between_two_looks():
    """Requests, durations, CPU and blocked time are differences; gauges are those of the later look."""
    found = sample(look(1.0, ok=10, bucket=10), look(3.0, ok=16, bucket=15, cpu=1.0, blocked_ns=10**9))
    worker = found["workers"][0]
    assert ([0, 0, 6, 0, 0, 0], [(1, 5)], 2.0) == (found["requests"], found["duration"], found["seconds"])
    assert (0.5, 0.5, 6, 2.0) == (worker["cpu"], worker["blocked"], worker["requests"], worker["age"])
    assert (4, 2, 3) == (found["queued"], found["restarts"], found["generation"])


def test_a_worker_that_is_new_has_done_nothing_yet():
    """The counters of its seat are its predecessor's; they are not taken for one second's work."""
    found = sample(look(1.0, ok=10), look(2.0, ok=500, epoch=2))
    assert ([0] * 6, None) == (found["requests"], found["workers"][0]["cpu"])


def test_a_sample_without_workers_counts_nothing():
    """While all workers are being replaced there may be none."""
    nothing = Look(2.0, 2.0, {}, STATUS)
    assert ([0] * 6, []) == (sample(look(1.0), nothing)["requests"], sample(look(1.0), nothing)["workers"])


def test_only_events_after_the_last_known_one_are_new():
    """Equal events are told apart by their order; a history that has moved on is all new."""
    a, b, c = {"text": "a"}, {"text": "b"}, {"text": "c"}
    assert [c] == newer([a, b], [a, b, c])
    assert [] == newer([a, b], [a, b])
    assert [a, b] == newer([], [a, b])
    assert [b, c] == newer([a], [b, c])


def test_a_message_is_one_event_whatever_its_text():
    """A line feed inside a value does not end the event (HTML Standard 9.2)."""
    assert b'event: line\ndata: {"text": "a\\nb"}\n\n' == message("line", {"text": "a\nb"})


def following(path):
    output = Output()
    output.follow({"out": str(path), "error": "-", "apart": False})
    return output


def texts(lines):
    return [line["text"] for line in lines]


def test_lines_are_read_back_once_with_their_time_and_worker(tmp_path):
    """What was there before is the latest; what comes later is new; a partial line waits for its end."""
    path = tmp_path / "out.log"
    path.write_text("2026-11-28T03:05:06.500Z 1 | hello\n2026-11-28T03:05:07.000Z mold | par")
    output = following(path)
    output.read()
    assert ["1 hello"] == texts(output.latest())
    assert 1795835106.5 == output.latest()[0]["time"]
    with path.open("a") as file:
        file.write("tial\nplain\n")
    assert ["mold partial", "plain"] == texts(output.read())
    assert [] == output.read()


def test_a_rotated_file_is_followed_and_a_flood_shows_its_end(tmp_path):
    """The new file is read from its beginning; of more than is read at once, the newest whole lines show."""
    path = tmp_path / "out.log"
    output = following(path)
    output.read()
    path.write_text("one\n")
    assert ["one"] == texts(output.read())
    path.rename(tmp_path / "out.log.1")
    path.write_text("two\n")
    assert ["two"] == texts(output.read())
    with path.open("a") as file:
        file.writelines(f"{number:07d}\n" for number in range(CHUNK))
    found = texts(output.read())
    assert f"{CHUNK - 1:07d}" == found[-1]
    assert all(len(each) == 7 for each in found)
