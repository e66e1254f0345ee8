"""How the processes of a cluster are named in `ps`: `forkcluster: worker [api] 0 g7`.

Loads the extension of setproctitle without its package module, which would bring `logging` into the master.
Room for a title is the process's own argument vector, so whoever starts a process passes its title as last
argument.
"""

import importlib.util
import os
from collections.abc import Callable
from importlib.machinery import PathFinder


def title_of(role: str, app: str, *rest: object) -> str:
    """Compose a title from the role, the app's name and what else tells the process from its like."""
    return " ".join([f"forkcluster: {role} [{app}]", *map(str, rest)])


def set_title(title: str) -> None:
    """Name this process; without setproctitle it keeps its name. The environment block stays as it was."""
    global _setter  # noqa: PLW0603  the extension must be loaded once per process
    if _setter is None:
        _setter = _load_setter()
    _setter(title)


_setter: Callable[[str], None] | None = None


def _load_setter() -> Callable[[str], None]:
    package = PathFinder.find_spec("setproctitle")
    places = package.submodule_search_locations if package else None
    spec = PathFinder.find_spec("_setproctitle", places) if places else None
    if spec is None or spec.loader is None:
        return lambda title: None
    before = os.environ.get("SPT_NOENV")
    os.environ["SPT_NOENV"] = "1"
    try:
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        module.getproctitle()
    finally:
        if before is None:
            del os.environ["SPT_NOENV"]
        else:
            os.environ["SPT_NOENV"] = before
    setter: Callable[[str], None] = module.setproctitle
    return setter
