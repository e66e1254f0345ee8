"""From a target's text to the application object. Owns the import rules and their errors.

The caller has entered the app's directory and put it first on sys.path. What the application's own code
raises while it is imported or made passes through untouched, SystemExit excepted: whoever reports it wants
the author's frames.
"""

import importlib
import importlib.util
import inspect
import os
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Iterable
from types import ModuleType, TracebackType
from typing import Final

from forkcluster.errors import ApplicationError, did_you_mean

INSTANCES: Final = ("application", "app")
FACTORIES: Final = ("create_app", "make_app")


def resolve(target: str, *, factory: bool, directory: str) -> Callable[..., object]:
    """Import `target` and return its application.

    `target` is module:attribute, module, or path/to/file.py[:attribute], the path relative to `directory`;
    the attribute may be dotted. Raises ApplicationError, and whatever the application's own code raises.
    """
    location, _, attribute = target.partition(":")
    try:
        module = (
            _import_file(location, directory) if _is_path(location) else _import_module(location, directory)
        )
        found, made = (
            _attribute(module, attribute, location, factory)
            if attribute
            else _usual(module, location, factory)
        )
        application = _make(found, target) if made else found
    except SystemExit as error:
        raise ApplicationError(
            f"loading {target}: it called sys.exit({error.code!r}) instead of becoming ready",
            "keep what is only for running it as a script below: if __name__ == '__main__'",
            _own_frames(error),
        ) from error
    refuse_patched()
    return _callable(application, target, made)


def refuse_patched() -> None:
    """Raise ApplicationError if gevent or eventlet has replaced the socket module's blocking calls."""
    gevent = sys.modules.get("gevent.monkey")
    eventlet = sys.modules.get("eventlet.patcher")
    for name, patched in (
        ("gevent", gevent is not None and gevent.is_module_patched("socket")),
        ("eventlet", eventlet is not None and eventlet.is_monkey_patched("socket")),
    ):
        if patched:
            raise ApplicationError(
                f"loading the application: it is monkey-patched by {name}, which forkcluster does not serve",
                f"drop the patching and use threads, or serve it with gunicorn -k {name}",
            )


def _is_path(location: str) -> bool:
    return location.endswith(".py") or "/" in location


def _import_module(name: str, directory: str) -> ModuleType:
    if not all(part.isidentifier() for part in name.split(".")):
        raise ApplicationError(
            f"loading {name}: not a module's name",
            "name a module (shop.wsgi:application) or a file (path/to/file.py:application)",
        )
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if not _is_absence(error, name):
            raise
        near = did_you_mean(str(error.name), _siblings(str(error.name), directory))
        where = f"looked in {directory} and the rest of sys.path; --chdir and --pythonpath add to it"
        if "." not in name and (program := shutil.which(name)):
            where = f"to run the program {program}, say --exec-mode fork"
        raise ApplicationError(f"loading {name}: there is no module {error.name}", near or where) from None


def _is_absence(error: ModuleNotFoundError, name: str) -> bool:
    """Whether the module itself is not there, as against an import that failed inside it."""
    missing = error.name or ""
    return (name == missing or name.startswith(missing + ".")) and not any(_theirs(error.__traceback__))


def _theirs(trace: TracebackType | None) -> Iterable[str]:
    """The files of the frames that are neither ours nor the import machinery's."""
    for frame in traceback.extract_tb(trace):
        if frame.filename not in (__file__, importlib.__file__) and not frame.filename.startswith("<frozen"):
            yield frame.filename


def _siblings(name: str, directory: str) -> list[str]:
    """The dotted names of the modules that lie where `name` was looked for."""
    *packages, _ = name.split(".")
    return [".".join([*packages, found]) for found in _modules_in(os.path.join(directory, *packages))]


def _modules_in(directory: str) -> list[str]:
    """Modules and packages that lie in the directory."""
    try:
        names = os.listdir(directory)
    except OSError:
        return []
    stems = [name.removesuffix(".py") for name in names if name.endswith(".py")]
    packages = [name for name in names if os.path.isfile(os.path.join(directory, name, "__init__.py"))]
    return [name for name in stems + packages if name.isidentifier()]


def _import_file(location: str, directory: str) -> ModuleType:
    """Import a file under its own name: in its package if it lies in one, whose root goes on sys.path."""
    path = os.path.abspath(os.path.join(directory, location))
    if not os.path.isfile(path) or not path.endswith(".py"):
        what = (
            "is a directory"
            if os.path.isdir(path)
            else "is no .py file"
            if os.path.exists(path)
            else "does not exist"
        )
        near = did_you_mean(
            os.path.basename(path), [f"{name}.py" for name in _modules_in(os.path.dirname(path))]
        )
        raise ApplicationError(f"loading {location}: {path} {what}", near)
    root, name = module_name(path)
    if root not in sys.path:
        sys.path.insert(0, root)
    if _names_file(name, path):
        return importlib.import_module(name)
    return _import_as(_free_name(name), path)


def module_name(path: str) -> tuple[str, str]:
    """The directory to import from, and the dotted name, of the file at the absolute path."""
    root, name = os.path.dirname(path), os.path.basename(path).removesuffix(".py")
    parts = [] if name == "__init__" else [name]
    while os.path.isfile(os.path.join(root, "__init__.py")) and os.path.basename(root).isidentifier():
        root, package = os.path.split(root)
        parts.insert(0, package)
    return root, ".".join(parts) or name


def _names_file(name: str, path: str) -> bool:
    """Whether importing `name` would run that very file: not if the standard library, say, has the name."""
    if not all(part.isidentifier() for part in name.split(".")):
        return False
    try:
        spec = importlib.util.find_spec(name)
    except (ModuleNotFoundError, ValueError):
        return False
    return (
        spec is not None
        and spec.origin is not None
        and os.path.realpath(spec.origin) == os.path.realpath(path)
    )


def _free_name(name: str) -> str:
    """A module name like `name` that nobody has."""
    plain = re.sub(r"\W", "_", name)
    return (
        f"app_{plain}"
        if plain in sys.modules or plain in sys.stdlib_module_names or plain[:1].isdigit()
        else plain
    )


def _import_as(name: str, path: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ApplicationError(f"loading {path}: Python has no loader for it")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise
    return module


def _attribute(module: ModuleType, attribute: str, location: str, factory: bool) -> tuple[object, bool]:
    """The named attribute, and whether it is to be called first."""
    if attribute.endswith(")"):
        bare = attribute.partition("(")[0]
        raise ApplicationError(
            f"loading {location}: {attribute} is a call",
            f"name the factory and say so: {location}:{bare} --factory",
        )
    found: object = module
    walked = location
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError:
            near = did_you_mean(part, [name for name in dir(found) if _offers(found, name)])
            offered = ", ".join(_offered(found)) or "none"
            raise ApplicationError(
                f"loading {location}: {walked} has no attribute {part or 'of an empty name'}",
                near or f"what it has to offer: {offered}",
            ) from None
        walked = f"{walked}:{part}" if walked == location else f"{walked}.{part}"
    return found, factory


def _usual(module: ModuleType, location: str, factory: bool) -> tuple[object, bool]:
    """`application` or `app`; else a factory of the usual name. With --factory only the latter."""
    for names, made in ((() if factory else INSTANCES, False), (FACTORIES, True)):
        for name in names:
            if callable(found := getattr(module, name, None)):
                return found, made
    wanted = ", ".join(FACTORIES if factory else INSTANCES + FACTORIES)
    offered = ", ".join(f"{location}:{name}" for name in _offered(module))
    raise ApplicationError(
        f"loading {location}: it has none of {wanted}",
        f"name one of its callables: {offered}"
        if offered
        else "it defines no callable: is it the right module?",
    )


def _offered(holder: object) -> list[str]:
    """The callables that `holder` defines itself, at most eight."""
    return [name for name in dir(holder) if _offers(holder, name)][:8]


def _offers(holder: object, name: str) -> bool:
    """Whether that attribute might be an application: callable, public, and not merely imported."""
    value = getattr(holder, name, None)
    if name.startswith("_") or not callable(value):
        return False
    imported = isinstance(holder, ModuleType) and (inspect.isroutine(value) or inspect.isclass(value))
    return not imported or getattr(value, "__module__", None) == getattr(holder, "__name__", "")


def _make(factory: object, target: str) -> object:
    """Call the factory, which takes no arguments."""
    made = _callable(factory, target, False)
    try:
        inspect.signature(made).bind()
    except TypeError as error:
        raise ApplicationError(
            f"loading {target}: a factory is called without arguments, this one wants some: {error}",
            "write a small function that calls it, and name that; or drop --factory if it is the application",
        ) from None
    except ValueError:
        pass  # no signature to read: the call itself will tell
    return made()


def _callable(value: object, target: str, made: bool) -> Callable[..., object]:
    """`value`, if it can be called as an application may be."""
    if inspect.iscoroutine(value):
        value.close()
        raise ApplicationError(f"loading {target}: its factory is async", "make it a plain function")
    if not callable(value):
        what = "what its factory returned" if made else "it"
        raise ApplicationError(
            f"loading {target}: {what} is not callable but {_article(type(value).__name__)}",
            "name the application object itself, or a function that returns it with --factory",
        )
    return value


def _article(noun: str) -> str:
    return f"an {noun}" if noun[:1].lower() in "aeiou" else f"a {noun}"


def _own_frames(error: BaseException) -> str:
    """The error's traceback, from the application's first frame on."""
    trace = error.__traceback__
    while trace is not None and not any(_theirs_first(trace)):
        trace = trace.tb_next
    return "".join(traceback.format_exception(type(error), error, trace)).rstrip()


def _theirs_first(trace: TracebackType) -> list[str]:
    name = trace.tb_frame.f_code.co_filename
    return [] if name in (__file__, importlib.__file__) or name.startswith("<frozen") else [name]
