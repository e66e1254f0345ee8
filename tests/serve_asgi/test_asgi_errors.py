"""What the application does wrong: the client sees it, the log says it, the next request does not feel it."""

import pytest
from wire import CutError

BEFORE = [
    ("raise_first", "ValueError: before the start"),
    ("raise_started", "ValueError: started, nothing sent"),
    ("return_first", "returned without completing its response"),
    ("return_started", "returned without completing its response"),
    ("raise_cancelled", "CancelledError"),
    ("await_cancelled", "CancelledError"),
    ("system_exit", "SystemExit: 3"),
    ("late_system_exit", "SystemExit: 3"),
    ("raises_at_once", "ValueError: before the coroutine"),
    ("gives_none", "must return a coroutine, not NoneType"),
    ("wrong_signature", "TypeError"),
]


@pytest.mark.parametrize(("case", "words"), BEFORE, ids=[case for case, _ in BEFORE])
def test_failure_before_the_answer(live, case, words):
    """Nothing sent yet: 500 instead of what was started, the traceback in the log, the connection goes on.

    Clause: ASGI, "Error Handling"; RFC 9110 section 15.6.1 (500).
    """
    mark = len(live.output)
    with live.wire() as wire:
        answer = wire.ask(case, target="/told?in=log")
        assert (500, b"500 Internal Server Error", None) == (answer.status, answer.body, answer.get("x-mine"))
        assert b"hello" == wire.ask("hello").body
    live.wait_for(words, since=mark)
    live.wait_for("/told", since=mark)


@pytest.mark.parametrize("case", ["raise_midway", "return_midway"])
def test_failure_in_the_answer(live, case):
    """Part of the answer is out: the connection is cut, and nothing makes the part look whole.

    Clause: RFC 9112 section 8 (incomplete messages).
    """
    mark = len(live.output)
    with live.wire() as wire:
        wire.request(case)
        with pytest.raises(CutError):
            wire.answer()
    live.wait_for("midway|without completing", since=mark)


def test_failure_after_the_answer(live):
    """The answer is whole: the failure is told in the log with its request, the connection goes on.

    Clause: ASGI, "Error Handling".
    """
    mark = len(live.output)
    with live.wire() as wire:
        assert "whole" == wire.ask("raise_after", target="/told-late?in=log").json
        assert b"hello" == wire.ask("hello").body
    live.wait_for("ValueError: after the answer", since=mark)
    live.wait_for(r"error in the application .*method=\"?GET\"? .*target=\"?/told-late", since=mark)


def test_failure_with_a_body_unread(live):
    """500 to a request whose body is still to come ends the connection.

    Clause: RFC 9112 section 9.3 (persistence).
    """
    with live.wire() as wire:
        wire.request("raise_first", "POST", headers=[("Content-Length", "100")])
        answer = wire.answer()
        assert (500, "close") == (answer.status, answer.get("connection"))


def test_client_that_left_is_no_error(live, key):
    """The OSError that send() raises for a client that left is not told as a fault of the application.

    Clause: ASGI HTTP, "Disconnected Client" send exception.
    """
    mark = len(live.output)
    wire = live.wire(receive_buffer=4096)
    wire.request("flood", target=f"/?{key}")
    wire.head()
    wire.reset()
    live.ask("raise_first")
    live.wait_for("ValueError: before the start", since=mark)
    assert "OSError" not in live.output[mark:]


def leave(live, case, key):
    """Leave in the middle of an answer, and wait until its application knows."""
    wire = live.wire(receive_buffer=4096)
    wire.request(case, target=f"/?{key}")
    wire.head()
    wire.reset()
    live.wait_for_notes(key)


@pytest.mark.parametrize("case", ["leave_by_own_error", "leave_by_cause", "leave_by_group"])
def test_client_that_left_is_no_error_by_another_name_either(live, key, case):
    """Frameworks make an exception of their own of that OSError, as Starlette does, or a task group one.

    Clause: ASGI HTTP, "Disconnected Client" send exception.
    """
    mark = len(live.output)
    leave(live, case, key)
    live.ask("raise_first")
    live.wait_for("ValueError: before the start", since=mark)
    assert "ClientDisconnectError" not in live.output[mark:]


@pytest.mark.parametrize("case", ["leave_and_fail", "fail_after_leaving", "fail_in_cleaning_up"])
def test_fault_after_the_client_left_is_told(live, key, case):
    """What is wrong beside the departure is in the log, as ever."""
    mark = len(live.output)
    leave(live, case, key)
    live.wait_for("a fault beside it", since=mark)


BEFORE_START = [
    ("none", "TypeError: an ASGI message must be a dict"),
    ("list", "TypeError: an ASGI message must be a dict"),
    ("text", "TypeError: an ASGI message must be a dict"),
    ("empty", "without a type"),
    ("type-none", "unexpected ASGI message None"),
    ("unknown", "'http.response.startle' before http.response.start"),
    ("websocket", "'websocket.accept' before"),
    ("request", "'http.request' before"),
    ("body", "'http.response.body' before http.response.start"),
    ("trailers", "'http.response.trailers' before"),
    ("pathsend", "'http.response.pathsend' before"),
    ("no-status", "ValueError: http.response.start: status must be"),
    ("status-text", "TypeError"),
    ("status-100", "from 200 to 999, not 100"),
    ("status-0", "from 200 to 999, not 0"),
    ("status-big", "from 200 to 999, not 1000"),
    ("status-huge", "Error"),
    ("headers-none", "TypeError: headers must be an iterable"),
    ("headers-number", "TypeError: headers must be an iterable"),
    ("header-single", "ValueError: a header must be a pair"),
    ("header-triple", "ValueError: a header must be a pair"),
    ("name-text", "TypeError: a header name must be bytes, not str: 'x'"),
    ("value-text", "TypeError: a header value must be bytes, not str: 'y'"),
    ("name-empty", "ValueError: malformed header name"),
    ("name-space", "ValueError: malformed header name"),
    ("name-colon", "ValueError: malformed header name"),
    ("name-crlf", "ValueError: malformed header name"),
    ("value-crlf", "ValueError: control character in the value of header b'x'"),
    ("value-lf", "ValueError: control character"),
    ("value-cr", "ValueError: control character"),
    ("value-nul", "ValueError: control character"),
    ("length-text", "ValueError: Content-Length"),
    ("length-sign", "ValueError: Content-Length"),
    ("length-list", "ValueError: Content-Length"),
    ("hint-crlf", "ValueError: http.response.early_hint: control character"),
    ("hint-text", "TypeError: a link must be bytes"),
    ("hint-none", "TypeError: http.response.early_hint: links"),
]


@pytest.mark.parametrize(("name", "words"), BEFORE_START, ids=[name for name, _ in BEFORE_START])
def test_event_refused_before_the_start(live, name, words):
    """An event that may not come, or is malformed, raises in send() and says why; a sound one may follow.

    Clause: ASGI, "Error Handling".
    """
    with live.wire() as wire:
        assert words in wire.ask("bad_event", target=f"/before/{name}").json
        assert b"hello" == wire.ask("hello").body


AFTER_START = [
    ("start", "'http.response.start' after the response was started"),
    ("unknown", "'http.response.startle' after the response was started"),
    ("websocket", "'websocket.accept' after"),
    ("trailers", "'http.response.trailers' after"),
    ("none", "TypeError"),
    ("empty", "without a type"),
    ("body-text", "TypeError"),
    ("body-none", "TypeError"),
    ("body-list", "TypeError"),
    ("path-missing", "FileNotFoundError"),
    ("path-folder", "OSError"),
    ("path-fifo", "OSError"),
    ("path-none", "ValueError: http.response.pathsend: no path"),
    ("file-none", "ValueError: http.response.zerocopysend: no file"),
    ("file-number", "ValueError: http.response.zerocopysend: the file must be"),
    ("file-object", "TypeError"),
]


@pytest.mark.parametrize("when", ["started", "midway"])
@pytest.mark.parametrize(("name", "words"), AFTER_START, ids=[name for name, _ in AFTER_START])
def test_event_refused_after_the_start(live, name, words, when):
    """The same after http.response.start, and after the first piece of the body."""
    with live.wire() as wire:
        assert words in wire.ask("bad_event", target=f"/{when}/{name}").json
        assert b"hello" == wire.ask("hello").body


UNDECIDED = [("before", "start-undecided"), ("started", "body-undecided"), ("started", "file-undecided")]


@pytest.mark.parametrize(("when", "name"), UNDECIDED, ids=[name for _, name in UNDECIDED])
def test_flag_that_is_neither_true_nor_false(live, when, name):
    """The exception of a flag's __bool__ is what send() raises, and nothing of the event is taken.

    Clause: ASGI, "Error Handling".
    """
    with live.wire() as wire:
        answer = wire.ask("bad_event", target=f"/{when}/{name}", headers=[("X-Bare", "1")])
        assert "ValueError: undecided" == answer.json
        assert b"hello" == wire.ask("hello").body


def test_refused_start_leaves_nothing(live):
    """A start that was refused may be given anew; no field or length of the first is left.

    Clause: ASGI HTTP, "Response Start".
    """
    answer = live.ask("start_again")
    assert (200, None) == (answer.status, answer.get("x-left"))
    assert "malformed header name" in answer.json


def test_forgotten_await(live):
    """send() without await does nothing, and Python says so as of any coroutine.

    Clause: ASGI, "Applications": send is awaited.
    """
    mark = len(live.output)
    assert "sent" == live.ask("forgotten_await", headers=[("X-Bare", "1")]).json
    live.wait_for(r"RuntimeWarning: send\(\) of an ASGI request was never awaited", since=mark)
