"""Twenty thousand requests of many kinds leave a worker as it was: memory, descriptors, objects, tasks."""

import contextlib
import os

import pytest
from harness import until
from wire import BARE, CutError, chunked, head

SANITIZED = "libasan" in os.environ.get("LD_PRELOAD", "")  # keeps what was freed, and is slow
REQUESTS = 2_000 if SANITIZED else 20_000
CHUNKED = [("Transfer-Encoding", "chunked")]
TE = [("TE", "trailers")]


def request(*arguments, data=b"", **settings):
    return arguments, settings, data


KEPT = [  # answered on a connection that goes on
    request("hello"),
    request("hello", "HEAD"),
    request("own_scope", target="/caf%C3%A9/" + "x" * 300 + "?a=b"),
    request("events", "POST", body=b"x" * 100, data=b"x" * 100),
    request("digest", "POST", headers=CHUNKED, data=chunked(b"x" * 5000, b"y" * 5000)),
    request("headers", headers=[("X-Long", "v" * 3000)]),
    request("big"),
    request("with_length", target="/3/he/llo"),
    request("trailers", headers=TE),
    request("hints"),
    request("pathsend", target="/small.txt"),
    request("pathsend", target="/big.bin"),
    request("zerocopy", target="/?at=3"),
    request("zerocopy_parts"),
    request("status", target="/304"),
    request("bad_event", target="/before/value-crlf"),
    request("bad_event", target="/midway/start"),
    request("bad_event", target="/started/path-missing"),
    request("raise_first"),
    request("system_exit"),
    request("raise_cancelled"),
    request("gives_none"),
    request("custom_awaitable"),
    request("is_disconnected"),
    request("anyio_group"),
    request("gather_sends"),
    request("await_again"),
    request("start_again"),
    request("context"),
    request("after_completion"),
    request("waiting_at_completion"),
    request("raise_after"),
]
CUT = [  # the connection ends with it
    request("return_midway"),
    request("raise_midway"),
    request("missing_trailers", headers=TE),
    request("with_length", target="/9/hello"),
    request("answer_after_disconnect", "POST", headers=CHUNKED, data=b"zz\r\n"),
    request("close"),
]
LEFT = [  # the client leaves
    request("until_disconnect", "POST", headers=[("Content-Length", "9")], data=b"1234"),
    request("digest", "POST", headers=CHUNKED, data=b"5\r\n12"),
    request("watch"),
    request("two_leaving_waiters"),
    request("flood"),
    request("flood_until_cut"),
    request("echo", "POST", headers=CHUNKED, data=b"5\r\nhello\r\n"),
]


def make(requests):
    """The bytes of requests; whether they go by the validator is known only now."""
    return [head(*arguments, **settings) + data for arguments, settings, data in requests]


def one_round(server):
    """Ask everything once; how many requests that was."""
    with server.wire() as wire:
        for request in make(KEPT):
            wire.send(request)
            answer = wire.answer("HEAD" if request.startswith(b"HEAD") else "GET")
            while answer.status == 103:
                answer = wire.answer()
        for _ in range(8):  # fast ones, pipelined
            wire.send(make(KEPT[:1])[0] * 30)
            for _ in range(30):
                wire.answer()
    for request in make(CUT):
        with server.wire() as wire, contextlib.suppress(CutError):
            wire.send(request)
            wire.answer()
    for request in make(LEFT):
        with server.wire(receive_buffer=4096) as wire:
            wire.send(request)
    server.ask("forget")
    server.drain()
    server.output = server.output[:5000]
    return len(KEPT) + 240 + len(CUT) + len(LEFT) + 1


@pytest.mark.parametrize("bare", [True, False], ids=["bare", "validated"])
def test_nothing_is_left_behind(live, bare):
    """After a warm-up, memory, descriptors, objects and tasks do not grow with the number of requests."""
    BARE[:] = ["bare"] * bare
    try:
        for _ in range(12):
            one_round(live)
        before = until(lambda: at_rest(live), "the worker at rest")
        done = 0
        while done < (REQUESTS if bare else REQUESTS // 4):
            done += one_round(live)
        after = until(lambda: at_rest(live), "the worker at rest")
    finally:
        BARE.clear()
    assert before["descriptors"] == after["descriptors"]
    assert before["tasks"] == after["tasks"]
    grown = {kind: count - before["kinds"].get(kind, 0) for kind, count in after["kinds"].items()}
    assert {} == {kind: count for kind, count in grown.items() if count > 20}
    assert SANITIZED or after["resident"] - before["resident"] < 2048


def at_rest(server):
    """The worker's resources, once only the server, its lifespan and the asking request run."""
    found = server.ask("resources").json
    return found if found["tasks"] <= 3 else None
