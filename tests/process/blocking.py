"""Applications whose calls block until the test lets them go, by both interfaces, and how a test lets go.

A view blocks as its path says: `/wait` sleeps, `/spin` computes, `/gil` is in C code that holds the GIL. It
ends when the test makes the file `go`, or writes into the FIFO beside the application.
"""

import os
import threading

COMMON = """
import ctypes, json, os, sys, threading, time

GIL_HELD = ctypes.PyDLL(None)
AT_ONCE = threading.Barrier(int(os.environ.get("AT_ONCE", "1")))
INSIDE = threading.Lock()
overlaps = 0

def block(kind):
    global overlaps
    if kind in ("wait", "spin", "gil"):
        open("begun", "w").close()
    if kind == "wait":
        while not os.path.exists("go"):
            time.sleep(0.005)  # a call that waits, until its test says go
    if kind == "spin":
        while not os.path.exists("go"):
            sum(range(10000))
    if kind == "compute":
        until = time.thread_time() + 0.25
        while time.thread_time() < until:
            sum(range(10000))
    if kind == "gil":
        descriptor = os.open("fifo", os.O_RDONLY | os.O_NONBLOCK)
        os.set_blocking(descriptor, True)
        keep = os.open("fifo", os.O_WRONLY)
        GIL_HELD.read(descriptor, ctypes.create_string_buffer(1), 1)
        os.close(descriptor)
        os.close(keep)
    if kind == "meet":
        AT_ONCE.wait(20)
    if kind == "alone":
        alone = INSIDE.acquire(blocking=False)
        time.sleep(0.002)  # long enough for another thread to come in, if one may
        overlaps += not alone
        if alone:
            INSIDE.release()
    if kind == "interleave":
        for _ in range(20):
            time.sleep(0.0004)

def facts(path):
    main = threading.current_thread() is threading.main_thread()
    answer = {"pid": os.getpid(), "path": path, "body": "", "main": main, "overlaps": overlaps}
    return {**answer, "cpu": time.thread_time(), "interval": sys.getswitchinterval()}
"""

WSGI = (
    COMMON
    + """
def application(environ, start_response):
    path = environ["PATH_INFO"]
    block(path[1:].partition("/")[0])
    answer = {**facts(path), "multithread": environ["wsgi.multithread"]}
    data = json.dumps(answer).encode()
    start_response("200 OK", [("Content-Type", "application/json"), ("Content-Length", str(len(data)))])
    return [data]
"""
)

ASGI = (
    COMMON
    + """
async def application(scope, receive, send):
    if scope["type"] != "http":
        return
    block(scope["path"][1:].partition("/")[0])
    data = json.dumps(facts(scope["path"])).encode()
    length = [(b"content-length", str(len(data)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": length})
    await send({"type": "http.response.body", "body": data})
"""
)

APPS = {"wsgi": WSGI, "asgi": ASGI}


def prepare(each, interface="wsgi"):
    """Write the application into a server's directory, and make what its views block on."""
    (each.directory / "app.py").write_text(APPS[interface])
    os.mkfifo(each.directory / "fifo")
    return each


def let_go(each):
    """End what blocks, however it does."""
    (each.directory / "go").touch()
    try:
        descriptor = os.open(each.directory / "fifo", os.O_WRONLY | os.O_NONBLOCK)
    except OSError:  # nobody reads it
        return
    os.write(descriptor, b"g" * 8)
    os.close(descriptor)


def has_begun(each):
    """Whether a view blocks, or has."""
    return (each.directory / "begun").exists()


def read_all(connections, paths):
    """Take the answers of connections in a thread each, all at once; give them in order."""
    answers = [None] * len(connections)

    def take(index):
        answers[index] = connections[index].take(paths[index])

    threads = [threading.Thread(target=take, args=(index,)) for index in range(len(connections))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers
