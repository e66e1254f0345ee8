"""The garbage collector around an import and a fork, and what the application has chosen for it.

No collection runs while the app is loaded: it would only visit objects that stay, and in a worker it would
copy their pages. The app's own `gc.disable()` or `gc.enable()` during the import is its choice, which the
workers get back.
"""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


class Collector:
    """Remembers whether collection shall be on in a worker."""

    def __init__(self) -> None:
        self._wanted = gc.isenabled()

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Switch collection off while the app is loaded; note what the app asks for meanwhile."""
        real = gc.disable
        gc.disable()

        def disable() -> None:
            self._wanted = False
            real()

        gc.disable = disable
        try:
            yield
        finally:
            gc.disable = real
            if gc.isenabled():
                self._wanted = True
                gc.disable()

    def freeze(self) -> None:
        """Move all that is loaded out of the collector's sight, so that workers share its pages."""
        gc.freeze()

    def resume(self) -> None:
        """Give back what the app had chosen."""
        if self._wanted:
            gc.enable()
