"""Each request runs in a Task of its own, in a context of its own; and other things that run applications."""

import contextlib
import os

import pytest
from harness import until
from wire import head

pytestmark = pytest.mark.usefixtures("both_ways")


def test_contexts_are_apart(live, key):
    """What a request sets in its context no other sees, on the same connection or another.

    Clause: PEP 567 (a Task has a context of its own); ASGI, "Applications".
    """
    with live.wire() as wire:
        for name in ("a", "b", "c"):
            assert ["nobody", key + name] == wire.ask("context", target=f"/?{key}{name}").json


def test_contexts_of_pipelined_requests_are_apart(live, key):
    """A request that ends while another waits asks for the engine's next turn: not in its own context.

    Clause: PEP 567 (call_soon takes the current context, unless it is told); ASGI, "Applications".
    """
    names = [f"{key}{number}" for number in range(6)]
    with live.wire() as wire:
        for name in names:
            wire.request("context", target=f"/?{name}")
        assert [["nobody", name] for name in names] == [wire.answer().json for _ in names]


def test_contexts_of_many_clients_are_apart(live, key):
    """Clients that send a head, and then its body: turns are asked for by requests all the time.

    Clause: PEP 567 (call_soon takes the current context, unless it is told); ASGI, "Applications".
    """
    with contextlib.ExitStack() as stack:
        wires = {f"{key}{number}": stack.enter_context(live.wire()) for number in range(8)}
        for _ in range(10):
            for name, wire in wires.items():
                wire.send(head("context", "POST", target=f"/?{name}", body=b"hello"))
            for wire in wires.values():
                wire.send(b"hello")
            assert [["nobody", name] for name in wires] == [wire.answer().json for wire in wires.values()]


def test_context_of_an_application_that_is_no_coroutine_function(live):
    """An application is called inside its Task: what it sets before it gives its coroutine does not leak.

    Clause: PEP 567 (a Task has a context of its own); ASGI, "Applications".
    """
    with live.wire() as wire:
        for _ in range(3):
            assert ["nobody", True] == wire.ask("in_task").json


@pytest.mark.parametrize("case", ["custom_awaitable", "a_future"])
def test_awaitables(live, case):
    """An application may give any awaitable.

    Clause: ASGI, "Applications": a single awaitable callable.
    """
    with live.wire() as wire:
        for _ in range(3):
            assert b"hello" == wire.ask(case).body


def test_compiled_coroutine(live, key):
    """A coroutine that Cython has compiled is one, too.

    Clause: ASGI, "Applications": a single awaitable callable.
    """
    with live.wire() as wire:
        for _ in range(3):
            assert "answered" == wire.ask("compiled", target=f"/?{key}").json


@pytest.mark.parametrize("case", ["cancelled_in_compiled", "cancelled_in_bare"])
def test_cancelled_awaitable(live, key, case):
    """The Task of what is no coroutine of Python's ends cancelled like any, and says before that it waits.

    Clause: PEP 492 ("Awaitable Objects"): __await__ gives an iterator, which need not know throw().
    """
    assert 500 == live.ask(case, target=f"/?{key}").status
    state, *rest = live.wait_for_notes(key, 3)
    assert state in {"CORO_SUSPENDED", "CORO_RUNNING"}  # the second before 3.11
    assert [True, True] == rest


def test_current_task(live, key):
    """asyncio.current_task() is one Task throughout, known to all_tasks(), on the main thread.

    Clause: PEP 3156 and asyncio, "Task Object".
    """
    assert [True, True, True, True, True, "MainThread"] == live.ask("task", target=f"/?{key}").json
    assert "Task" in live.wait_for_notes(key)[0]


def test_call_soon(live, key):
    """The loop's call_soon calls later, in order, with its arguments and in the context that is asked for.

    Clause: PEP 3156, "Basic Callbacks".
    """
    first, child, seen = live.ask("soon", target=f"/?{key}").json
    assert [] == first
    assert "slept" == child
    assert [[1, 2, key], "other"] == seen


def test_requests_that_compute_let_the_loop_pass(live, key):
    """Applications that never wait, asked all at once, do not keep the loop from its other callbacks."""
    live.ask("watch_passes", target=f"/?{key}")
    with contextlib.ExitStack() as stack:
        wires = [stack.enter_context(live.wire()) for _ in range(64)]
        for wire in wires:
            wire.request("compute", target=f"/?{key}")
        passes = {wire.answer().json for wire in wires}
    live.open(key)
    assert len(passes) >= 60  # one a pass, as each takes longer than a turn may


def test_stack_of_a_task(live, key):
    """Task.get_stack() shows where the application waits.

    Clause: PEP 3156 and asyncio, "Task Object".
    """
    assert live.ask("print_stack", target=f"/?{key}").json[-1] in {
        "print_stack",
        "dispatch",
        "__call__",
        "wait",
    }


def test_task_that_cancels_itself(live):
    """A cancellation that the application catches is its own affair.

    Clause: PEP 3156 and asyncio, "Task Object".
    """
    with live.wire() as wire:
        assert "cancelled, and answered" == wire.ask("cancel_self").json
        assert b"hello" == wire.ask("hello").body


def test_sends_of_several_tasks(live):
    """send() may be called from tasks that the application makes.

    Clause: PEP 3156 and asyncio, "Task Object".
    """
    assert b"x" * 10_000 == live.ask("gather_sends").body


@pytest.mark.parametrize("way", ["exit", "return", "yield"])
def test_fork_in_a_handler(live, key, way):
    """A child that the application forks does not answer in its parent's name, even by returning."""
    with live.wire() as wire:
        child = wire.ask("fork", target=f"/{way}?{key}").json
        assert b"hello" == wire.ask("hello").body
        assert [0 if way == "exit" else 1] == live.wait_for_notes(key)
        assert child not in {process.pid for process in live.processes()}
        assert b"hello" == wire.ask("hello").body


def test_fork_keeps_no_connection(live, key):
    """A child that lives on holds neither the client's connection nor the listener."""
    with live.wire() as wire:
        wire.request("fork", target=f"/leave?{key}", headers=[("Connection", "close")])
        child = wire.answer().json
        assert wire.ended()
    until(lambda: not os.path.exists(f"/proc/{child}") or _is_zombie(child), "the child's end")


def _is_zombie(pid):
    with open(f"/proc/{pid}/stat") as file:
        return file.read().rpartition(")")[2].split()[0] == "Z"
