"""Loads the app as the order says: directory, path and environment first, then the import. Owns the words of
failure.

An error of the application is told by its own frames: those of forkcluster and of the import machinery are
cut.
"""

import os
import sys
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import Any

import forkcluster
from forkcluster.dataclass import dataclass
from forkcluster.errors import ApplicationError, ForkclusterError
from forkcluster.mold.interface import decide
from forkcluster.mold.target import resolve
from forkcluster.options import logconfig
from forkcluster.wire.orders import LoadOrder

OURS = os.path.dirname(os.path.abspath(forkcluster.__file__)) + os.sep


@dataclass(frozen=True, slots=True)
class Loaded:
    """The application object, its interface (wsgi or asgi, then version 3) and how that was told."""

    application: Callable[..., object]
    interface: str
    decided: str


def prepare(order: LoadOrder) -> None:
    """Take on the app's directory, import path, environment and logging. Raise ForkclusterError."""
    os.environ.update(order.options.env)
    try:
        os.chdir(order.directory)
    except OSError as error:
        raise ApplicationError(f"cannot enter {order.directory}: {error.strerror}") from error
    paths = [os.path.join(order.directory, entry) for entry in order.options.pythonpath]
    sys.path[:] = [
        order.directory,
        *paths,
        *(entry for entry in sys.path if entry not in ("", order.directory)),
    ]
    if order.options.log_config is not None:
        logconfig.apply(order.options.log_config)


def load(order: LoadOrder) -> Loaded:
    """Import the app. Raise ForkclusterError."""
    options = order.options
    application = resolve(options.target, factory=options.factory, directory=order.directory)
    detected = decide(application, options.interface)
    if detected.double:
        application = _single(application)
    return Loaded(application, detected.interface, detected.reason)


def _single(application: Callable[..., Any]) -> Callable[..., object]:
    """Call an ASGI 2 application (scope first, then receive and send) as ASGI 3 does."""

    async def call(scope: object, receive: object, send: object) -> None:
        await application(scope)(receive, send)

    return call


def describe_failure(error: BaseException) -> str:
    """Put into words why the app could not be loaded: our own errors by message, the app's by traceback."""
    if isinstance(error, ForkclusterError):
        details = getattr(error, "details", "")
        return f"{error}\n{details}".rstrip() if details else str(error)
    seen: set[int] = set()
    _cut_chain(error, seen)
    return "".join(traceback.format_exception(type(error), error, error.__traceback__)).rstrip()


def _cut_chain(error: BaseException | None, seen: set[int]) -> None:
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        error.__traceback__ = _cut(error.__traceback__)
        _cut_chain(error.__context__, seen)
        error = error.__cause__


def _cut(trace: TracebackType | None) -> TracebackType | None:
    """Drop leading frames that are ours or the import machinery's."""
    while trace is not None and _is_ours(trace.tb_frame.f_code.co_filename):
        trace = trace.tb_next
    return trace


def _is_ours(filename: str) -> bool:
    return filename.startswith((OURS, "<frozen importlib")) or f"{os.sep}importlib{os.sep}" in filename
