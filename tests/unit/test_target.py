"""From a target's text to the application: each is resolved in a fresh interpreter, as the mold does it."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, os, sys
directory, target, factory, *early = sys.argv[1:]
os.chdir(directory)
sys.path[0] = directory
for name in early:
    __import__(name)
from forkcluster.errors import ApplicationError
from forkcluster.mold.target import resolve
try:
    found = resolve(target, factory=factory == "yes", directory=directory)
    answer = {"name": getattr(found, "__name__", repr(found)), "module": getattr(found, "__module__", "")}
except ApplicationError as error:
    answer = {"message": error.message, "remedy": error.remedy, "details": error.details}
except Exception as error:
    answer = {"raised": type(error).__name__}
print(json.dumps(answer))
"""

APP = "def application(environ, start_response): pass\n"


@pytest.fixture
def project(tmp_path):
    """Write files, then resolve a target among them."""

    def resolve(target, files, *early, factory=False):
        for name, text in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        command = [sys.executable, "-c", PROBE, str(tmp_path), target, "yes" if factory else "no", *early]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    return resolve


@pytest.mark.parametrize(
    ("target", "files", "expected"),
    [
        ("app:application", {"app.py": APP}, ("application", "app")),
        ("app", {"app.py": APP}, ("application", "app")),
        ("app", {"app.py": "def app(e, s): pass"}, ("app", "app")),
        ("app", {"app.py": "def create_app():\n def made(e, s): pass\n return made"}, ("made", "app")),
        (
            "pkg.mod:box.app",
            {"pkg/__init__.py": "", "pkg/mod.py": "class box:\n def app(e, s): pass"},
            ("app", "pkg.mod"),
        ),
        ("app.py", {"app.py": APP}, ("application", "app")),
        (
            "./src/app.py:application",
            {"src/app.py": "import beside\n" + APP, "src/beside.py": ""},
            ("application", "app"),
        ),
        ("my-app.py", {"my-app.py": APP}, ("application", "my_app")),
        ("json.py", {"json.py": APP}, ("application", "app_json")),
        ("2go.py", {"2go.py": APP}, ("application", "app_2go")),
        (
            "src/pkg/web.py",
            {
                "src/pkg/__init__.py": "",
                "src/pkg/web.py": "from . import near\n" + APP,
                "src/pkg/near.py": "",
            },
            ("application", "pkg.web"),
        ),
        ("pkg/__init__.py", {"pkg/__init__.py": APP}, ("application", "pkg")),
        ("app", {"app/__init__.py": "from app import app", "app/app.py": "", "app/x.py": ""}, None),
        (
            "app",
            {"app/__init__.py": "from app import app\nfrom app.app import application", "app/app.py": APP},
            ("application", "app.app"),
        ),
    ],
)
def test_a_target_is_found(project, target, files, expected):
    """Modules, files, packages and their usual names; a module named `app` is no application."""
    answer = project(target, files)
    assert expected == ((answer["name"], answer["module"]) if "name" in answer else None), answer


def test_a_factory_is_called_once(project):
    """With --factory the attribute is called, and what it returns is the application."""
    text = "calls = []\ndef make():\n calls.append(1)\n def made(e, s): pass\n return made\n"
    assert "made" == project("app:make", {"app.py": text}, factory=True)["name"]


@pytest.mark.parametrize(
    ("target", "files", "message", "remedy"),
    [
        ("shpo:app", {"shop.py": ""}, "there is no module shpo", "did you mean shop?"),
        ("nowhere.wsgi", {}, "there is no module nowhere", "looked in"),
        (
            "shop.wsgj",
            {"shop/__init__.py": "", "shop/wsgi.py": ""},
            "no module shop.wsgj",
            "did you mean shop.wsgi?",
        ),
        ("app:aplication", {"app.py": APP}, "app has no attribute aplication", "did you mean application?"),
        (
            "app:x",
            {"app.py": "def web(e, s): pass\nfrom json import dumps"},
            "no attribute x",
            "has to offer: web",
        ),
        ("app:", {"app.py": "x = 1"}, "none of application, app", "defines no callable"),
        ("app", {"app.py": "def web(e, s): pass"}, "none of application, app", "app:web"),
        ("app:box.y", {"app.py": "class box: x = 1"}, "app:box has no attribute y", ""),
        (
            "app:application",
            {"app.py": "application = 'x'"},
            "it is not callable but a str",
            "name the application",
        ),
        ("app:make()", {"app.py": ""}, "make() is a call", "app:make --factory"),
        ("web.py", {}, "does not exist", ""),
        ("src", {"src/x.py": ""}, "none of application", "defines no callable"),
        ("./src", {"src/x.py": ""}, "is a directory", ""),
        ("app..x", {}, "not a module's name", "name a module"),
        ("app", {"app.py": "import sys\nsys.exit(3)"}, "called sys.exit(3)", "__main__"),
    ],
)
def test_a_target_that_is_not_there_is_told_with_a_remedy(project, target, files, message, remedy):
    """The message names what is missing, the remedy the nearest thing that is not."""
    answer = project(target, files)
    assert (True, True) == (message in answer.get("message", ""), remedy in answer.get("remedy", "")), answer


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(config): pass", "wants some"),
        ("async def make(): pass", "its factory is async"),
        ("def make(): return 3", "what its factory returned is not callable but an int"),
    ],
)
def test_a_wrong_factory_is_told(project, text, message):
    """A factory takes nothing and returns a callable at once."""
    assert message in project("app:make", {"app.py": text}, factory=True)["message"]


@pytest.mark.parametrize(
    ("files", "raised"),
    [
        ({"app.py": "import nowhere"}, "ModuleNotFoundError"),
        ({"app/__init__.py": "import app.nowhere"}, "ModuleNotFoundError"),
        ({"app.py": "1 / 0"}, "ZeroDivisionError"),
        ({"app.py": "def ("}, "SyntaxError"),
        ({"app.py": "def create_app(): raise TypeError('inside')"}, "TypeError"),
    ],
)
def test_the_applications_own_error_passes_through(project, files, raised):
    """An import that fails inside the target is not mistaken for its absence."""
    assert {"raised": raised} == project("app", files)


def test_sys_exit_at_import_shows_where(project):
    """The traceback begins in the application."""
    details = project("app", {"app.py": "import sys\n\nsys.exit('no')\n"})["details"]
    assert (True, False) == ("app.py" in details, "mold" in details)


def test_a_failed_file_leaves_no_module_behind(tmp_path):
    """A file imported by its path is not half there after it failed."""
    (tmp_path / "my-app.py").write_text("1 / 0")
    script = (
        "import sys\nfrom forkcluster.mold.target import resolve\n"
        f"try: resolve('my-app.py', factory=False, directory={str(tmp_path)!r})\n"
        "except ZeroDivisionError: print('my_app' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "False" == done.stdout.strip()


@pytest.mark.parametrize(
    ("name", "module", "call"),
    [("gevent", "monkey", "is_module_patched"), ("eventlet", "patcher", "is_monkey_patched")],
)
def test_a_monkey_patched_application_is_refused(project, name, module, call):
    """gevent and eventlet are asked by their own functions; the remedy names gunicorn.

    Packages of those names stand in for the real ones, which this project does not install.
    """
    files = {
        f"{name}/__init__.py": "",
        f"{name}/{module}.py": f"def {call}(name): return name == 'socket'",
        "app.py": f"import {name}.{module}\n" + APP,
    }
    answer = project("app", files)
    assert f"gunicorn -k {name}" in answer["remedy"], answer


def test_gevent_unpatched_is_served(project):
    """Having gevent imported is no fault; replacing the socket module's calls is."""
    files = {
        "gevent/__init__.py": "",
        "gevent/monkey.py": "def is_module_patched(name): return False",
        "app.py": "import gevent.monkey\n" + APP,
    }
    assert "application" == project("app", files)["name"]
