"""Our data classes mean what the standard library's mean, for what both can do."""

import dataclasses

import pytest

from forkcluster import dataclass as ours

MAKERS = pytest.mark.parametrize("slots", [True, False])


def pair(body, **how):
    """The same class, made by the standard library and by us."""
    made = []
    for library in (dataclasses, ours):
        scope = {"field": library.field, "__name__": __name__}
        exec(body, scope)
        made.append(library.dataclass(**how)(scope["Point"]))
    return made


POINT = """
class Point:
    'A point.'
    x: int
    y: int = 2
    tags: list = field(default_factory=list)
    def sum(self):
        return self.x + self.y
"""


@MAKERS
@pytest.mark.parametrize(
    ("args", "given"), [((1,), {}), ((1, 3), {}), ((), {"x": 1, "tags": [4]}), ((5, 6, [7]), {})]
)
def test_objects_are_alike(slots, args, given):
    """Values, defaults, representation, equality and methods are those of the standard library's."""
    theirs, mine = pair(POINT, slots=slots)
    expected, actual = theirs(*args, **given), mine(*args, **given)
    assert repr(expected) == repr(actual)
    assert dataclasses.asdict(expected) == ours.asdict(actual)
    assert expected.sum() == actual.sum()
    assert mine(*args, **given) == actual
    assert actual != expected
    assert actual != mine(9)
    assert theirs.__match_args__ == mine.__match_args__
    assert (theirs.__qualname__, theirs.__doc__) == (mine.__qualname__, mine.__doc__)


@MAKERS
@pytest.mark.parametrize(
    ("args", "given"), [((), {}), ((1, 2, [], 4), {}), ((1,), {"x": 1}), ((1,), {"z": 1}), ((), {"y": 1})]
)
def test_wrong_arguments_are_errors(slots, args, given):
    """Too many, too few, given twice, unknown: a TypeError that names the class."""
    theirs, mine = pair(POINT, slots=slots)
    with pytest.raises(TypeError):
        theirs(*args, **given)
    with pytest.raises(TypeError, match="Point"):
        mine(*args, **given)


@MAKERS
def test_each_object_has_a_default_of_its_own(slots):
    """A list that one object fills stays empty in the next."""
    _, mine = pair(POINT, slots=slots)
    mine(1).tags.append(1)
    assert [] == mine(1).tags


@MAKERS
def test_frozen_objects_do_not_change_and_are_hashed_by_value(slots):
    """A key of a dict finds what an equal one has stored."""
    _, mine = pair("class Point:\n    x: int\n    y: int = 2\n", frozen=True, slots=slots)
    point = mine(1)
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        point.x = 3
    with pytest.raises(AttributeError, match=r"Point\.x cannot be changed"):
        del point.x
    assert 1 == {point: 1}[mine(1, 2)]


@MAKERS
def test_objects_that_change_are_not_hashed(slots):
    """Unless they are compared by identity."""
    _, mine = pair(POINT, slots=slots)
    with pytest.raises(TypeError):
        hash(mine(1))
    _, mine = pair(POINT, slots=slots, eq=False)
    assert mine(1) != mine(1)
    assert hash(mine(1)) > 0


def test_slots_leave_no_room_for_another_attribute():
    """A misspelt name is an error."""
    _, mine = pair(POINT, slots=True)
    with pytest.raises(AttributeError):
        mine(1).z = 3


@MAKERS
def test_a_class_that_derives_has_the_fields_of_both(slots):
    """Those of the base come first; a default may be another one."""

    @ours.dataclass(frozen=True, slots=slots)
    class Base:
        x: int
        y: int = 2

    @ours.dataclass(frozen=True, slots=slots)
    class Derived(Base):
        y: int = 3
        z: int = 4

    assert ("x", "y", "z") == ours.names(Derived)
    assert {"x": 1, "y": 3, "z": 4} == ours.asdict(Derived(1))
    assert {"x": 1, "y": 2} == ours.asdict(Base(1))


def test_fields_may_be_by_name_only():
    """Positional arguments are refused then."""
    _, mine = pair(POINT, kw_only=True)
    assert 3 == mine(x=3).x
    with pytest.raises(TypeError, match="positional"):
        mine(3)


def test_replace_gives_another_object():
    """Only the named fields differ; an unknown one is an error."""
    _, mine = pair(POINT, frozen=True)
    assert mine(1, 5) == ours.replace(mine(1), y=5)
    with pytest.raises(TypeError, match="z"):
        ours.replace(mine(1), z=5)


def test_asdict_reaches_into_containers():
    """What is sent as JSON has no data class in it."""
    _, mine = pair(POINT)
    outer = mine(mine(1), {"a": (mine(2),)})
    inner = {"y": 2, "tags": []}
    assert {"x": {"x": 1, **inner}, "y": {"a": [{"x": 2, **inner}]}, "tags": []} == ours.asdict(outer)


def test_what_is_to_be_done_at_the_end_is_done():
    """`__post_init__` finds all fields."""

    @ours.dataclass()
    class Sum:
        x: int
        y: int

        def __post_init__(self):
            self.y += self.x

    assert 3 == Sum(1, 2).y
