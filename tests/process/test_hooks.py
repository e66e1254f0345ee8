"""The user's own functions, at their moments."""

import signal

import pytest
from harness import until

from forkcluster.errors import EXIT_APPLICATION

HOOKS = """
import os, sys, threading
def note(occasion):
    loaded = "app" in sys.modules
    where = f"g{occasion.generation} slot={occasion.slot} app={loaded}"
    print(f"<{occasion.hook} {occasion.app} {where}>", flush=True)
def fail(occasion):
    raise RuntimeError(f"no luck in {occasion.hook}")
def hang(occasion):
    threading.Event().wait()
"""
MOMENTS = ("on-starting", "when-ready", "on-reload", "post-fork", "worker-exit")


def hooked(server, *arguments, **settings):
    each = server(arguments=("--observe", "0", *arguments), **settings)
    (each.directory / "hooks.py").write_text(HOOKS)
    return each


def test_every_hook_is_called_at_its_moment(server):
    """In mold or worker, before or after the app is there, with the occasion."""
    each = hooked(server, *(word for name in MOMENTS for word in (f"--{name}", "hooks:note")))
    each.boot()
    each.wait_for("<on_starting app g1 slot=None app=False>")
    each.wait_for("<post_fork app g1 slot=0 app=True>")
    each.wait_for("<when_ready app g1 slot=None app=True>")
    each.reload()
    each.wait_for("<on_reload app g2 slot=None app=False>")
    each.wait_for("<post_fork app g2 slot=0 app=True>")
    each.wait_for("<worker_exit app g1 slot=0 app=True>")
    assert 0 == each.stop()
    assert "<worker_exit app g2 slot=0 app=True>" in each.output
    assert [1, 1] == [each.output.count("<on_starting"), each.output.count("<when_ready")]


def test_mold_that_is_started_again_does_not_call_on_starting_again(server):
    """The app starts once."""
    each = hooked(server, "--on-starting", "hooks:note").boot()
    (mold,) = each.processes("mold")
    each.send(signal.SIGKILL, mold.pid)
    until(lambda: [p for p in each.processes("mold") if p.pid != mold.pid and "g1" in p.title], "a new mold")
    each.stop()
    assert 1 == each.output.count("<on_starting")


@pytest.mark.parametrize("name", ["on-starting", "post-fork"])
@pytest.mark.parametrize(
    ("hook", "words"),
    [
        ("hooks:fail", "RuntimeError: no luck in"),
        ("hooks:hang", "took longer than 0.3 s"),
        ("hooks:none", "looking for the hook"),
        ("nowhere:none", "No module named"),
    ],
)
def test_hook_that_fails_before_the_app_serves_fails_the_boot(server, name, hook, words):
    """With its reason, and the exit code of an application's fault."""
    each = hooked(server, f"--{name}", hook, "--hook-timeout", "0.3")
    assert EXIT_APPLICATION == each.start().wait()
    assert words in each.output


def test_hook_that_fails_on_a_reload_keeps_the_old_generation(server):
    """It is part of the transaction."""
    each = hooked(server, "--on-reload", "hooks:fail").boot()
    each.reload("reload failed")
    each.wait_for("no luck in on_reload")
    assert 200 == each.get()[0]


def test_when_ready_that_fails_is_logged_and_changes_nothing(server):
    """The app serves already."""
    each = hooked(server, "--when-ready", "hooks:fail").boot()
    each.wait_for("error in the hook when_ready")
    each.wait_for("no luck in when_ready")
    assert 200 == each.get()[0]
    each.reload()


def test_readiness_goes_first_and_serving_ends_after_drain_delay(server):
    """A load balancer has time to look away: requests are answered during the delay."""
    from forkcluster.manager.control import ask

    each = server(arguments=("--drain-delay", "1.5")).boot()
    assert ask(each.control, "status")["ready"]
    each.send(signal.SIGTERM)
    each.wait_for("stopping")
    assert not ask(each.control, "status")["ready"]
    assert 200 == each.get()[0]
    assert 0 == each.wait()


def test_quit_does_not_wait_for_drain_delay(server):
    """At once is at once, even after a polite TERM."""
    each = server(arguments=("--drain-delay", "600")).boot()
    each.send(signal.SIGTERM)
    each.wait_for("stopping")
    assert 0 == each.stop(signal.SIGQUIT)
