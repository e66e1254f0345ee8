"""Data classes: spelt and meant as the standard library's, for what we use of them, without their price.

`dataclasses` imports `inspect` (1.3 MiB), and compiles up to six functions for every class: a millisecond and
10 KiB each, of some eighty classes in the master, of which there is one for every app. Here all classes share
the functions below. This is a leaf.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

if TYPE_CHECKING:  # the type checker takes ours for the standard library's
    from dataclasses import asdict, dataclass, field, replace

__all__ = ["asdict", "dataclass", "field", "names", "replace"]

T = TypeVar("T")


class Shape(NamedTuple):
    """What a class consists of: its fields in order, and the values of those that are not given."""

    names: tuple[str, ...] = ()
    defaults: dict[str, object] = {}  # noqa: RUF012  never changed
    factories: dict[str, Callable[[], object]] = {}  # noqa: RUF012
    kw_only: bool = False


class _Factory(NamedTuple):
    """Stands in the body of a class for a default that each object gets anew."""

    make: Callable[[], object]


def _field(*, default_factory: Callable[[], object]) -> _Factory:
    """Have each object get a default of its own."""
    return _Factory(default_factory)


def _dataclass(
    *, frozen: bool = False, slots: bool = False, kw_only: bool = False, eq: bool = True
) -> Callable[[type[T]], type[T]]:
    """Give a class its annotated names as fields, behind those of the data class it derives from.

    `frozen`: they never change, and an object can be hashed. `slots`: it has nothing else (and `super()`
    cannot be used in the class). `kw_only`: they are given by name. `eq`: objects of one class with equal
    fields are equal. A `__post_init__` is called when all fields are there.
    """

    def make(cls: type[T]) -> type[T]:
        inherited = _shape(cls) if hasattr(cls, "__shape__") else Shape()
        shape = _extended(inherited, cls, kw_only=kw_only)
        body: dict[str, Any] = {"__shape__": shape, "__init__": _init}
        body["__match_args__"] = () if kw_only else shape.names
        if "__repr__" not in vars(cls):
            body["__repr__"] = _repr
        if frozen:
            body["__setattr__"] = body["__delattr__"] = _refuse
        if eq:
            body["__eq__"] = _eq
            body["__hash__"] = _hash if frozen else None
        if slots:
            return _slotted(cls, body, [name for name in shape.names if name not in inherited.names])
        for name, value in body.items():
            setattr(cls, name, value)
        return cls

    return make


def _replace(one: T, **changes: object) -> T:
    """The same with other values of some fields. Raises TypeError for one that it has not."""
    return type(one)(**{**_values(one), **changes})


def _asdict(one: object) -> dict[str, Any]:
    """The fields by name; data classes among the values, and in lists, tuples and dicts, likewise."""
    return {name: _plain(value) for name, value in _values(one).items()}


def names(cls: type) -> tuple[str, ...]:
    """The names of the fields, in order."""
    return _shape(cls).names


def _shape(cls: type) -> Shape:
    shape: Shape = cls.__shape__  # type: ignore[attr-defined]
    return shape


def _extended(inherited: Shape, cls: type, *, kw_only: bool) -> Shape:
    own = tuple(cls.__annotations__)
    given = {name: vars(cls)[name] for name in own if name in vars(cls)}
    factories = {name: value.make for name, value in given.items() if isinstance(value, _Factory)}
    defaults = {name: value for name, value in given.items() if name not in factories}
    for name in factories:
        delattr(cls, name)
    return Shape(
        (*inherited.names, *(name for name in own if name not in inherited.names)),
        {**inherited.defaults, **defaults},
        {**inherited.factories, **factories},
        kw_only,
    )


def _slotted(cls: type[T], body: dict[str, Any], own: list[str]) -> type[T]:
    """The class made anew: slots can only be named at its making, and a default would stand in their way."""
    kept: dict[str, Any] = {
        name: value
        for name, value in vars(cls).items()
        if name not in ("__dict__", "__weakref__") and name not in body["__shape__"].names
    }
    kept |= {**body, "__slots__": tuple(own), "__qualname__": cls.__qualname__}
    slotted: type[T] = type(cls)(cls.__name__, cls.__bases__, kept)  # type: ignore[misc]
    return slotted


def _init(self: object, /, *args: object, **given: object) -> None:
    name, shape = type(self).__name__, _shape(type(self))
    if len(args) > (0 if shape.kw_only else len(shape.names)):
        raise TypeError(f"{name}: too many positional arguments: {len(args)}")
    placed = dict(zip(shape.names, args, strict=False))
    if twice := placed.keys() & given.keys():
        raise TypeError(f"{name}: given twice: {', '.join(sorted(twice))}")
    values = {**shape.defaults, **placed, **given}
    for field_name, make in shape.factories.items():
        if field_name not in values:
            values[field_name] = make()
    if wrong := values.keys() ^ set(shape.names):
        raise TypeError(f"{name}: missing or unknown: {', '.join(sorted(wrong))}")
    for field_name, value in values.items():
        object.__setattr__(self, field_name, value)  # also where the class refuses it
    if (finish := getattr(self, "__post_init__", None)) is not None:
        finish()


def _repr(self: object) -> str:
    fields = ", ".join(f"{name}={value!r}" for name, value in _values(self).items())
    return f"{type(self).__qualname__}({fields})"


def _eq(self: object, other: object) -> bool:
    if type(other) is not type(self):
        return NotImplemented  # type: ignore[no-any-return]
    return _values(self) == _values(other)


def _hash(self: object) -> int:
    return hash(tuple(_values(self).values()))


def _refuse(self: object, name: str, *_: object) -> None:
    raise AttributeError(f"{type(self).__name__}.{name} cannot be changed: the object is frozen")


def _values(one: object) -> dict[str, object]:
    return {name: getattr(one, name) for name in _shape(type(one)).names}


def _plain(value: object) -> object:
    if hasattr(type(value), "__shape__"):
        return _asdict(value)
    if isinstance(value, dict):
        return {_plain(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return value


if not TYPE_CHECKING:
    asdict, dataclass, field, replace = _asdict, _dataclass, _field, _replace
