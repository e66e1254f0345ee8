"""The lifespan of an ASGI application in a real cluster: modes, failures, drain; and the app's import."""

import json
import signal

import pytest
from harness import until

from forkcluster.errors import EXIT_APPLICATION

PLAIN = """
import asyncio, json, os, sys

async def answer(scope, send):
    state = scope.get("state")
    loop = type(asyncio.get_running_loop()).__module__.partition(".")[0]
    body = json.dumps({"state": state, "loop": loop, "uvloop": "uvloop" in sys.modules, "pid": os.getpid()})
    if state is not None:
        state["seen"] = state.get("seen", 0) + 1
        state.setdefault("shared", []).append(1)
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body.encode()})
"""
WITH = (
    PLAIN
    + """
async def app(scope, receive, send):
    if scope["type"] != "lifespan":
        return await answer(scope, send)
    assert scope["asgi"] == {"version": "3.0", "spec_version": "2.0"}
    assert (await receive()) == {"type": "lifespan.startup"}
    BODY
    assert (await receive()) == {"type": "lifespan.shutdown"}
    END
"""
)
COMPLETE = 'scope["state"].update(a=1, shared=[]); await send({"type": "lifespan.startup.complete"})'
DONE = 'print("shut down", flush=True); await send({"type": "lifespan.shutdown.complete"})'
WITHOUT = (
    PLAIN
    + "async def app(scope, receive, send):\n"
    + "    assert scope['type'] == 'http'\n    await answer(scope, send)\n"
)


def with_lifespan(body=COMPLETE, end=DONE):
    """An application whose startup and shutdown are these statements."""
    return WITH.replace("BODY", body).replace("END", end)


@pytest.fixture
def serve(server):
    """Boot a server of this source; `start` only starts it."""

    def make(source, *arguments, workers=1, boot=True):
        each = server(arguments=arguments, workers=workers, target="app")
        (each.directory / "app.py").write_text(source)
        return each.boot() if boot else each.start()

    return make


def told(each):
    """What the application answers."""
    status, body = each.get()
    assert 200 == status
    return json.loads(body)


# -- the conversation ------------------------------------------------------------------------------------


def test_state_of_startup_is_in_every_scope_as_a_copy(serve):
    """A request may set keys of its own; what the values refer to is shared."""
    each = serve(with_lifespan())
    assert [{"a": 1, "shared": [1] * n} for n in range(3)] == [told(each)["state"] for _ in range(3)]


def test_shutdown_is_awaited(serve):
    """The worker ends after lifespan.shutdown.complete, in order."""
    each = serve(with_lifespan(end="await asyncio.sleep(0.3); " + DONE))
    assert 0 == each.stop()
    assert 1 == each.output.count("shut down")
    each.wait_for("worker ended.*exited with status 0")


def test_every_worker_has_its_own_lifespan(serve):
    """Startup runs in each worker, not in the mold."""
    body = "print('starts', os.getpid(), flush=True); " + COMPLETE
    each = serve(with_lifespan(body), workers=2)
    assert 0 == each.stop()
    assert 2 == len(set(each.output.split("starts ")[1:]))
    assert 2 == each.output.count("shut down")


def test_shutdown_that_takes_too_long_is_given_up(serve):
    """It has what is left of the drain, and then the worker ends without a kill."""
    each = serve(with_lifespan(end="await asyncio.Event().wait()"), "--drain-timeout", "1.5")
    assert 0 == each.stop()
    assert "the application's shutdown took longer than" in each.output
    each.wait_for("worker ended.*exited with status 0")


@pytest.mark.parametrize(
    ("end", "words"),
    [
        (
            'await send({"type": "lifespan.shutdown.failed", "message": "no flush"})',
            "shutdown failed: no flush",
        ),
        ("raise LookupError('at the end')", "LookupError: at the end"),
    ],
    ids=["failed", "raised"],
)
def test_shutdown_that_fails_is_logged(serve, end, words):
    """The stop goes on."""
    each = serve(with_lifespan(end=end))
    assert 0 == each.stop()
    assert words in each.output


def test_application_may_return_after_startup(serve):
    """Then it is not asked for shutdown."""
    each = serve(with_lifespan(COMPLETE + "; return"))
    assert 200 == each.get()[0]
    assert 0 == each.stop()
    assert "error" not in each.output


# -- modes -----------------------------------------------------------------------------------------------


def test_auto_serves_what_knows_no_lifespan(serve):
    """The exception is told at debug level only, and there is no state."""
    each = serve(WITHOUT, "--log-level", "debug")
    assert None is told(each)["state"]
    each.wait_for("takes no part in the lifespan protocol.*AssertionError")
    assert "Traceback" not in each.output


def test_auto_is_silent_about_it(serve):
    """At the usual level."""
    each = serve(WITHOUT)
    assert 200 == each.get()[0]
    assert 0 == each.stop()
    assert "lifespan" not in each.output


def test_on_wants_a_lifespan(serve):
    """The application's own exception fails the boot."""
    each = serve(WITHOUT, "--lifespan", "on", boot=False)
    assert EXIT_APPLICATION == each.wait()
    assert 1 == each.output.count("AssertionError")
    assert "forkcluster/worker" not in each.output


def test_on_wants_an_answer(serve):
    """Returning without startup.complete is none."""
    source = PLAIN + "async def app(scope, receive, send):\n    pass\n"
    each = serve(source, "--lifespan", "on", boot=False)
    assert EXIT_APPLICATION == each.wait()
    assert "without lifespan.startup.complete" in each.output


def test_off_never_calls_it(serve):
    """No scope of that type, no state."""
    each = serve(with_lifespan("raise LookupError('called')"), "--lifespan", "off")
    assert None is told(each)["state"]
    assert 0 == each.stop()
    assert "called" not in each.output


# -- startup that fails ----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["auto", "on"])
def test_startup_failed_fails_the_boot_with_its_message(serve, mode):
    """Once, however many workers; the exit code says application."""
    body = 'await send({"type": "lifespan.startup.failed", "message": "no database"}); '
    body += 'raise RuntimeError("again")'
    each = serve(with_lifespan(body), "--lifespan", mode, workers=3, boot=False)
    assert EXIT_APPLICATION == each.wait()
    assert 1 == each.output.count("startup failed: no database")
    assert "never retrieved" not in each.output


def test_startup_that_hangs_ends_at_boot_timeout(serve):
    """The master has the clock."""
    each = serve(with_lifespan("await asyncio.Event().wait()"), "--boot-timeout", "1.5", boot=False)
    assert EXIT_APPLICATION == each.wait()


def test_exit_in_startup_fails_the_boot(serve):
    """sys.exit is no way to become ready."""
    each = serve(with_lifespan("sys.exit(5)"), boot=False)
    assert EXIT_APPLICATION == each.wait()


def test_failing_reload_keeps_the_old_generation(serve):
    """A startup that fails in the new generation changes nothing."""
    each = serve(with_lifespan(), workers=2)
    before = each.worker_pids()
    body = 'await send({"type": "lifespan.startup.failed", "message": "bad release"})'
    (each.directory / "app.py").write_text(with_lifespan(body))
    each.reload("reload failed|rolled back|reload refused")
    assert "bad release" in each.output
    assert before == each.worker_pids()
    assert 200 == each.get()[0]


def test_reload_shuts_the_old_generation_down(serve):
    """New startup, old shutdown."""
    each = serve(with_lifespan())
    (each.directory / "app.py").write_text(with_lifespan(COMPLETE.replace("a=1", "a=2")))
    each.reload()
    each.wait_for("shut down")
    assert 2 == told(each)["state"]["a"]


def test_lifespan_that_dies_while_serving_is_logged_and_with_on_replaced(serve):
    """With auto the worker serves on; with on it is replaced without a gap."""
    body = COMPLETE + "; await asyncio.sleep(0.2); raise LookupError('while serving')"
    each = serve(with_lifespan(body))
    each.wait_for("LookupError: while serving")
    assert 200 == each.get()[0]
    each.stop()
    each = serve(with_lifespan(body), "--lifespan", "on")
    first = each.worker_pids()
    each.wait_for("asks to be retired.*lifespan")
    until(lambda: each.worker_pids() and not first & each.worker_pids(), "a replacement")


# -- loops and imports -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("choice", "loop"), [("auto", "uvloop"), ("uvloop", "uvloop"), ("asyncio", "asyncio")]
)
def test_loop_is_the_one_asked_for(serve, choice, loop):
    """auto takes uvloop, which is installed with us."""
    each = serve(with_lifespan(), "--loop", choice)
    assert [loop, loop == "uvloop"] == [told(each)["loop"], told(each)["uvloop"]]


def test_mold_does_not_import_uvloop(serve):
    """Only what serves has a loop."""
    each = serve(with_lifespan())
    assert "uvloop" == told(each)["loop"]
    (mold,) = each.processes("mold")
    with open(f"/proc/{mold.pid}/maps") as maps:
        assert "uvloop" not in maps.read()


NEEDS_A_LOOP = "import asyncio\nLOOP = asyncio.get_running_loop()\n"


@pytest.mark.parametrize("arguments", [(), ("--preload", "never"), ("--interface", "asgi")])
def test_import_that_wants_a_running_loop_is_served_from_a_bare_mold(serve, arguments):
    """Such an import is no broken release: the workers import the app in theirs."""
    each = serve(NEEDS_A_LOOP + with_lifespan(), *arguments, workers=2)
    assert 1 == told(each)["state"]["a"]
    assert "Traceback" not in each.output


NEEDS_NO_LOOP = """
import asyncio, sqlite3
BASE = sqlite3.connect("base.db")
BASE.execute("create table if not exists t (x)")
try:
    asyncio.get_running_loop()
except RuntimeError:
    pass
else:
    raise RuntimeError("imported in a running loop")
"""


@pytest.mark.parametrize("arguments", [(), ("--preload", "never"), ("--interface", "asgi")])
def test_import_that_wants_no_running_loop_is_repeated_without_one(serve, arguments):
    """What the mold has imported and must not fork is imported by the workers in the same way."""
    each = serve(NEEDS_NO_LOOP + with_lifespan(), *arguments, workers=2)
    assert 1 == told(each)["state"]["a"]
    assert "Traceback" not in each.output


def test_preload_always_insists(serve):
    """Then it is an error, with its traceback."""
    each = serve(NEEDS_A_LOOP + with_lifespan(), "--preload", "always", boot=False)
    assert EXIT_APPLICATION == each.wait()
    assert "no running event loop" in each.output


def test_bare_mold_serves_asgi_and_wsgi(serve):
    """The interface is found out in the worker."""
    assert 1 == told(serve(with_lifespan(), "--preload", "never"))["state"]["a"]
    source = (
        "def application(environ, start_response):\n    start_response('200 OK', [])\n    return [b'wsgi']\n"
    )
    each = serve(source, "--preload", "never")
    (each.directory / "app.py").write_text(source)
    assert 200 == each.get()[0]


@pytest.mark.parametrize("loaded", ["class", "function"])
def test_asgi_2_is_served(serve, loaded):
    """Two calls instead of one."""
    source = {
        "class": "class app:\n    def __init__(self, scope): self.scope = scope\n"
        "    async def __call__(self, receive, send): await answer(self.scope, send)\n",
        "function": "def app(scope):\n    async def instance(receive, send): await answer(scope, send)\n"
        "    return instance\n",
    }
    each = serve(PLAIN + source[loaded], "--lifespan", "off")
    assert None is told(each)["state"]


def test_tasks_of_the_application_end_with_the_worker(serve):
    """They are cancelled, and their exceptions are told."""
    body = COMPLETE + "; global T; T = asyncio.create_task(forever())"
    source = with_lifespan(body).replace(
        "async def app(",
        "async def forever():\n    try:\n        await asyncio.Event().wait()\n"
        "    finally:\n        print('task ended', flush=True)\n\nasync def app(",
    )
    each = serve(source)
    assert 0 == each.stop(signal.SIGTERM)
    assert "task ended" in each.output
