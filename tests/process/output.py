"""Numbered lines: an application that prints them, threads that ask for them and kill, and the count of what
is in the files.

Every worker numbers its own lines, so that for each the files must hold 1, 2, 3 … without a gap and none
twice, up to at least the last number that was answered.
"""

import collections
import contextlib
import gzip
import http.client
import json
import os
import random
import re
import signal
import threading
import time

APP = """
import os, threading
PRINTED = 0
TURN = threading.Lock()

def application(environ, start_response):
    with TURN:
        printed = print_lines(int(environ["QUERY_STRING"]))
    body = f"[{os.getpid()}, {printed}]".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]

def print_lines(count):
    global PRINTED
    first, PRINTED = PRINTED + 1, PRINTED + count
    for at in range(first, PRINTED + 1, 150):  # less than PIPE_BUF: a kill does not tear a line
        numbers = range(at, min(at + 150, PRINTED + 1))
        os.write(1, "".join([f"line {os.getpid()} {number}\\n" for number in numbers]).encode())
    return PRINTED
"""
LINE = re.compile(rb"\S+ \d+ [|+:] line (\d+) (\d+)")


class Printing:
    """Threads that have workers print `total` lines, `batch` a request, and more until there is `enough`;
    faults of killed workers are fine.
    """

    def __init__(self, each, total, batch, enough, threads=4):
        self.each, self.batch = each, batch
        self.answered = collections.Counter()  # by pid: the highest number that was answered
        self._enough = enough
        self._left = total
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask) for _ in range(threads)]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, fault, *_):
        if fault:
            self._left, self._enough = 0, lambda: True
        for thread in self._threads:
            thread.join()

    def done(self):
        return not any(thread.is_alive() for thread in self._threads)

    def _ask(self):
        connection = http.client.HTTPConnection(*self.each.address, timeout=60)
        with contextlib.closing(connection):
            while self._take():
                try:
                    connection.request("GET", f"/?{self.batch}")
                    pid, printed = json.loads(connection.getresponse().read())
                except (OSError, http.client.HTTPException):
                    connection.close()
                    continue
                with self._lock:
                    self.answered[pid] = max(self.answered[pid], printed)

    def _take(self):
        with self._lock:
            self._left -= self.batch
            return self._left >= 0 or not self._enough()


def kill_until(done, each, pause, role, killed):
    """Kill one process of a role after the other, with a pause, counting in killed[role]."""
    while not done():
        each.drain()
        found = [process.pid for process in each.processes(role) if process.state != "Z"]
        if found:
            with contextlib.suppress(ProcessLookupError):  # it has just ended by itself
                os.kill(random.choice(found), signal.SIGKILL)
                killed[role] += 1
        time.sleep(random.uniform(0, 2 * pause))


def files_of(path):
    """All files of a log, the oldest first."""
    numbered = re.compile(re.escape(path.name) + r"\.(\d+)(\.gz)?")
    found = {
        int(match[1]): each for each in path.parent.iterdir() if (match := numbered.fullmatch(each.name))
    }
    return [*(found[number] for number in sorted(found)), *([path] if path.exists() else [])]


def count(path):
    """Give the number of lines that each worker has in the files; what is wrong, in words."""
    reached, wrong = collections.Counter(), []
    for each in files_of(path):
        with gzip.open(each) if each.suffix == ".gz" else each.open("rb") as file:
            for line in file:
                found = LINE.match(line)
                if found is None:
                    wrong.append(f"{each.name}: {line!r}")
                    continue
                pid, number = int(found[1]), int(found[2])
                if number != reached[pid] + 1:
                    wrong.append(f"{each.name}: {line!r} after {reached[pid]}")
                reached[pid] = number
    return reached, wrong
