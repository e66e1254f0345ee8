"""Build the native test programs once, with sanitizers, and let the tests find the corpus module."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
CSRC = HERE.parents[1] / "csrc"
PARSER = ("parser", "request_line", "framing", "fields", "syntax", "refusal", "chunked")

sys.path.insert(0, str(HERE))


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
