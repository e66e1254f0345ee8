"""A Python module as a configuration: evaluated in a short-lived child, never in this process.

The child's process group is killed at the deadline, so that what the file may have started ends too.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from typing import Final

from forkcluster.dataclass import dataclass
from forkcluster.errors import ConfigurationError
from forkcluster.options.formats.document import Left
from forkcluster.options.formats.evaluate import MARK

TIMEOUT: Final = 10.0  # seconds
MOST_SHOWN: Final = 4000

# Like wire.program: what lies beside the file is not taken for Python's own modules.
BOOT: Final = (
    "import sys; sys.path[:1] = [p for p in sys.path[:1] if p]; "
    "from forkcluster.options.formats.evaluate import main; sys.exit(main(sys.argv))"
)


@dataclass(frozen=True, slots=True)
class Evaluated:
    """The module's public names: values that JSON can carry, and the others by what they are.

    Within the tables that we read a `Left` stands for what it cannot carry.
    """

    data: Mapping[str, object]
    left: Mapping[str, str]


def evaluate(path: str, environment: Mapping[str, str], timeout: float = TIMEOUT) -> Evaluated:
    """Run the file in a child that sees the environment. Raises ConfigurationError with its traceback."""
    what = f"evaluating the configuration {path}"
    with subprocess.Popen(
        [sys.executable, "-c", BOOT, os.path.abspath(path)],
        cwd=os.path.dirname(os.path.abspath(path)),
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    ) as child:
        try:
            output, complaint = child.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            raise ConfigurationError(
                f"{what}: not done within {timeout:g} s", "a configuration only computes values: no waiting"
            ) from None
        finally:
            _end(child.pid)
    if child.returncode:
        text = complaint.decode("utf-8", "replace")[-MOST_SHOWN:].rstrip()
        raise ConfigurationError(f"{what}: it failed\n{text}")
    try:
        answer = json.loads(output, object_hook=_read)
        return Evaluated(dict(answer["data"]), dict(answer["left"]))
    except (ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{what}: it ended without an answer ({error})") from None


def _read(found: dict[str, object]) -> object:
    return Left(str(found[MARK])) if MARK in found else found


def _end(group: int) -> None:
    """Kill whatever the child has left in its process group."""
    try:
        os.killpg(group, signal.SIGKILL)
    except ProcessLookupError:
        return
