"""Lines of the access log: every atom says what it should, and no byte of a client can break a line."""

import json
import random
import re

import pytest

from forkcluster.options import checks

SOURCES = (
    "tests/native/logformat_run.c",
    "csrc/fields.c",
    "csrc/syntax.c",
    "csrc/logformat.c",
    "csrc/logline.c",
    "csrc/logjson.c",
)
RESPONSE = "Content-Type: text/html\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\n"


@pytest.fixture(autouse=True)
def far_zone(monkeypatch):
    """A zone that is neither UTC nor a whole number of hours away."""
    monkeypatch.setenv("TZ", "Nowhere+3:30")


@pytest.fixture
def line(passes):
    """One line of a request for /a%20b?x=1 at 2026-11-23T09:56:19 UTC that took 12.3 s."""

    def make(text, *fields, cap=4096, path="/a%20b", query="x=1", method="GET"):
        return passes("logformat", SOURCES, text, str(cap), method, path, query, RESPONSE, *fields)

    return make


GUNICORN = {
    "%(h)s": "192.0.2.1",
    "%(l)s": "-",
    "%(u)s": "-",
    "%(t)s": "[23/Nov/2026:06:26:19 -0330]",
    "%(r)s": "GET /a%20b?x=1 HTTP/1.1",
    "%(m)s": "GET",
    "%(U)s": "/a%20b",
    "%(q)s": "x=1",
    "%(H)s": "HTTP/1.1",
    "%(s)s": "200",
    "%(B)s": "5120",
    "%(b)s": "5120",
    "%(f)s": "-",
    "%(a)s": "-",
    "%(T)s": "12",
    "%(M)s": "12345",
    "%(D)s": "12345678",
    "%(L)s": "12.345678",
    "%(p)s": "<77>",
    "%(slot)s": "3",
    "%({Host}i)s": "-",
    "%({Content-Type}o)s": "text/html",
}

APACHE = {
    "%h": "192.0.2.1",
    "%a": "192.0.2.1",
    "%l": "-",
    "%u": "-",
    "%t": "[23/Nov/2026:06:26:19 -0330]",
    "%r": "GET /a%20b?x=1 HTTP/1.1",
    "%m": "GET",
    "%U": "/a%20b",
    "%q": "?x=1",
    "%H": "HTTP/1.1",
    "%s": "200",
    "%>s": "200",
    "%<s": "200",
    "%B": "5120",
    "%b": "5120",
    "%O": "5300",
    "%T": "12",
    "%D": "12345678",
    "%P": "77",
    "%%": "%",
    "%{set-cookie}o": "a=1, b=2",
    "%{X-Nothing}o": "-",
    "plain": "plain",
    "": "",
}


@pytest.mark.parametrize(("text", "expected"), [*GUNICORN.items(), *APACHE.items()])
def test_each_atom(line, text, expected):
    """An atom of gunicorn's or Apache's means what it means there."""
    assert f"<{expected}>\n" == line(f"<{text}>")
    checks.access_format(f"%%<{text}>")


def test_common(line):
    """The Common Log Format."""
    expected = '192.0.2.1 - - [23/Nov/2026:06:26:19 -0330] "GET /a%20b?x=1 HTTP/1.1" 200 5120\n'
    assert expected == line("common")


def test_combined_ends_with_the_duration(line):
    """The combined format with microseconds behind it."""
    expected = (
        '192.0.2.1 - - [23/Nov/2026:06:26:19 -0330] "GET /a%20b?x=1 HTTP/1.1" 200 5120 '
        '"http://r.example/" "curl/8" 12345678\n'
    )
    assert expected == line("combined", "Referer", "http://r.example/", "User-Agent", "curl/8")


def test_json_has_every_member(line):
    """One object with numbers as numbers and the time in UTC."""
    text = line(
        "json",
        "Host",
        "a.example",
        "Referer",
        "r",
        "User-Agent",
        "u",
        "X-Request-ID",
        "id",
        "Authorization",
        "Basic Ym9iOng=",
    )
    assert {
        "time": "2026-11-23T09:56:19.000042Z",
        "status": 200,
        "duration_us": 12345678,
        "body_bytes": 5120,
        "bytes": 5300,
        "slot": 3,
        "pid": 77,
        "scheme": "https",
        "remote": "192.0.2.1",
        "method": "GET",
        "request_id": "id",
        "host": "a.example",
        "user": "bob",
        "path": "/a%20b",
        "query": "x=1",
        "referer": "r",
        "user_agent": "u",
    } == json.loads(text)


def test_a_field_of_several_lines_is_joined(line):
    """As RFC 9110 section 5.3 has it, for known and unknown names in any case."""
    assert "text/html, */*|1, 2\n" == line(
        "%{ACCEPT}i|%{x-other}i", "Accept", "text/html", "X-Other", "1", "accept", "*/*", "x-OTHER", "2"
    )


def test_a_refused_request_has_dashes(line):
    """What could not be read is a dash, not an empty place that shifts the columns."""
    expected = '192.0.2.1 - - [23/Nov/2026:06:26:19 -0330] "-" 400 - - -\n'
    assert expected == line('%h %l %u %t "%r" %>s %b %m %U', method="", path="", query="")


@pytest.mark.parametrize(
    ("credentials", "user"),
    [
        ("Basic Ym9iOnNlY3JldA==", "bob"),
        ("basic Ym9i", "bob"),
        ("Basic OnNlY3JldA==", "-"),
        ("Bearer Ym9iOnNlY3JldA==", "-"),
        ("Basic !!!", "-"),
        ("Basic ", "-"),
        ("Basic", "-"),
        ("Basic Ig0KOng=", "\\x22\\x0d\\x0a"),
        ("Basic " + "QUFB" * 200, "A" * 128),
    ],
)
def test_the_user_of_basic_credentials(line, credentials, user):
    """The name before the colon, never the password, escaped like all a client sends."""
    assert f"{user}\n" == line("%u", "Authorization", credentials)


HOSTILE = "".join(chr(c) for c in range(1, 256))


def test_every_byte_is_escaped_in_text(line):
    """Control characters, quotes, backslashes and bytes over 0x7e are \\xhh, all others themselves."""
    value = bytes(range(1, 256))
    expected = "".join(
        chr(c) if 0x20 <= c <= 0x7E and chr(c) not in '"\\' else f"\\x{c:02x}" for c in range(1, 256)
    )
    assert f'"{expected}"\n' == line('"%{User-Agent}i"', "User-Agent", value)


def test_every_byte_is_escaped_in_json(line):
    """A JSON reader gets each byte back as the code point of the same number."""
    value = bytes(range(1, 256))
    text = line("json", "User-Agent", value, path=value, query=value, cap=16384)
    entry = json.loads(text)
    assert [HOSTILE] * 3 == [entry["user_agent"], entry["path"], entry["query"]]
    assert text.isascii() and text.count("\n") == 1


@pytest.mark.parametrize("form", ["combined", "json", "%({user-agent}i)s"])
def test_an_over_long_line_is_cut_and_still_a_line(line, form):
    """Whatever the room, a line ends with its one LF, is no longer than the room, and JSON stays JSON."""
    for cap in [3, 4, 5, 30, 31, *random.Random(1).sample(range(32, 1200), 25), 4096]:
        text = line(form, "User-Agent", b'\x01"x' * 400, cap=cap, path="/" + "p" * 300)
        assert len(text) <= cap
        assert text.endswith("\n") and text.count("\n") == 1
        if form == "json":
            json.loads(text)


def test_one_long_value_leaves_room_for_the_others_in_json(line):
    """A path of 8 KiB is cut; the user agent behind it is still there."""
    entry = json.loads(line("json", "User-Agent", "curl/8", path="/" + "p" * 8192))
    assert entry["user_agent"] == "curl/8"
    assert 1000 < len(entry["path"]) < 4096


def test_an_escape_is_never_cut_in_two(line):
    """The last character of a cut line is whole."""
    for cap in range(8, 24):
        text = line("%{user-agent}i", "User-Agent", b"\x01" * 100, cap=cap)
        assert "\\x01" * ((cap - 1) // 4) + "\n" == text


@pytest.mark.parametrize(
    "text",
    [
        "%",
        "%Z",
        "%(x)s",
        "%(h)d",
        "%(h",
        "%{Host}",
        "%{Host}x",
        "%{}i",
        "%{Host",
        "%>",
        "%({Host}i)",
        "%({Host}x)s",
        "%({a}ib)s",
    ],
)
def test_an_unknown_atom_is_named(line, text):
    """A malformed format is refused with the place that is wrong."""
    assert f"access log format: '{text}' is not an atom we know\n" == line(text)
    with pytest.raises(ValueError, match=re.escape(f"{text!r} is no atom")):
        checks.access_format(f"%h{text}")


@pytest.mark.parametrize("text", ["%h\n", "%h\r%s", "\x1b[1m"])
def test_a_control_character_in_a_format_is_refused(line, text):
    """A format that would write two lines for one request is a mistake."""
    assert "control character" in line(text)
    with pytest.raises(ValueError, match="in one line"):
        checks.access_format(f"{text}%h")


def test_the_option_takes_what_is_compiled(line):
    """Whatever atoms and halves of atoms follow each other."""
    chosen = random.Random(5)
    pieces = [
        "%",
        "%%",
        "(h)s",
        "(",
        ")s",
        "{",
        "}i",
        "}",
        "h",
        ">",
        "st",
        "slot",
        "{a}i",
        "x",
        "%(h)s",
        "O",
        "f",
    ]
    for _ in range(100):
        text = "%h" + "".join(chosen.choices(pieces, k=chosen.randint(1, 5)))
        try:
            checks.access_format(text)
            told = False
        except ValueError:
            told = True
        assert told == line(text).startswith("access log format:"), text
