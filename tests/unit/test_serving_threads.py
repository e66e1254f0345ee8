"""The main thread of a WSGI worker, which makes threads when the engine wants one."""

import threading

import pytest

from forkcluster.worker.threads import serve_wsgi


class Engine:
    """Wants so many threads, then serving is over."""

    def __init__(self, wanted):
        self.wanted = wanted
        self.served = self.refused = 0

    def attend(self):
        self.wanted -= 1
        return self.wanted >= 0

    def serve(self):
        self.served += 1

    def no_more_threads(self):
        self.refused += 1

    def stop_log(self):
        pass


@pytest.fixture
def room(monkeypatch):
    """So many threads can be started."""
    left = []

    def start(thread):
        if not left:
            raise RuntimeError("can't start new thread")
        left.pop()
        begin(thread)

    begin = threading.Thread.start
    monkeypatch.setattr(threading.Thread, "start", start)
    return left.extend


def test_worker_does_with_the_threads_that_it_has(room):
    """A limit of processes is reached: those that serve go on, and the engine knows."""
    room([None] * 2)
    engine = Engine(4)
    serve_wsgi(engine, 8)
    assert (2, 2) == (engine.served, engine.refused)


def test_worker_without_any_thread_fails(room):
    """Nothing could be served."""
    with pytest.raises(RuntimeError, match="can't start new thread"):
        serve_wsgi(Engine(1), 8)
