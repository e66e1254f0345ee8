"""Serves a WSGI application: on the main thread alone, or on threads it makes while it waits for signals.

Which thread has the loop, and when another one takes it over, is the engine's to decide; it says when it
wants one more. They are all alike, so that an application meets one kind of thread only.
"""

import threading

from forkcluster import log
from forkcluster._engine import Engine


def serve_wsgi(engine: Engine, most: int) -> None:
    """Serve, as was begun, until the drain is complete.

    With `most` 1 the application runs on this, the main thread, always.

    Raises OSError, and what a signal handler of the application raises.
    """
    if most == 1:
        try:
            engine.serve()
        finally:
            engine.stop_log()
        return
    threads: list[threading.Thread] = []
    while engine.attend():
        thread = threading.Thread(target=engine.serve, name=f"serving-{len(threads)}", daemon=True)
        try:
            thread.start()
        except RuntimeError as error:  # a limit of processes
            if not threads:
                raise
            engine.no_more_threads()
            log.warning("no further thread can be started", threads=len(threads), error=str(error))
        else:
            threads.append(thread)
    for thread in threads:
        thread.join()
    engine.stop_log()
