"""Values: from text, from TOML, and back from our own JSON."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forkcluster.options import checks
from forkcluster.options.kinds import Count, Duration, PairList, Size, Switch, Texts, Words

OCTAL = Count("octal permissions", "MODE", low=0, high=0o777, base=8)
HEADERS = PairList("pairs", "NAME:VALUE", None, ":", checks.header)
VARIABLES = PairList("pairs", "KEY=VALUE", None, "=", checks.environment_pair, secret=True)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("8190", 8190), ("64K", 65536), ("64KiB", 65536), ("16 M", 1 << 24), ("1g", 1 << 30)],
)
def test_a_size_is_read(text, size):
    """Bytes, with suffixes that are powers of 1024."""
    assert size == Size().from_text(text)


@pytest.mark.parametrize("text", ["", "-1", "1.5M", "M", "1T", "1 0", "0x10", "٣"])
def test_a_wrong_size_is_refused(text):
    """Anything else is an error that shows how to write it."""
    with pytest.raises(ValueError, match="64K"):
        Size().from_text(text)


@given(st.integers(0, 1 << 50))
def test_a_size_is_shown_as_it_is_read(size):
    """show and from_text are inverse."""
    assert size == Size().from_text(Size().show(size))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30", 30.0), ("1.5", 1.5), (".5", 0.5), ("500ms", 0.5), ("2m", 120.0), ("1h", 3600.0), ("0", 0)],
)
def test_a_duration_is_read(text, seconds):
    """Seconds, or with a unit."""
    assert seconds == Duration().from_text(text)


@pytest.mark.parametrize("text", ["", "-1", "soon", "1e3", "nan", "inf", "30 seconds", "1d", "9999999"])
def test_a_wrong_duration_is_refused(text):
    """Anything else is an error that shows how to write it."""
    with pytest.raises(ValueError, match="500ms"):
        Duration().from_text(text)


@pytest.mark.parametrize("value", [True, float("nan"), float("inf"), -1, [], None])
def test_a_wrong_duration_in_toml_is_refused(value):
    """TOML has true, nan and inf: none of them is a time."""
    with pytest.raises(ValueError, match="duration"):
        Duration().from_toml(value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", True), ("yes", True), ("On", True), ("false", False), ("0", False), ("no", False)],
)
def test_a_switch_is_read(text, value):
    """The usual words for true and false."""
    assert value is Switch().from_text(text)


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_switch_in_toml_is_a_boolean(value):
    """TOML has booleans; nothing else is taken for one."""
    with pytest.raises(ValueError, match="true or false"):
        Switch().from_toml(value)


def test_permissions_are_octal():
    """660 is 0o660 as text; a bare TOML number would be ambiguous and is refused."""
    assert 0o660 == OCTAL.from_text("660")
    with pytest.raises(ValueError, match='"660"'):
        OCTAL.from_toml(660)
    with pytest.raises(ValueError, match="octal"):
        OCTAL.from_text("689")


@pytest.mark.parametrize("value", [True, 0, 257, "x", 1.0, None])
def test_a_wrong_count_is_refused(value):
    """Whole numbers in the range only."""
    with pytest.raises(ValueError, match="from 1 to 256"):
        Count(low=1, high=256).from_toml(value)


def test_a_list_is_read_from_every_source():
    """Repeated flags, one variable with separators, a TOML list, a TOML scalar."""
    kind = Texts()
    found = [
        kind.from_texts(["a", "b"]),
        kind.from_variable("a, b,"),
        kind.from_toml(["a", "b"]),
        kind.from_toml("a") + kind.from_toml(["b"]),
    ]
    assert [("a", "b")] * 4 == found
    assert ("8000",) == kind.from_toml(8000)


@pytest.mark.parametrize("value", [[True], [["a"]], {"a": 1}, None, [1.5]])
def test_a_wrong_list_is_refused(value):
    """Lists hold texts or whole numbers."""
    with pytest.raises(ValueError, match="expected"):
        Texts().from_toml(value)


def test_pairs_are_read_from_every_source():
    """Flags, lines of a variable, a TOML table, a TOML list."""
    expected = (("X-A", "1"), ("X-B", "a: b"))
    assert expected == HEADERS.from_texts(["X-A:1", "X-B: a: b"])
    assert expected == HEADERS.from_variable("X-A: 1\nX-B: a: b\n")
    assert expected == HEADERS.from_toml({"X-A": 1, "X-B": "a: b"})
    assert expected == HEADERS.from_toml(["X-A: 1", "X-B: a: b"])


def test_a_variable_may_be_empty_and_hold_equal_signs():
    """KEY= is a value; KEY=a=b too; KEY alone is none."""
    assert (("A", ""), ("B", "x=y")) == VARIABLES.from_texts(["A=", "B=x=y"])
    with pytest.raises(ValueError, match="KEY=VALUE"):
        VARIABLES.from_texts(["A"])


def test_secret_values_are_not_shown():
    """What --print-config shows of a variable is its name."""
    assert "TOKEN=…" == VARIABLES.show((("TOKEN", "hush"),))


@pytest.mark.parametrize(
    "text",
    [
        "X",
        ":v",
        "X Y: v",
        "X: a\r\nY: b",
        "X: \x00",
        "Content-Length: 3",
        "transfer-encoding: chunked",
        "X: €",
    ],
)
def test_a_header_that_could_break_an_answer_is_refused(text):
    """Names are tokens, values have no control characters, framing is the engine's (RFC 9110 section 5)."""
    with pytest.raises(ValueError):
        checks.header(text)


@pytest.mark.parametrize("text", ["", "/shop", "/a/b"])
def test_a_root_path_is_taken(text):
    """Empty, or slashes before each part."""
    assert checks.root_path(text) is None


@pytest.mark.parametrize("text", ["shop", "/", "/shop/", "//", "/a?b", "/a b"])
def test_a_wrong_root_path_is_refused(text):
    """No trailing slash, no query, no space."""
    with pytest.raises(ValueError, match="/shop"):
        checks.root_path(text)


@pytest.mark.parametrize("text", ["", "*", "unix", "127.0.0.0/8,::1,unix", " 10.0.0.1 , fd00::/8"])
def test_trusted_proxies_are_taken(text):
    """Addresses, networks, unix and *."""
    assert checks.trusted(text) is None


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "10.0.0.1,,::1"])
def test_wrong_trusted_proxies_are_refused(text):
    """No names; no network with host bits set; no empty item."""
    with pytest.raises(ValueError, match="no address or network"):
        checks.trusted(text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [("-x 'two words'", ("-x", "two words")), (["-x", "two words", 3], ("-x", "two words", "3")), ([], ())],
)
def test_arguments_are_a_shell_line_or_a_list(value, expected):
    """A text is split, a list stands as it is."""
    assert expected == Words().from_toml(value)


def test_arguments_of_the_command_line_are_exact_where_they_are_positional():
    """A shell has split them already."""
    assert ("a b", "c") == Words(exact=True).from_texts(["a b", "c"])
    assert ("a", "b", "c") == Words().from_texts(["a b", "c"])


@pytest.mark.parametrize("value", ["'open", {"a": 1}, 3, [["a"]]])
def test_what_is_no_arguments_is_refused(value):
    """With what was expected."""
    with pytest.raises(ValueError, match="expected"):
        Words().from_toml(value)
