"""Imports point one way: a folder is a process, and no process imports another but through the two doors.

Read from the source by `ast`, so that imports inside functions count as well. DESIGN.md, "Rooms".
"""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "src" / "forkcluster"
SHARED = {"wire", "options", "errors", "log", "dataclass", "forkcluster"}
C_SMALL = {"_process", "_fdpass", "_scoreboard"}

# What each room may import of ours, itself always. A room is a folder or a module beside them; a new one must
# say here what it may import.
ROOMS = {
    "forkcluster": set(),
    "errors": set(),
    "log": set(),
    "dataclass": set(),
    "options": {"errors", "log", "dataclass", "forkcluster"},
    "wire": {"errors", "log", "dataclass", "options", "forkcluster"},
    "cli": SHARED | {"manager"},
    "manager": SHARED | {"_scoreboard", "_process"},
    "master": SHARED | C_SMALL,
    "mold": SHARED | C_SMALL,
    "worker": SHARED | C_SMALL | {"_engine", "_taskset"},
    "watcher": SHARED | {"_process"},
    "logger": SHARED | {"_process"},
    "admin": SHARED | C_SMALL | {"_engine"},
    "__main__": {"cli"},
}
# The mold becomes the worker by forking: the only import from one process's folder into another's. (The other
# door, cli/serve to the master, is an exec and needs no import.)
DOORS = {("forkcluster.mold.main", "forkcluster.worker.main")}

# Guests: who, beyond the standard library, may be imported by whom.
GUESTS = {
    "options": {"tomli", "yaml", "cronsim"},
    "wire": {"setproctitle"},
    "cli": {"click", "rich", "textual"},
    "watcher": {"watchfiles", "pathspec"},
    "admin": {"prometheus_client", "psutil"},
    "worker": {"uvloop", "websockets"},
}


def name_of(path: Path) -> str:
    """The dotted name of a module's file."""
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
COMPILED = {f"forkcluster.{path.stem}" for path in PACKAGE.glob("_*.pyi")}


def imports(source: str, module: str, *, lazy: bool = True) -> Iterator[str]:
    """Every module that a source imports, by full name; without `lazy`, only what it imports when loaded."""
    tree = ast.parse(source)
    for node in ast.walk(tree) if lazy else top(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = absolute(node, module)
            for alias in node.names:
                full = f"{base}.{alias.name}"
                yield full if full in MODULES or full in COMPILED else base


def top(node: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run when the module is loaded: all but the bodies of functions and of TYPE_CHECKING."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            continue
        if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
            continue
        yield child
        yield from top(child)


def absolute(node: ast.ImportFrom, module: str) -> str:
    """The full name of the module that `from … import` names, relative ones too."""
    if not node.level:
        return node.module or ""
    package = (
        module.split(".") if MODULES.get(module, Path()).name == "__init__.py" else module.split(".")[:-1]
    )
    return ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])


def room(module: str) -> str:
    """The folder (or lone module) that a module of ours is in."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else parts[0]


def strangers(source: str, module: str) -> list[str]:
    """What a module of ours imports and may not."""
    mine = room(module)
    found = []
    for name in imports(source, module):
        if name.split(".")[0] == "forkcluster":
            fine = room(name) == mine or room(name) in ROOMS[mine] or (module, name) in DOORS
        else:
            fine = name.split(".")[0] in (sys.stdlib_module_names | {"tomllib"}) | GUESTS.get(mine, set())
        found += [] if fine else [name]
    return found


def reached(start: str) -> set[str]:
    """Everything that importing or ever running a module may import, by the sources, itself included."""
    todo, seen = [start], set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        if name in MODULES:
            todo += imports(MODULES[name].read_text(encoding="utf-8"), name)
            todo += [name.rpartition(".")[0]] if "." in name else []
    return seen


@pytest.mark.parametrize("module", MODULES)
def test_a_module_imports_only_what_its_room_may(module):
    """Nothing of another process, and no guest that this process does not host, lazily or not."""
    assert strangers(MODULES[module].read_text(encoding="utf-8"), module) == []


@pytest.mark.parametrize("module", [name for name in MODULES if room(name) == "master"])
def test_the_master_reaches_only_the_standard_library_setproctitle_cronsim_and_our_small_c(module):
    """Whatever a module of the master imports, directly or through others, now or later."""
    ours = {f"forkcluster.{name}" for name in C_SMALL}
    foreign = {
        name
        for name in reached(module) - MODULES.keys() - ours
        if name.split(".")[0] not in (sys.stdlib_module_names | {"tomllib"})
    }
    assert foreign <= {"setproctitle", "cronsim"}


def test_a_master_loads_no_page_that_it_must_not_have():
    """What the interpreter really holds once the master's code is imported."""
    code = "import sys, forkcluster.master.main; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    forbidden = {"asyncio", "click", "rich", "ssl", "multiprocessing", "logging", "forkcluster._engine"}
    forbidden |= {"dataclasses", "inspect", "subprocess", "threading", "tempfile", "shutil"}  # 3 MiB
    assert forbidden & set(done.stdout.split()) == set()


def test_no_two_modules_import_each_other_when_loaded():
    """Following the imports at the top of modules never leads back."""
    graph = {
        name: {
            each for each in imports(path.read_text(encoding="utf-8"), name, lazy=False) if each in MODULES
        }
        for name, path in MODULES.items()
    }
    while leaves := {name for name, targets in graph.items() if not targets & graph.keys()}:
        graph = {name: targets for name, targets in graph.items() if name not in leaves}
    assert {} == graph


@pytest.mark.parametrize(
    ("module", "source", "expected"),
    [
        (
            "forkcluster.master.main",
            "def f():\n    from forkcluster.cli import report\n",
            ["forkcluster.cli.report"],
        ),
        ("forkcluster.master.main", "from ..mold import load", ["forkcluster.mold.load"]),
        ("forkcluster.mold.load", "from forkcluster.worker.main import work", ["forkcluster.worker.main"]),
        ("forkcluster.mold.main", "from forkcluster.worker.main import work", []),
        ("forkcluster.master.main", "from forkcluster import _engine", ["forkcluster._engine"]),
        ("forkcluster.worker.main", "import click.testing", ["click.testing"]),
        ("forkcluster.errors", "import forkcluster.log", ["forkcluster.log"]),
        ("forkcluster.options.read", "if x:\n    import forkcluster.wire.title", ["forkcluster.wire.title"]),
        ("forkcluster.log", "import json\nfrom os import path", []),
    ],
)
def test_the_reading_of_imports_sees_every_kind(module, source, expected):
    """A forbidden import is found wherever and however it is written."""
    assert expected == strangers(source, module)
