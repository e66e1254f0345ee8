"""Who the client is, behind proxies: csrc/forwarded.c and csrc/trust.c on a table of cases.

The cases name their clause of RFC 7239 or the pitfall they stand for. Trusted are 10.0.0.0/8 and unix sockets
unless a case says otherwise. Expected: client, port, https (1, 0, -1 unchanged), host; "-" is unchanged.
"""

import pytest

SOURCES = ("tests/native/forwarded_run.c", "csrc/forwarded.c", "csrc/trust.c")
NOTHING = "- 0 -1 -"
TRUST = "10.0.0.0/8, unix"


def forwarded(*values):
    return [f"Forwarded: {value}" for value in values]


def xff(*values):
    return [f"X-Forwarded-For: {value}" for value in values]


STANDARD = [
    ("4: one element", forwarded("for=192.0.2.43"), "192.0.2.43 0 -1 -"),
    (
        "4: all parameters",
        forwarded("for=192.0.2.60;proto=https;by=203.0.113.43;host=a.example"),
        "192.0.2.60 0 1 a.example",
    ),
    ("4: names in any case", forwarded('For="[2001:db8:cafe::17]:4711"'), "2001:db8:cafe::17 4711 -1 -"),
    ("4: proto in any case", forwarded("for=192.0.2.1;PROTO=HTTPS"), "192.0.2.1 0 1 -"),
    ("4: order of parameters is free", forwarded("host=h;proto=http;for=192.0.2.1"), "192.0.2.1 0 0 h"),
    ("4: empty pairs are allowed", forwarded(";for=192.0.2.1;;proto=https;"), "192.0.2.1 0 1 -"),
    (
        "4: unknown parameters are passed over",
        forwarded('for=192.0.2.1;secret="a,b;c=\\"d"'),
        "192.0.2.1 0 -1 -",
    ),
    ("4: a parameter twice is malformed", forwarded("for=192.0.2.1;for=192.0.2.2"), NOTHING),
    ("4: a colon needs quotes", forwarded("for=192.0.2.1:80"), NOTHING),
    ("4: brackets need quotes", forwarded("for=[2001:db8::1]"), NOTHING),
    ("4: a value is not empty", forwarded("for="), NOTHING),
    ("4: an empty quoted value names nobody", forwarded('for=""'), NOTHING),
    ("4: a pair needs its sign", forwarded("for"), NOTHING),
    ("4: no blank before the sign", forwarded("for =192.0.2.1"), NOTHING),
    ("4: pairs are separated by semicolons", forwarded("for=192.0.2.1 proto=https"), NOTHING),
    (
        "4: blanks around a semicolon are forgiven",
        forwarded("for=192.0.2.1 ; proto=https"),
        "192.0.2.1 0 1 -",
    ),
    (
        "4: the nearest untrusted hop is the client",
        forwarded("for=6.6.6.6, for=192.0.2.1"),
        "192.0.2.1 0 -1 -",
    ),
    (
        "4: trusted hops are passed",
        forwarded("for=192.0.2.1, for=10.0.0.2, for=10.0.0.1"),
        "192.0.2.1 0 -1 -",
    ),
    ("4: lines are one list", forwarded("for=6.6.6.6", "for=192.0.2.1", "for=10.0.0.1"), "192.0.2.1 0 -1 -"),
    ("4: all hops trusted: the farthest", forwarded("for=10.0.0.3, for=10.0.0.2"), "10.0.0.3 0 -1 -"),
    ("RFC 9110 5.6.1.2: empty elements", forwarded(", for=192.0.2.1 ,\t, "), "192.0.2.1 0 -1 -"),
    ("RFC 9110 5.6.4: an escaped character", forwarded('for="192.\\0.2.1"'), "192.0.2.1 0 -1 -"),
    (
        "5.3: host with a port",
        forwarded('for=192.0.2.1;host="a.example:8443"'),
        "192.0.2.1 0 -1 a.example:8443",
    ),
    ("5.3: host is an IPv6 literal", forwarded('for=192.0.2.1;host="[::1]:80"'), "192.0.2.1 0 -1 [::1]:80"),
    ("5.3: host that is none is left out", forwarded('for=192.0.2.1;host="a/b"'), "192.0.2.1 0 -1 -"),
    (
        "5.3: host with userinfo is left out",
        forwarded('for=192.0.2.1;host="x@a.example"'),
        "192.0.2.1 0 -1 -",
    ),
    ("5.3: port of host over 65535", forwarded('for=192.0.2.1;host="a:65536"'), "192.0.2.1 0 -1 -"),
    ("5.3: host of 256 bytes", forwarded("for=192.0.2.1;host=" + "h" * 256), "192.0.2.1 0 -1 -"),
    ("5.3: host of 255 bytes", forwarded("for=192.0.2.1;host=" + "h" * 255), "192.0.2.1 0 -1 " + "h" * 255),
    ("5.4: another scheme is left out", forwarded("for=192.0.2.1;proto=gopher"), "192.0.2.1 0 -1 -"),
    ("5.4: scheme of a WebSocket", forwarded("for=192.0.2.1;proto=wss"), "192.0.2.1 0 1 -"),
    (
        "5.4: the farthest believed scheme",
        forwarded("for=192.0.2.1;proto=https, for=10.0.0.1;proto=http"),
        "192.0.2.1 0 1 -",
    ),
    (
        "5.4: a hop without one changes nothing",
        forwarded("for=192.0.2.1, for=10.0.0.1;proto=https"),
        "192.0.2.1 0 1 -",
    ),
    (
        "5.4: one to the left of trust is not believed",
        forwarded("for=6.6.6.6;proto=https, for=192.0.2.1"),
        "192.0.2.1 0 -1 -",
    ),
    ("6: port is 1 to 5 digits", forwarded('for="192.0.2.1:123456"'), NOTHING),
    ("6: port 65536", forwarded('for="192.0.2.1:65536"'), NOTHING),
    ("6: obfuscated port", forwarded('for="192.0.2.1:_p"'), "192.0.2.1 0 -1 -"),
    ("6.1: IPv6 without brackets", forwarded('for="2001:db8::1"'), NOTHING),
    ("6.1: IPv4 with a leading zero (CVE-2021-29921's class)", forwarded("for=010.0.0.1"), NOTHING),
    ("6.1: IPv4-mapped is IPv4", forwarded('for=192.0.2.1, for="[::ffff:10.0.0.1]"'), "192.0.2.1 0 -1 -"),
    ("6.1: a client written as mapped", forwarded('for="[::ffff:192.0.2.1]"'), "192.0.2.1 0 -1 -"),
    ("6.1: IPv6 in its shortest form", forwarded('for="[2001:DB8:0:0:0:0:0:1]"'), "2001:db8::1 0 -1 -"),
    ("6.1: a zone is no address", forwarded('for="[fe80::1%eth0]"'), NOTHING),
    ("6.1: not an address at all", forwarded("for=banana"), NOTHING),
    (
        "6.2: unknown ends the walk, its scheme counts",
        forwarded("for=6.6.6.6, for=unknown;proto=https"),
        "- 0 1 -",
    ),
    (
        "6.3: hidden keeps the last address",
        forwarded("for=6.6.6.6, for=_gw, for=10.0.0.1"),
        "10.0.0.1 0 -1 -",
    ),
    ("6.3: hidden with a port", forwarded('for="_gw:_1";proto=https'), "- 0 1 -"),
    ("6.3: characters of a hidden name", forwarded("for=_a!b;proto=https"), NOTHING),
    ("5: an element without for= ends the walk", forwarded("for=6.6.6.6, proto=https"), "- 0 1 -"),
    ("8.1: a quote the client never closed", forwarded('for="x, for=192.0.2.1'), "192.0.2.1 0 -1 -"),
    ("8.1: the same over two lines", forwarded('for="x', "for=192.0.2.1"), "192.0.2.1 0 -1 -"),
    (
        "8.1: an open quote before a quoted element",
        forwarded('for="x, for="192.0.2.1:80"'),
        "192.0.2.1 80 -1 -",
    ),
    (
        "8.1: an escape before the proxy's quote",
        forwarded('for="x\\, for="192.0.2.1:80"'),
        "192.0.2.1 80 -1 -",
    ),
    ("8.1: a closed quote hides no comma", forwarded('for="6.6.6.6, for=192.0.2.1"'), NOTHING),
    (
        "8.1: malformed to the left of trust",
        forwarded("garbage=, for=10.0.0.1;proto=https"),
        "10.0.0.1 0 1 -",
    ),
    (
        "8.1: nothing left of a malformed element",
        forwarded("for=10.0.0.9, for=???, for=10.0.0.1"),
        "10.0.0.1 0 -1 -",
    ),
    ("8.1: a malformed element's scheme is not believed", forwarded("proto=https;for=banana"), NOTHING),
    ("8.1: only quotes and backslashes", forwarded('\\"\\"\\\\"\\'), NOTHING),
    ("8.1: empty", forwarded(""), NOTHING),
]

X = [
    ("one address", xff("192.0.2.1"), "192.0.2.1 0 -1 -"),
    ("spoofed on the left (leftmost-is-client pitfall)", xff("6.6.6.6, 192.0.2.1"), "192.0.2.1 0 -1 -"),
    (
        "spoofed in a line of its own (first-line-only pitfall)",
        xff("6.6.6.6", "192.0.2.1"),
        "192.0.2.1 0 -1 -",
    ),
    ("trusted hops are passed", xff("6.6.6.6, 192.0.2.1, 10.1.1.1,10.2.2.2"), "192.0.2.1 0 -1 -"),
    ("a spoofed trusted address left of the client", xff("10.0.0.1, 192.0.2.1"), "192.0.2.1 0 -1 -"),
    ("a port, as some gateways write", xff("192.0.2.1:4711"), "192.0.2.1 4711 -1 -"),
    ("bare IPv6", xff("2001:db8::1"), "2001:db8::1 0 -1 -"),
    ("IPv6 in brackets with a port", xff("[2001:db8::1]:80"), "2001:db8::1 80 -1 -"),
    ("IPv6 ending in IPv4", xff("::ffff:192.0.2.1"), "192.0.2.1 0 -1 -"),
    ("an open bracket", xff("[2001:db8::1"), NOTHING),
    ("unknown ends the walk", xff("6.6.6.6, unknown"), NOTHING),
    ("garbage ends the walk at the last address", xff("6.6.6.6, <script>, 10.0.0.1"), "10.0.0.1 0 -1 -"),
    ("an empty element ends the walk", xff("6.6.6.6, "), NOTHING),
    ("empty", xff(""), NOTHING),
    ("quotes are not part of this field", xff('"192.0.2.1"'), NOTHING),
    ("a unix hop that is trusted is passed", xff("192.0.2.1, unix:"), "192.0.2.1 0 -1 -"),
    ("octal, hexadecimal and short forms are no addresses", xff("0x7f.1"), NOTHING),
    ("a scheme by itself", ["X-Forwarded-Proto: https"], "- 0 1 -"),
    ("http says http", ["X-Forwarded-Proto: HTTP"], "- 0 0 -"),
    ("a scheme that is none", ["X-Forwarded-Proto: on"], NOTHING),
    ("one scheme for a chain", [*xff("192.0.2.1, 10.0.0.1"), "X-Forwarded-Proto: https"], "192.0.2.1 0 1 -"),
    (
        "schemes beside addresses",
        [*xff("192.0.2.1, 10.0.0.1"), "X-Forwarded-Proto: https, http"],
        "192.0.2.1 0 1 -",
    ),
    (
        "a spoofed scheme beside a spoofed address",
        [*xff("6.6.6.6, 192.0.2.1"), "X-Forwarded-Proto: https, http"],
        "192.0.2.1 0 0 -",
    ),
    (
        "a list of another length: the nearest hop's word",
        [*xff("192.0.2.1"), "X-Forwarded-Proto: https, http"],
        "192.0.2.1 0 0 -",
    ),
    ("host", [*xff("192.0.2.1"), "X-Forwarded-Host: a.example"], "192.0.2.1 0 -1 a.example"),
    (
        "host, nearest of two lines",
        ["X-Forwarded-Host: evil.example", "X-Forwarded-Host: a.example"],
        "- 0 -1 a.example",
    ),
    ("host with a path (cache poisoning)", ["X-Forwarded-Host: a.example/x"], NOTHING),
    ("host with a quote (injection into pages)", ['X-Forwarded-Host: a"><script>'], NOTHING),
    ("host with a malformed escape", ["X-Forwarded-Host: a%2"], NOTHING),
    ("host with only a port", ["X-Forwarded-Host: :80"], NOTHING),
]

KINDS = [
    ("either", "Forwarded counts alone", [*forwarded("for=192.0.2.1"), *xff("6.6.6.6")], "192.0.2.1 0 -1 -"),
    ("either", "even when it is malformed", [*forwarded("for=?"), *xff("6.6.6.6")], NOTHING),
    (
        "x",
        "a client's Forwarded is not read",
        [*forwarded("for=6.6.6.6"), *xff("192.0.2.1")],
        "192.0.2.1 0 -1 -",
    ),
    ("x", "nor read when it is alone", forwarded("for=6.6.6.6;proto=https"), NOTHING),
    ("standard", "a client's X- fields are not read", ["X-Forwarded-Proto: https", *xff("6.6.6.6")], NOTHING),
]

ANYONE = [
    ("x", "the leftmost is the client", xff("192.0.2.1, 192.0.2.2, 192.0.2.3"), "192.0.2.1 0 -1 -"),
    ("either", "the walk goes on over hidden hops", forwarded("for=192.0.2.1, for=_gw"), "192.0.2.1 0 -1 -"),
    (
        "either",
        "but not over malformed ones",
        forwarded("for=192.0.2.1, for=?, for=192.0.2.2"),
        "192.0.2.2 0 -1 -",
    ),
]


def case_ids(cases):
    return [case[-3] for case in cases]


def resolve(passes, kind, trust, fields):
    return passes("forwarded", SOURCES, "resolve", kind, trust, *fields).rstrip("\n")


@pytest.mark.parametrize(("clause", "fields", "expected"), STANDARD, ids=case_ids(STANDARD))
def test_forwarded(passes, clause, fields, expected):
    """Forwarded (RFC 7239) is believed as far as the hops that wrote it are trusted."""
    assert expected == resolve(passes, "either", TRUST, fields), clause


@pytest.mark.parametrize(("pitfall", "fields", "expected"), X, ids=case_ids(X))
def test_x_forwarded(passes, pitfall, fields, expected):
    """The X-Forwarded fields likewise."""
    assert expected == resolve(passes, "either", TRUST, fields), pitfall


@pytest.mark.parametrize(("kind", "rule", "fields", "expected"), KINDS, ids=case_ids(KINDS))
def test_the_kind_of_field_that_counts(passes, kind, rule, fields, expected):
    """Fields of the other kind are the client's own and say nothing."""
    assert expected == resolve(passes, kind, TRUST, fields), rule


@pytest.mark.parametrize(("kind", "rule", "fields", "expected"), ANYONE, ids=case_ids(ANYONE))
def test_everyone_is_trusted(passes, kind, rule, fields, expected):
    """With "*" the farthest hop that is named is the client."""
    assert expected == resolve(passes, kind, "*", fields), rule


@pytest.mark.parametrize(
    ("trust", "peer", "expected"),
    [
        ("", "127.0.0.1", 0),
        (" ", "unix", 0),
        ("127.0.0.1", "127.0.0.1", 1),
        ("127.0.0.1", "127.0.0.2", 0),
        ("127.0.0.1", "::ffff:127.0.0.1", 1),
        ("127.0.0.1", "::1", 0),
        ("127.0.0.1", "unix", 0),
        ("10.0.0.0/8", "10.255.255.255", 1),
        ("10.0.0.0/8", "11.0.0.0", 0),
        ("172.16.0.0/12", "172.31.255.255", 1),
        ("172.16.0.0/12", "172.32.0.0", 0),
        ("192.0.2.1/32", "192.0.2.1", 1),
        ("0.0.0.0/0", "255.1.2.3", 1),
        ("0.0.0.0/0", "2001:db8::1", 0),
        ("::/0", "2001:db8::1", 1),
        ("::ffff:10.0.0.0/104", "10.1.2.3", 1),
        ("fd00::/8", "fdff::1", 1),
        ("fd00::/8", "fe00::1", 0),
        ("2001:db8::/33", "2001:db8:7fff::1", 1),
        ("2001:db8::/33", "2001:db8:8000::1", 0),
        ("unix", "unix", 1),
        ("unix", "127.0.0.1", 0),
        ("*", "unix", 1),
        ("*", "192.0.2.1", 1),
        (" 192.0.2.1 ,\t::1", "::1", 1),
    ],
)
def test_peer_is_trusted(passes, trust, peer, expected):
    """A peer is trusted when it is listed, and IPv4-mapped IPv6 counts as IPv4."""
    assert f"{expected}\n" == passes("forwarded", SOURCES, "peer", trust, peer)


@pytest.mark.parametrize(
    ("trust", "complaint"),
    [
        ("10.0.0.1, nonsense", "nonsense"),
        ("10.0.0.1/8", "bits after the prefix are set"),
        ("10.0.0.0/33", "from 0 to 32"),
        ("10.0.0.0/", "from 0 to 32"),
        ("10.0.0.0/08", "from 0 to 32"),
        ("::1/129", "from 0 to 128"),
        ("10.0.0.0/8/8", "from 0 to 32"),
        ("10.0.0.1,", "empty"),
        (",", "empty"),
        ("localhost", "localhost"),
        ("010.0.0.1", "010.0.0.1"),
        ("a" * 1000, "aaa..."),
        ("/8", "/8"),
    ],
)
def test_a_bad_list_is_named(passes, trust, complaint):
    """The sentence names the item that is wrong."""
    assert complaint in passes("forwarded", SOURCES, "compile", trust)
