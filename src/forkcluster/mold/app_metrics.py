"""Has the application's own prometheus_client write into files that the admin process reads and merges.

The library does that by itself when a variable names a directory, and calls each process by its pid. Here the
name is the worker's seat, so that a successor counts on in the same file and nothing is lost or folded. It is
set up when the application imports the library, and only if it has not chosen a directory by then.
"""

import os
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from importlib.abc import Loader
else:  # it is an interface only, and brings some twenty modules with it
    Loader = object

MODULE = "prometheus_client.values"  # where the library makes up its mind, on import
VARIABLE = "PROMETHEUS_MULTIPROC_DIR"
VARIABLES = (VARIABLE, "prometheus_multiproc_dir")


class Identity:
    """What the library calls this process: distinct among all that run at one time, which is its one rule."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._pid = os.getpid()

    def become(self, name: str) -> None:
        """Be called this from now on, after a fork."""
        self._name = name
        self._pid = os.getpid()

    def __call__(self) -> str:
        """Give the name; a process that the application has forked has one of its own."""
        pid = os.getpid()
        return self._name if pid == self._pid else f"{self._name}-{pid}"


class Hook(Loader):
    """Waits for the library to be imported, once."""

    def __init__(self, directory: str, identity: Identity) -> None:
        self._directory = directory
        self._identity = identity
        self._loader: Loader | None = None

    def install(self) -> None:
        """Begin to wait."""
        sys.meta_path.insert(0, self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Take over the loading of the one module; everything else is the others' business."""
        if fullname != MODULE:
            return None
        sys.meta_path.remove(self)
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target)
            if spec is not None and spec.loader is not None:
                self._loader, spec.loader = spec.loader, self
                return spec
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Have it made as usual."""
        return self._loader.create_module(spec) if self._loader is not None else None

    def exec_module(self, module: ModuleType) -> None:
        """Run it, in a directory of ours unless there is one."""
        chosen = any(os.environ.get(name) for name in VARIABLES)
        if not chosen:
            os.environ[VARIABLE] = self._directory
        if self._loader is not None:
            self._loader.exec_module(module)
        if not chosen:
            module.ValueClass = module.MultiProcessValue(self._identity)  # type: ignore[attr-defined]
