"""The user's own functions at moments in the life of an app: found by name, called with one argument, within
a time.

They run in molds and workers, never in the master. Knows the moments' names, not when they come.
"""

import importlib
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import reduce
from types import FrameType

from forkcluster.dataclass import dataclass
from forkcluster.errors import ApplicationError
from forkcluster.options.frozen import Options


@dataclass(frozen=True, slots=True)
class Occasion:
    """What a hook is called with. `slot` is None where there is no worker."""

    hook: str
    app: str
    generation: int
    slot: int | None = None


class HookTimeoutError(ApplicationError):
    """A hook has used up its time."""


def run(options: Options, occasion: Occasion) -> None:
    """Call the hook that the options name for this occasion, if any; on the main thread.

    Raise ApplicationError (not found, too slow) and what the hook raises. Python code is interrupted at the
    deadline; C code that does not return is left to the deadline of whatever the hook is part of.
    """
    name = getattr(options, occasion.hook)
    if name is not None:
        hook = _find(occasion.hook, name)
        with _limited(occasion.hook, name, options.hook_timeout):
            hook(occasion)


def _find(hook: str, name: str) -> Callable[[Occasion], object]:
    module, _, attribute = name.partition(":")
    try:
        found = reduce(getattr, attribute.split("."), importlib.import_module(module))
    except (ImportError, AttributeError) as error:
        raise ApplicationError(f"looking for the hook {hook} = {name}: {error}") from error
    if not callable(found):
        raise ApplicationError(f"looking for the hook {hook} = {name}: that is no function")
    return found


@contextmanager
def _limited(hook: str, name: str, seconds: float) -> Iterator[None]:
    def ring(_number: int, _frame: FrameType | None) -> None:
        raise HookTimeoutError(f"the hook {hook} = {name} took longer than {seconds:g} s")

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
