"""The application's own logging set-up, from a file."""

import json
import subprocess
import sys

import pytest

from forkcluster.errors import ConfigurationError
from forkcluster.options import logconfig

DICT = {
    "formatters": {"f": {"format": "%(levelname)s|%(message)s"}},
    "handlers": {"h": {"class": "logging.StreamHandler", "formatter": "f"}},
    "root": {"level": "INFO", "handlers": ["h"]},
}
TOML = """
[formatters.f]
format = "%(levelname)s|%(message)s"
[handlers.h]
class = "logging.StreamHandler"
formatter = "f"
[root]
level = "INFO"
handlers = ["h"]
"""
INI = """
[loggers]
keys=root
[handlers]
keys=h
[formatters]
keys=f
[logger_root]
level=INFO
handlers=h
[handler_h]
class=StreamHandler
formatter=f
args=()
[formatter_f]
format=%(levelname)s|%(message)s
"""
FILES = {"log.json": json.dumps(DICT), "log.toml": TOML, "log.ini": INI}


@pytest.mark.parametrize("name", FILES)
def test_each_format_sets_up_logging(tmp_path, name):
    """The same set-up in JSON, TOML and ini writes the same line."""
    path = tmp_path / name
    path.write_text(FILES[name])
    logconfig.check(str(path))
    script = (
        f"from forkcluster.options import logconfig; logconfig.apply({str(path)!r})\n"
        "import logging; logging.info('x')"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (0, "INFO|x\n") == (done.returncode, done.stderr)


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("log.json", "{", "Expecting"),
        ("log.json", "[]", "expected an object"),
        ("log.toml", "= 1", "Invalid"),
        ("log.ini", "x", "no section"),
        ("log.yaml", "", "cannot be told from its name"),
    ],
)
def test_a_broken_file_is_refused_before_the_start(tmp_path, name, text, words):
    """check names the file and what is wrong with it."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(ConfigurationError) as caught:
        logconfig.check(str(path))
    assert (True, True) == (str(path) in caught.value.message, words in caught.value.message), str(
        caught.value
    )


def test_what_logging_refuses_is_told_with_its_reason(tmp_path):
    """apply passes on the words of the logging package, the deepest too."""
    path = tmp_path / "log.json"
    path.write_text(json.dumps({"root": {"handlers": ["nowhere"]}}))
    with pytest.raises(ConfigurationError, match="nowhere"):
        logconfig.apply(str(path))
