"""What may stand after --bind."""

import pytest

from forkcluster.options.address import Inherited, Tcp, Unix, parse


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("8000", Tcp("127.0.0.1", 8000)),
        (":8000", Tcp("0.0.0.0", 8000)),
        ("127.0.0.1:0", Tcp("127.0.0.1", 0)),
        ("localhost:65535", Tcp("localhost", 65535)),
        ("my-host.example:80", Tcp("my-host.example", 80)),
        ("[::]:8000", Tcp("::", 8000)),
        ("[fe80::1%eth0]:8000", Tcp("fe80::1%eth0", 8000)),
        ("unix:run/app.sock", Unix("run/app.sock")),
        ("unix:/run/app.sock", Unix("/run/app.sock")),
        ("unix:///run/app.sock", Unix("/run/app.sock")),
        ("fd://3", Inherited(3)),
    ],
)
def test_an_address_is_understood(text, address):
    """Each documented form gives its address."""
    assert address == parse(text)


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("", "expected port"),
        ("localhost", "localhost:8000"),
        ("::1:8000", "brackets"),
        ("http://127.0.0.1:80", "without a scheme"),
        ("127.0.0.1:http", "expected port"),
        ("127.0.0.1:65536", "65535"),
        ("127.0.0.1:-1", "expected port"),
        ("/run/app.sock", "unix:/run/app.sock"),
        ("[::1]", "expected port"),
        ("a b:80", "expected port"),
        ("unix:", "path"),
        ("unix:@name", "abstract"),
        ("unix:run/", "path"),
        ("unix:" + "x" * 108, "107 bytes"),
        ("fd:3", "fd://"),
        ("fd://x", "fd://"),
    ],
)
def test_a_wrong_address_is_refused_with_a_hint(text, hint):
    """Each slip gets the sentence that corrects it."""
    with pytest.raises(ValueError, match="expected") as caught:
        parse(text)
    assert hint in str(caught.value)


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:80", "unix:a/b", "fd://7"])
def test_an_address_is_written_as_it_is_read(text):
    """str() of an address parses to the same address."""
    assert text == str(parse(text))
