"""Serves a WSGI application: on the main thread alone, or on threads it makes while it waits for signals.

Which thread has the loop, and when another one takes it over, is the engine's to decide; it says when it
wants one more. They are all alike, so that an application meets one kind of thread only.
"""

import threading

from forkcluster._engine import Engine
from forkcluster.worker.spec import Application


def serve_wsgi(engine: Engine, application: Application, most: int) -> None:
    """Serve until the drain is complete. With `most` 1 the application runs on this, the main thread, always.

    Raises OSError, and what a signal handler of the application raises.
    """
    if most == 1:
        engine.serve_wsgi(application)
        return
    threads: list[threading.Thread] = []
    engine.begin(application)
    while engine.attend():
        thread = threading.Thread(target=engine.serve, name=f"serving-{len(threads)}", daemon=True)
        threads.append(thread)
        thread.start()
    for thread in threads:
        thread.join()
    engine.stop_log()
