"""The table and the frozen result say the same."""

import json
import re
import typing

import pytest

from forkcluster.dataclass import names
from forkcluster.errors import InternalError
from forkcluster.options import kinds
from forkcluster.options.frozen import Launch, Options, Request
from forkcluster.options.table import BY_KEY, GROUPS, TABLE

FROZEN = [option for option in TABLE if option.frozen]
TYPES = {
    kinds.Kind: str,
    kinds.Secret: str,
    kinds.Choice: str,
    kinds.Word: str,
    kinds.Switch: bool,
    kinds.Count: int,
    kinds.Size: int,
    kinds.Duration: float,
    kinds.TextOrZero: str,
    kinds.Texts: tuple[str, ...],
    kinds.PairList: tuple[tuple[str, str], ...],
    kinds.Words: tuple[str, ...],
}


def defaults(**changes):
    """Frozen options with the defaults of the table."""
    values = {option.name: option.default_value() for option in FROZEN}
    return Options(**{**values, "target": "app", "name": "app", **changes})


def test_table_and_dataclass_name_the_same_options_in_the_same_order():
    """An option cannot be declared in one place only."""
    assert [option.name for option in FROZEN] == list(names(Options))


@pytest.mark.parametrize("option", FROZEN, ids=lambda option: option.name)
def test_a_fields_type_is_its_kinds(option):
    """Where absence is a value the field may be None; target and name are always filled in."""
    expected = TYPES[type(option.kind)]
    filled_in = option.name in ("target", "name") or option.repeats or option.default is not None
    found = typing.get_type_hints(Options)[option.name]
    assert (expected if filled_in else expected | None) == found


@pytest.mark.parametrize("option", TABLE, ids=lambda option: option.name)
def test_an_option_is_declared_well(option):
    """A known group, a sentence of help, a name that makes flag and variable, a default its kind shows."""
    assert option.group in GROUPS
    assert re.fullmatch(r"[A-Za-z].*\.", option.help)
    assert re.fullmatch(r"[a-z]+(_[a-z]+)*", option.name)
    assert option.default is None or option.kind.show(option.default_value()) == option.default


def test_no_flag_or_key_is_used_twice():
    """Flags and keys, aliases included, are unique."""
    flags = [flag for option in TABLE for flag in (*option.flags, option.off_flag) if flag]
    keys = [name for option in FROZEN for name in option.names]
    assert (sorted(set(flags)), sorted(set(keys))) == (sorted(flags), sorted(keys))
    assert set(keys) == set(BY_KEY)


def test_frozen_options_survive_the_way_through_json():
    """What the terminal froze is what the master thaws, tuples and undecodable paths included."""
    original = defaults(
        bind=("8000", "unix:\udcff"), env=(("A", "1"),), header=(("X", "é"),), socket_mode=0o660, chdir=None
    )
    assert original == Options.from_json(original.to_json())


def test_a_launch_survives_the_way_through_json():
    """Options, request and notes arrive in the master as they were."""
    original = Launch(defaults(), Request({"bind": ("8000", "9000")}, "/srv/app"), ("a note",))
    assert original == Launch.from_json(original.to_json())


def test_options_of_another_release_are_refused_by_name():
    """A key too many or too few is named, and the remedy is a restart."""
    text = defaults().to_json().replace('"backlog"', '"backlogs"')
    with pytest.raises(InternalError, match=r"backlog, backlogs") as caught:
        Options.from_json(text)
    assert "restart" in caught.value.remedy


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"options": 1, "request": {}, "notes": []}', "{"])
def test_a_broken_launch_is_an_internal_error(text):
    """Whatever arrives, the master gets our error and no KeyError."""
    with pytest.raises(InternalError):
        Launch.from_json(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("backlog", "2048"),
        ("backlog", True),
        ("backlog", None),
        ("observe", "1"),
        ("chdir", 1),
        ("umask", "022"),
        ("bind", "8000"),
        ("bind", [8000]),
        ("header", [["X"]]),
        ("watch", 1),
    ],
)
def test_a_frozen_value_of_a_wrong_type_is_an_internal_error(name, value):
    """The master never works with a text where a number belongs."""
    values = {**json.loads(defaults().to_json()), name: value}
    with pytest.raises(InternalError, match=name):
        Options.from_json(json.dumps(values))
