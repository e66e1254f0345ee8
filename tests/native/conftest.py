"""Fixtures for tests of the C core: programs with asserts, compiled with sanitizers and run to their end."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
PARSER = ("parser", "request_line", "framing", "fields", "syntax", "refusal", "chunked")

sys.path.insert(0, str(HERE))

from build import build, remove_folder, run  # noqa: E402  its folder is on the path only now


@pytest.fixture(scope="session", autouse=True)
def programs():
    """Leave no compiled program behind."""
    yield
    remove_folder()


@pytest.fixture(scope="session")
def passes():
    """Compile (once) and run one case of a program; the test fails with what it said unless it exits 0."""

    def check(name, sources, *arguments, sanitize="address,undefined"):
        done = run(build(name, *sources, sanitize=sanitize), *arguments)
        assert (0, "") == (done.returncode, done.stderr), done.stdout + done.stderr
        return done.stdout

    return check


@pytest.fixture(scope="session", params=["simd", "plain"])
def parser_run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Compile parser_run.c with address and undefined-behaviour sanitizers, with and without SSE2."""
    program = tmp_path_factory.mktemp("native") / f"parser_run_{request.param}"
    sources = [str(CSRC / f"{name}.c") for name in PARSER]
    sources += [str(HERE / "drive.c"), str(HERE / "parser_run.c")]
    flags = ["-std=c11", "-D_GNU_SOURCE", "-g", "-O1", "-Wall", "-Wextra", "-Werror", f"-I{CSRC}"]
    flags += ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"]
    flags += ["-DFC_SCAN_PLAIN"] if request.param == "plain" else []
    subprocess.run(["gcc", *flags, *sources, "-o", str(program)], check=True)
    return program
