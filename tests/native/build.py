"""Compile C test programs, each once per session, with sanitizers. Knows nothing of what they test."""

import functools
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
WARNINGS = ("-Wall", "-Wextra", "-Werror")
ENVIRONMENT = {
    "ASAN_OPTIONS": "detect_leaks=1:halt_on_error=1",
    "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1",
    "TSAN_OPTIONS": "halt_on_error=1",
}


@functools.cache
def folder() -> Path:
    """A directory for this session's programs; removed at the end by remove_folder()."""
    return Path(tempfile.mkdtemp(prefix="forkcluster-native-"))


def remove_folder() -> None:
    """Remove what was compiled, if anything was."""
    if folder.cache_info().currsize:
        shutil.rmtree(folder())
        folder.cache_clear()
        build.cache_clear()


@functools.cache
def build(name: str, *sources: str, sanitize: str = "address,undefined", optimize: str = "-O1") -> Path:
    """Compile sources (paths from the root of the repository) into a program; CC or gcc is the compiler."""
    program = folder() / f"{name}-{sanitize.replace(',', '-') or 'plain'}"
    command = [os.environ.get("CC", "gcc"), "-std=c11", "-D_GNU_SOURCE", "-g", optimize, *WARNINGS, "-Icsrc"]
    if sanitize:
        command += [f"-fsanitize={sanitize}", "-fno-sanitize-recover=all", "-fno-omit-frame-pointer"]
    subprocess.run([*command, *sources, "-o", program, "-pthread"], cwd=ROOT, check=True)
    return program


def run(program: Path, *arguments: str | bytes, timeout: float = 60) -> subprocess.CompletedProcess[str]:
    """Run a program to its end; the thread sanitizer needs addresses that are not randomised."""
    prefix = ["setarch", "-R"] if program.name.endswith("thread") else []
    return subprocess.run(
        [*prefix, program, *arguments],
        env={**os.environ, **ENVIRONMENT},
        capture_output=True,
        text=True,
        errors="backslashreplace",
        timeout=timeout,
        check=False,
    )
