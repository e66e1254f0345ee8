"""WSGI or ASGI? Told from the application object alone, never by calling it. Owns the rules and the words for
them.

The names of the parameters count first (PEP 3333 and the ASGI specification use them, and so does nearly
everyone), then their number; what has no readable signature is judged by what it wraps.
"""

import functools
import inspect
from collections.abc import Callable
from typing import Final, Literal

from forkcluster.dataclass import dataclass
from forkcluster.errors import ApplicationError

Interface = Literal["wsgi", "asgi"]

WRAPPED: Final = ("__wrapped__", "wsgi_app", "asgi_app", "app", "application", "_app", "func")
DEPTH: Final = 8


@dataclass(frozen=True, slots=True)
class Detected:
    """The interface, and in words how it was told: "a function of (environ, start_response)"."""

    interface: Interface
    reason: str
    double: bool = False  # ASGI 2: called with the scope, and the result with receive and send


def decide(application: Callable[..., object], forced: str) -> Detected:
    """The interface to call `application` by; `forced` is wsgi, asgi, or auto. Raises ApplicationError."""
    if forced == "wsgi":
        return Detected("wsgi", "--interface says so")
    if forced == "asgi":
        return Detected("asgi", "--interface says so", _is_double(application))
    return detect(application)


def _is_double(application: Callable[..., object]) -> bool:
    try:
        return detect(application).double
    except ApplicationError:
        return False


def detect(application: Callable[..., object]) -> Detected:
    """Tell the interface by looking. Raises ApplicationError if it can be neither."""
    if inspect.isclass(application):
        return _of_class(application)
    found = _of_signature(application)
    if found is None:
        inner = _of_wrapped(application, DEPTH)
        if inner is not None:
            return Detected(inner.interface, f"{_noun(application)} around {inner.reason}", inner.double)
        how = "its signature cannot be read" if _parameters(application) is None else "it takes any arguments"
        return Detected("wsgi", f"{_noun(application)}; {how}, so WSGI is assumed")
    return found


def _of_class(application: type) -> Detected:
    """A class is called like a function, and what it makes answers."""
    asynchronous = _is_async(inspect.getattr_static(application, "__call__", None))
    parameters = _parameters(application)
    if asynchronous and (parameters is None or len(parameters.required) <= 1):
        return Detected("asgi", "a class of (scope) with an async __call__(receive, send): ASGI 2", True)
    if hasattr(application, "__await__"):
        return Detected("asgi", "a class of (scope, receive, send) whose instances are awaited")
    if hasattr(application, "__iter__") and (parameters is None or parameters.takes(2)):
        return Detected("wsgi", "a class of (environ, start_response) whose instances are iterated")
    raise ApplicationError(
        f"no interface for class {application.__name__}: its instances are neither iterated nor awaited",
        "name an instance of it, or a factory of one with --factory; or force it with --interface",
    )


def _of_signature(application: Callable[..., object]) -> Detected | None:
    """By names, then by number; None if the signature says nothing."""
    noun, asynchronous, parameters = _noun(application), _is_async(application), _parameters(application)
    if parameters is None or parameters.says_nothing:
        return Detected("asgi", f"an async {noun}") if asynchronous else None
    words = (
        f"{'an async' if asynchronous else 'a'} {noun.partition(' ')[2]} of ({', '.join(parameters.names)})"
    )
    if parameters.names[:1] == ("scope",) or parameters.names[1:3] == ("receive", "send"):
        single = len(parameters.required) == 1
        return Detected("asgi", f"{words}: ASGI 2" if single else words, single)
    if asynchronous and len(parameters.required) != 3:
        raise ApplicationError(
            f"telling the interface of {words}: WSGI calls no async functions, and ASGI passes 3 arguments",
            "an ASGI application is async def application(scope, receive, send)",
        )
    if parameters.names[:1] == ("environ",) or parameters.takes(2):
        return Detected("wsgi", words)
    if parameters.takes(3):
        return Detected("asgi", words)
    hint = "is it a factory? Then add --factory" if not parameters.required else "force it with --interface"
    raise ApplicationError(
        f"telling the interface of {words}: WSGI passes 2 arguments (environ, start_response), ASGI 3", hint
    )


def _of_wrapped(application: object, depth: int) -> Detected | None:
    """Look at what a wrapper holds, under the names that wrappers use."""
    for name in WRAPPED if depth else ():
        inner = inspect.getattr_static(application, name, None)
        if inner is None or inspect.isdatadescriptor(inner) or not callable(inner):
            inner = _instance_value(application, name)
        if not callable(inner) or inner is application or inspect.isclass(inner):
            continue
        try:
            found = _of_signature(inner) or _of_wrapped(inner, depth - 1)
        except ApplicationError:
            continue
        if found is not None:
            return found
    return None


def _instance_value(application: object, name: str) -> object:
    """A plain attribute of the instance; properties are not run."""
    values = getattr(application, "__dict__", {})
    return values.get(name) if isinstance(values, dict) else None


@dataclass(frozen=True, slots=True)
class _Parameters:
    """The positional parameters of a call."""

    names: tuple[str, ...]
    required: tuple[str, ...]
    variable: bool  # *args

    @property
    def says_nothing(self) -> bool:
        return self.variable and not self.names

    def takes(self, number: int) -> bool:
        """Whether `number` arguments are what it seems to want: all it needs, or all it has."""
        enough = len(self.required) <= number and (self.variable or number <= len(self.names))
        return enough and number in (len(self.required), len(self.names))


def _parameters(application: Callable[..., object]) -> _Parameters | None:
    """What the call takes, through partials, bound methods and functools.wraps; None if it cannot be read."""
    try:
        parameters = inspect.signature(application).parameters.values()
    except (ValueError, TypeError):
        return None
    positional = [p for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return _Parameters(
        tuple(p.name for p in positional),
        tuple(p.name for p in positional if p.default is p.empty),
        any(p.kind is p.VAR_POSITIONAL for p in parameters),
    )


def _is_async(application: object) -> bool:
    """Whether calling it gives a coroutine."""
    while isinstance(application, functools.partial):
        application = application.func
    if inspect.iscoroutinefunction(application):
        return True
    call = inspect.getattr_static(type(application), "__call__", None)
    return not inspect.isroutine(application) and inspect.iscoroutinefunction(call)


def _noun(application: object) -> str:
    """What it is, with an article."""
    if isinstance(application, functools.partial):
        return "a functools.partial"
    if inspect.ismethod(application):
        return "a method"
    if inspect.isfunction(application):
        return "a function"
    if inspect.isroutine(application):
        return "a built-in function"
    return f"a callable {type(application).__module__.partition('.')[0]} {type(application).__name__}"
