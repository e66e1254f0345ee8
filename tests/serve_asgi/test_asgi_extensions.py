"""The extensions: trailers, early hints, path send and zero copy send (ASGI documentation, "Extensions")."""

import pytest
from wire import CutError

TE = [("TE", "trailers"), ("Connection", "TE")]


def test_trailers(live, key):
    """Trailer fields follow the last chunk, and the connection goes on.

    Clause: ASGI extensions, "HTTP Trailers".
    """
    with live.wire() as wire:
        answer = wire.ask("trailers", target=f"/?{key}", headers=TE)
        assert (b"onetwo", (("x-sum", "1"), ("x-more", "2"))) == (answer.body, answer.trailers)
        assert b"hello" == wire.ask("hello").body
    assert "after the response was completed" in live.wait_for_notes(key)[0]


def test_body_does_not_wait_for_its_trailers(live, key):
    """What the kernel could not take goes out when the client reads, whenever the trailers come.

    Clause: ASGI extensions, "HTTP Trailers".
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("late_trailers", target=f"/?{key}", headers=TE)
        wire.head()
        assert 16 << 20 == len(wire.chunk())
        live.open(key)
        assert b"" == wire.chunk()


def test_trailers_are_for_those_who_take_them(live, key):
    """Without TE: trailers the fields are not sent (extensions, "HTTP Trailers")."""
    with live.wire() as wire:
        assert () == wire.ask("trailers", target=f"/?{key}").trailers
        assert b"hello" == wire.ask("hello").body


def test_trailers_to_http_1_0(live, key):
    """An answer that cannot carry trailers goes without.

    Clause: ASGI extensions, "HTTP Trailers".
    """
    with live.wire() as wire:
        wire.request("trailers", target=f"/?{key}", version="1.0", headers=TE)
        assert b"onetwo" == wire.answer().body


def test_malformed_trailers(live, key):
    """Trailers that would break the framing are refused; the body is over.

    Clause: ASGI extensions, "HTTP Trailers"; RFC 9110 section 6.5.1.
    """
    with live.wire() as wire:
        assert b"x" == wire.ask("bad_trailers", target=f"/?{key}", headers=TE).body
        found = live.wait_for_notes(key, 7)
    assert [True] * 7 == ["taken" not in words for words in found]
    assert "RFC 9110" in found[4]
    assert "while trailers are due" in found[6]


def test_trailers_that_never_come(live):
    """trailers was said and none came: the answer is not whole.

    Clause: ASGI extensions, "HTTP Trailers".
    """
    with live.wire() as wire:
        wire.request("missing_trailers", headers=TE)
        with pytest.raises(CutError):
            wire.answer()


def test_early_hints(live):
    """103 before the start and after it; not any more when the answer is on its way.

    Clause: ASGI extensions, "Early Hints"; RFC 8297.
    """
    with live.wire() as wire:
        wire.request("hints")
        first, second = wire.answer(), wire.answer()
        assert [("Link", "</a.css>; rel=preload"), ("Link", "</b.js>; rel=preload")] == first.headers
        assert [103, 103, "</c.js>; rel=preload"] == [first.status, second.status, second.get("link")]
        answer = wire.answer()
        assert (200, b"onetwo") == (answer.status, answer.body)


def test_early_hints_to_http_1_0(live):
    """A client of HTTP/1.0 knows no interim answers.

    Clause: RFC 9110 section 15.2 (1xx and HTTP/1.0).
    """
    with live.wire() as wire:
        wire.request("hints", version="1.0")
        assert 200 == wire.head().status


@pytest.mark.parametrize("query", ["", "length"])
@pytest.mark.parametrize("name", ["small.txt", "big.bin"])
def test_pathsend(live, key, name, query):
    """A file by its path, with its length.

    Clause: ASGI extensions, "Path Send".
    """
    content = (live.directory / name).read_bytes()
    with live.wire() as wire:
        answer = wire.ask("pathsend", target=f"/{name}?{key}{query}")
        assert (content, str(len(content))) == (answer.body, answer.get("content-length"))
        assert b"hello" == wire.ask("hello").body
    assert "after the response was completed" in live.wait_for_notes(key + query)[0]


def test_pathsend_of_a_file_whose_size_nobody_knows(live):
    """procfs says 0 and sysfs a page: what reading gives is sent.

    Clause: ASGI extensions, "Path Send".
    """
    for path in ("/proc/sys/kernel/ostype", "/sys/kernel/mm/transparent_hugepage/enabled"):
        with open(path, "rb") as file:
            content = file.read()
        answer = live.ask("pathsend_absolute", target=path)
        assert (content, str(len(content))) == (answer.body, answer.get("content-length"))


def test_big_files_take_turns(live, key):
    """A file goes in pieces between which others are served; all of it arrives, for several clients at once.

    Clause: ASGI extensions, "Path Send".
    """
    size = 6 << 20
    with (live.directory / "sparse.bin").open("wb") as file:
        file.truncate(size)
    with live.wire() as one, live.wire() as other:
        for wire in (one, other):
            wire.request("pathsend", target=f"/sparse.bin?{key}length")
        assert b"hello" == live.ask("hello").body
        for wire in (one, other):
            body = wire.answer().body
            assert (size, 0) == (len(body), len(body.strip(b"\0")))


def test_pathsend_after_a_piece(live):
    """A file after a piece of body.

    Clause: ASGI extensions, "Path Send".
    """
    assert b"before 0123456789" == live.ask("pathsend_late").body


def test_pathsend_to_head(live, key):
    """HEAD: the length, without the file.

    Clause: ASGI extensions, "Path Send"; RFC 9110 section 9.3.2 (HEAD).
    """
    with live.wire() as wire:
        assert "10" == wire.ask("pathsend", "HEAD", target=f"/small.txt?{key}length").get("content-length")
        assert b"hello" == wire.ask("hello").body


def test_pathsend_to_http_1_0(live, key):
    """A client of HTTP/1.0.

    Clause: ASGI extensions, "Path Send".
    """
    with live.wire() as wire:
        assert b"0123456789" == wire.ask("pathsend", version="1.0", target=f"/small.txt?{key}").body


ZERO_COPY = [
    ("", b"0123456789"),
    ("offset=3", b"3456789"),
    ("count=4", b"0123"),
    ("offset=3&count=4", b"3456"),
    ("offset=3&count=100", b"3456789"),
    ("offset=10", b""),
    ("offset=50", b""),
    ("count=0", b""),
    ("at=6", b"6789"),
    ("at=6&count=2", b"67"),
    ("at=6&offset=1", b"123456789"),
    ("number=1", b"0123456789"),
    ("number=1&offset=8", b"89"),
]


@pytest.mark.parametrize(("query", "body"), ZERO_COPY, ids=[query or "whole" for query, _ in ZERO_COPY])
def test_zerocopysend(live, query, body):
    """A file object or descriptor, from offset or where it stands, count bytes or to its end.

    Clause: ASGI extensions, "Zero Copy Send".
    """
    with live.wire() as wire:
        assert body == wire.ask("zerocopy", target=f"/?{query}").body
        assert b"hello" == wire.ask("hello").body


@pytest.mark.parametrize("query", ["offset=-1", "count=-1"])
def test_zerocopysend_of_nonsense(live, query):
    """Negative numbers are refused.

    Clause: ASGI extensions, "Zero Copy Send".
    """
    assert 500 == live.ask("zerocopy", target=f"/?{query}").status


def test_zerocopysend_in_parts(live):
    """Several pieces, each from where the last has ended, mixed with others.

    Clause: ASGI extensions, "Zero Copy Send".
    """
    assert b"<012345|01>" == live.ask("zerocopy_parts").body


def test_cancelled_zerocopysend_sends_from_no_other_file(live, key):
    """A send that is cancelled goes on with its file, whatever becomes of the descriptor; the next waits.

    Clause: ASGI extensions, "Zero Copy Send".
    """
    with live.wire(receive_buffer=4096) as wire:
        wire.request("zerocopy_cancelled", target=f"/?{key}")
        assert ["timeout"] == live.wait_for_notes(key)
        assert (live.directory / "big.bin").read_bytes() + b"end" == wire.answer().body
        assert b"hello" == wire.ask("hello").body
